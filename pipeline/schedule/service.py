"""The scheduler: a clock, a runner for each entry, and the signals that it answers to."""

import logging
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.wording import counted
from hyperdiag.process.file_lock import FileLock
from hyperdiag.process.signals import Stopped

from .clock import SET_RIGHT, Clock
from .entry import Entry, utc_text
from .history import History, Run
from .metrics import served_metrics
from .overdue import OverdueWatch
from .run_process import start_run
from .run_spec import make_run_spec
from .runner import Runner
from .state_folder import SCHEDULER_LOCK, make_state_folder

log = logging.getLogger("hyperdiag")

# What a run under way is given to stop in order; then it is left to itself.
_STOP_SECONDS = 30.0


class Service:
    """Keeps entries until a signal stops it; SIGHUP has them read again.

    Args:
        folder: of the state.
        read: returns the entries; raises UsageError where they cannot be used.
        flags: of Hydra, for the commands.
        keep_logs: how many logs of an entry are kept.
        metrics: where Prometheus is served, host:port; None: nowhere.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[], list[Entry]],
        flags: Sequence[str],
        keep_logs: int,
        metrics: str | None = None,
    ):
        self._folder, self._read = folder, read
        self._entries: dict[str, Entry] = {}
        self._runners: dict[str, Runner] = {}
        self._retired: list[Runner] = []  # of entries that are gone: a run may be under way
        # A SimpleQueue, since signal handlers put into it.
        self._news: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
        self._flags, self._keep_logs, self._metrics = flags, keep_logs, metrics

    def serve(self) -> None:
        """Keep the entries.

        Raises:
            UsageError: if another scheduler has the folder, or the entries cannot be used.
            Stopped: if a signal stopped it while a run was under way, which then goes on next time.
        """
        entries = self._read()
        make_state_folder(self._folder)
        lock = FileLock(self._folder / SCHEDULER_LOCK)
        if not lock.take():
            raise UsageError(
                f"another scheduler is at work on schedule.state {self._folder} "
                f"({lock.signature()}): stop it, or give another schedule.state"
            )
        lock.sign(f"process {os.getpid()}, since {utc_text(datetime.now(UTC))}")
        self._history = History(self._folder)
        self._clock = Clock(self._folder, self)
        self._watch = OverdueWatch(self._folder, self._current)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._news.put(number))
        try:
            self._entries = {entry.name: entry for entry in entries}
            with served_metrics(self._metrics, self._folder, self._current):
                self._clock.start(entries)
                # Now that all missed ticks are known: of those that wait, some may not be served.
                self._keep(entries)
                self._watch.start()
                self._listen()
        finally:
            lock.release()

    def _current(self) -> list[Entry]:
        return list(self._entries.values())

    def _listen(self) -> None:
        while True:
            news = self._news.get()
            if news != signal.SIGHUP:
                break
            self._reload()
        interrupted = self._stop()
        if isinstance(news, BaseException):
            raise news
        if interrupted:
            raise Stopped(news)
        log.info("stopped by %s", signal.Signals(news).name)

    def _keep(self, entries: list[Entry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        for name in self._runners.keys() - self._entries.keys():
            runner = self._runners.pop(name)
            runner.retire()
            self._retired.append(runner)
        for name, entry in self._entries.items():
            if name in self._runners:
                self._runners[name].entry = entry
            else:
                runner = Runner(entry, self._history, self._begin, self.failed)
                self._runners[name] = runner
                runner.start()
            coming = entry.trigger.get_next_fire_time(None, datetime.now(UTC))
            log.info("%s: %s, next at %s", name, entry.due, coming and utc_text(coming))

    def _begin(self, entry: Entry, run: Run) -> subprocess.Popen[bytes]:
        return start_run(make_run_spec(self._folder, entry, run, self._flags, self._keep_logs))

    def _reload(self) -> None:
        try:
            entries = self._read()
        except UsageError as error:
            log.warning("entries are kept as they were: %s", "; ".join(error.problems))
            return
        self._keep(entries)
        self._clock.keep(entries)

    def due(self, entry: Entry, ticks: list[datetime]) -> None:
        """Enter the ticks of an entry that are due."""
        settings = entry.settings
        dropped = self._history.enter(
            entry.name, ticks, settings.missed, settings.grace_seconds, datetime.now(UTC)
        )
        for tick, reason in dropped.items():
            log.warning("%s %s: skipped, %s", entry.name, utc_text(tick), reason)
        if entry.name in self._runners:
            self._runners[entry.name].wake()

    def clock_went_back(self, entry: Entry, now: datetime) -> None:
        """Have ticks served when their time comes that were entered before it."""
        count = self._history.put_off(entry.name, now + SET_RIGHT)
        if count:
            log.warning(
                "%s: %s to come, entered by a clock that was ahead; served when due",
                *(entry.name, counted(count, "tick")),
            )

    def clock_came_back(self, entry: Entry, now: datetime) -> None:
        """Undo that."""
        self._history.take_back(entry.name, now + SET_RIGHT)
        if entry.name in self._runners:
            self._runners[entry.name].wake()

    def failed(self, error: BaseException) -> None:
        """End, since the clock or a runner has."""
        self._news.put(error)

    def _stop(self) -> bool:
        """Stop everything in order; return whether a run was interrupted."""
        self._clock.stop()
        self._watch.stop()
        runners = [*self._runners.values(), *self._retired]
        for runner in runners:
            runner.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for runner in runners:
            runner.join(max(deadline - time.monotonic(), 0))
            if runner.is_alive():
                log.warning("%s: its run goes on without the scheduler", runner.name)
                runner.interrupted = True
        return any(runner.interrupted for runner in runners)

"""What tells the time: APScheduler, with its jobs kept beside the history."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.blocking import BlockingScheduler

from .entry import Entry
from .history import FILE

log = logging.getLogger("hyperdiag")

_RETRY_SECONDS = 5.0
_FIRST_SECONDS = 5.0
_BUSY_SECONDS = 60

Take = Callable[[str, list[datetime]], None]


def tick() -> None:
    """Stand for a job's function: APScheduler does not tell it for which time it is called."""


class _Enter(BaseExecutor):
    """Has ticks entered, which takes no time, instead of running anything.

    A job's next time is stored only when this returns. Dying in between, the scheduler comes with
    the same ticks again; they are in the history already.
    """

    def __init__(self, take: Take, ended: threading.Event):
        super().__init__()
        self._take, self._ended = take, ended

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        """Enter the times at which a job is due; nothing is under way after that."""
        self._do_submit_job(job, run_times)

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        while True:
            try:
                return self._take(job.id, run_times)
            except sqlite3.Error as error:  # the disk is full, say
                # The library would drop the ticks and go on.
                log.warning("ticks of %s cannot be entered: %s", job.id, error)
                if self._ended.wait(_RETRY_SECONDS):
                    raise


class Clock:
    """Calls for the ticks of entries, those included that came while no clock was there.

    Args:
        folder: where the times that come next are kept.
        take: called with an entry's name and the ticks that are due, in a thread of the clock.
        failed: called with what stopped the clock.
    """

    def __init__(self, folder: Path, take: Take, failed: Callable[[BaseException], None]):
        self._ended = threading.Event()
        self._failed = failed
        store = SQLAlchemyJobStore(
            f"sqlite:///{folder / FILE}",
            engine_options={"connect_args": {"timeout": _BUSY_SECONDS}},
        )
        self._scheduler = BlockingScheduler(
            jobstores={"default": store},
            executors={"default": _Enter(take, self._ended)},
            timezone=UTC,
        )
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self, entries: Iterable[Entry]) -> None:
        """Begin; return when the ticks that were missed are entered, or that takes long."""
        began = datetime.now(UTC)
        ready = threading.Event()
        self._scheduler.add_listener(lambda _: ready.set(), EVENT_SCHEDULER_STARTED)
        self._thread.start()
        while not ready.wait(0.1) and self._thread.is_alive():
            pass
        if ready.is_set():
            self.keep(entries)
            self._scheduler.resume()
        deadline = time.monotonic() + _FIRST_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            if all(job.next_run_time > began for job in self._scheduler.get_jobs()):
                break
            time.sleep(0.05)

    def keep(self, entries: Iterable[Entry]) -> None:
        """Call for these entries from now on.

        One that was there before, with the same times, goes on from its last tick; a new or changed
        one begins now.
        """
        wanted = {entry.name: entry for entry in entries}
        kept = {job.id: job.name for job in self._scheduler.get_jobs()}
        for name in kept.keys() - wanted.keys():
            self._scheduler.remove_job(name)
        for name, entry in wanted.items():
            if kept.get(name) != entry.due:
                self._scheduler.add_job(
                    tick,
                    entry.trigger,
                    id=name,
                    name=entry.due,
                    # Every tick is wanted, however late: `missed` decides on them.
                    coalesce=False,
                    misfire_grace_time=None,
                    replace_existing=True,
                )

    def stop(self) -> None:
        """Call for nothing any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._scheduler.shutdown()
            self._thread.join()

    def _run(self) -> None:
        try:
            self._scheduler.start(paused=True)
        except Exception as error:
            if not self._ended.is_set():
                self._failed(error)

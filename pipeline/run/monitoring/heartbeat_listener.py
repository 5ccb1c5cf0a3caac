"""The heartbeat of a run, from before its workers start until it has ended."""

from types import TracebackType

from hyperdiag.messages.masking import masked_text
from hyperdiag.process.signals import Stopped, StopSignals
from hyperdiag.run.output.heartbeat import DONE, INCOMPLETE, STOPPED, Heartbeat
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.receipt import Failed

from .monitor import Listener, Snapshot


class HeartbeatListener(Listener):
    """Keeps `run/progress.json` up to date as long as the block lasts; then says how that ended.

    Args:
        ledger: the output folder, and what is done in it.
        rows: of the whole run.
        signals: that may stop it.
    """

    def __init__(self, ledger: Ledger, rows: int, signals: StopSignals):
        self._heartbeat = Heartbeat(ledger.output, ledger.holds_the_folder)
        self._inventory, self._rows, self._signals = ledger.inventory, rows, signals
        self._failed: list[tuple[int, str]] = []

    def __enter__(self) -> "HeartbeatListener":
        self._heartbeat.update(
            shards=self._inventory.shards, rows=self._rows, shards_done=self._inventory.count
        )
        self._heartbeat.start()
        return self

    def failed(self, failed: Failed) -> None:
        """Keep a shard that was given up, with its cause."""
        self._failed.append((failed.shard.id, failed.cause))

    def tick(self, snapshot: Snapshot) -> None:
        """Say how far the run is, in the next beat."""
        self._heartbeat.update(
            shards_done=snapshot.shards_done,
            rows_done=snapshot.rows_read,
            rows_per_s=round(snapshot.rows_per_s),
            workers=snapshot.workers,
            quarantined=dict(snapshot.quarantined),
            failed=tuple(self._failed),
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state, cause = self._end(error)
        self._heartbeat.stop(
            state, shards_done=self._inventory.count, failed=tuple(self._failed), cause=cause
        )

    def _end(self, error: BaseException | None) -> tuple[str, str | None]:
        """Return the state that an error leaves the run in, and the cause."""
        if error is None:
            return DONE, None
        # Of a signal, Ray may have made another exception.
        if isinstance(error, Stopped) or self._signals.stopped:
            return STOPPED, None
        if not isinstance(error, Exception):
            return INCOMPLETE, None
        return INCOMPLETE, masked_text(str(error).partition("\n")[0])

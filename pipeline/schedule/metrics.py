"""Metrics of a schedule, served to Prometheus over HTTP; all are found out when it asks."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hyperdiag.messages.errors import UsageError

from .clock import SET_RIGHT
from .entry import Entry
from .history import History
from .kept_entries import KeptEntries
from .overdue import last_success, overdue
from .trigger import next_tick

# Of each entry, by name. What there is not yet is left out: the last success of an entry that never
# had one, say.
GAUGES = {
    "hyperdiag_schedule_last_success_timestamp_seconds": "When the last successful run ended",
    "hyperdiag_schedule_next_timestamp_seconds": "When the entry is due next",
    "hyperdiag_schedule_overdue_seconds": "For how long a success has been overdue; 0: it is not",
    "hyperdiag_schedule_last_exit_code": "Exit code of the last run that ended",
}
CLOCK = "hyperdiag_schedule_clock_timestamp_seconds"


class ScheduleCollector(Collector):
    """What there is to say of the entries of a schedule now.

    Args:
        folder: of the schedule's state.
        entries: returns the entries that there are now.
    """

    def __init__(self, folder: Path, entries: Callable[[], Iterable[Entry]]):
        self._entries = entries
        self._history, self._kept = History(folder), KeptEntries(folder)

    def describe(self) -> list[Metric]:
        """Return no metric: what there is depends on the entries."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        now = datetime.now(UTC)
        families = {
            name: GaugeMetricFamily(name, text, labels=["entry"]) for name, text in GAUGES.items()
        }
        kept = self._kept.all()
        for entry in self._entries():
            success = last_success(entry, self._history, now)
            late = overdue(entry, self._history, kept.get(entry.name), now)
            ended = self._history.last_ended(entry.name, now + SET_RIGHT)
            coming = next_tick(entry.trigger, now)
            values = (
                success.ended.timestamp() if success else None,
                coming.timestamp() if coming else None,
                (now - late.since).total_seconds() if late else 0.0,
                ended.code if ended else None,
            )
            for family, value in zip(families.values(), values, strict=True):
                if value is not None:
                    family.add_metric([entry.name], value)
        yield from families.values()
        yield GaugeMetricFamily(CLOCK, "The scheduler's clock", value=time.time())


@contextmanager
def served_metrics(
    address: str | None, folder: Path, entries: Callable[[], Iterable[Entry]]
) -> Iterator[None]:
    """Serve the metrics of a schedule as long as the block lasts.

    Args:
        address: where to listen, host:port; None: nowhere.
        folder: of the schedule's state.
        entries: returns the entries that there are now.

    Raises:
        UsageError: if nobody can listen there.
    """
    if address is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(ScheduleCollector(folder, entries))
    server, thread = _listen(address, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listen(address: str, registry: CollectorRegistry) -> Any:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) >= 1 << 16:
        raise UsageError(f"schedule.metrics must be host:port, 127.0.0.1:9464; got {address}")
    try:
        return start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise UsageError(
            f"schedule.metrics {address}: cannot listen there: {error.strerror or error}"
        ) from error

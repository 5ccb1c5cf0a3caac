"""The heartbeat: a file that says, every few seconds, how far a run is.

For `status`, and on object stores for a second run that would start on the same output.
"""

import contextlib
import datetime
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, TypeAdapter

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import PROGRESS, write_file
from hyperdiag.messages.errors import OutputError, UsageError
from hyperdiag.messages.validation import validated

RUNNING: Final = "running"
DONE: Final = "done"
INCOMPLETE: Final = "incomplete"
STOPPED: Final = "stopped"
_SECONDS = 5.0
_STORE_SECONDS = 20.0  # each is a request
_PATIENCE_SECONDS = 1.0  # with one that is being written at the end
# A run that has written none for so many intervals is taken for dead.
_MISSED_HEARTBEATS = 4


@dataclass(frozen=True)
class HeartbeatRecord:
    """What `run/progress.json` says; what is not known yet is None.

    Attributes:
        state: RUNNING, or how the run ended.
        host, process: where the run is, and its process id there.
        started, updated: when the run began, and when this was written.
        interval_seconds: between two beats.
        shards, rows: of the whole run.
        shards_done: of these, in the output.
        rows_done: rows read.
        rows_per_s: rows read in a second, by all workers together.
        workers: that are ready.
        quarantined: rows in quarantine, by code.
        failed: shards that were given up: the id, and what happened the last time.
        cause: why the run ended incomplete.
    """

    state: Literal["running", "done", "incomplete", "stopped"]
    host: str
    process: int
    started: AwareDatetime
    interval_seconds: float
    updated: AwareDatetime
    shards: int | None = None
    rows: int | None = None
    shards_done: int | None = None
    rows_done: int | None = None
    rows_per_s: int | None = None
    workers: int | None = None
    quarantined: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[tuple[int, str], ...] = ()
    cause: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; the keys are always the same."""
        times = {"started": self.started.isoformat(), "updated": self.updated.isoformat()}
        return asdict(self) | times

    @staticmethod
    def from_json(values: Any) -> "HeartbeatRecord":
        """Return the record that plain values say; a key that has a default may be missing.

        Raises:
            ValueError: naming every other key that is missing, and every unusable value.
        """
        return validated(_RECORD, values)

    @property
    def writer(self) -> str:
        """The run that wrote this, for messages."""
        return f"process {self.process} on {self.host}, since {self.started.isoformat()}"


_RECORD = TypeAdapter(HeartbeatRecord)


class Heartbeat:
    """Writes `run/progress.json` from a thread of its own until it is stopped.

    Args:
        output: the output folder.
        holds: tells whether the run still holds it: else the file is another's.
    """

    def __init__(self, output: Place, holds: Callable[[], bool] = lambda: True):
        self._output, self._holds = output, holds
        self._seconds = _SECONDS if output.is_local else _STORE_SECONDS
        now = _now()
        self._record = HeartbeatRecord(
            state=RUNNING,
            host=socket.gethostname(),
            process=os.getpid(),
            started=now,
            interval_seconds=self._seconds,
            updated=now,
        )
        self._end = threading.Event()
        self._record_lock, self._file_lock = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Write the file now, and again and again."""
        self._write()
        self._thread.start()

    def update(self, **fields: Any) -> None:
        """Set fields of the record that the file is to hold from the next time on."""
        with self._record_lock:
            self._record = replace(self._record, **fields)

    def stop(self, state: str, **fields: Any) -> None:
        """Write the file for the last time."""
        self._end.set()
        self.update(state=state, **fields)
        # A store that does not answer must not hold the end of the run up.
        last = threading.Thread(target=self._write, daemon=True)
        for thread in (self._thread, last):
            if thread is last:
                last.start()
            thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self._write()

    def _write(self) -> None:
        if not self._holds():
            return
        with self._record_lock:
            record = replace(self._record, updated=_now())
        text = json.dumps(record.to_json(), indent=1, ensure_ascii=False)
        # What cannot be written here cannot be written elsewhere either, and is said there.
        with self._file_lock, contextlib.suppress(OutputError):
            write_file(self._output, PROGRESS, text.encode())


def read_heartbeat(output: Place) -> HeartbeatRecord | None:
    """Return what the last run on an output wrote last; None if none did, or it is damaged."""
    place = output / PROGRESS
    try:
        return HeartbeatRecord.from_json(json.loads(place.read_bytes())) if place.exists() else None
    except (ValueError, UsageError):
        return None


def is_alive(heartbeat: HeartbeatRecord) -> bool:
    """Return whether the run that wrote a heartbeat goes on, as far as can be told from it."""
    if heartbeat.state != RUNNING:
        return False
    process = heartbeat.process
    if heartbeat.host == socket.gethostname() and (
        process == os.getpid() or not Path(f"/proc/{process}").exists()
    ):
        return False
    silent = _now() - heartbeat.updated
    return silent.total_seconds() < _MISSED_HEARTBEATS * heartbeat.interval_seconds


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)

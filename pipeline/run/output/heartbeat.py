"""The pulse: a file that says, every few seconds, how far a run is; for `status`, and on stores for
a second run that would start on the same output.
"""

import contextlib
import datetime
import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperdiag.data.filesystem import Place, write_whole
from hyperdiag.data.output_folder import PROGRESS, SCRATCH
from hyperdiag.messages.errors import OutputError, UsageError

RUNNING, DONE, INCOMPLETE, STOPPED = "running", "done", "incomplete", "stopped"
_SECONDS = 5.0
_STORE_SECONDS = 20.0  # each beat is a request
_PATIENCE_SECONDS = 1.0  # with a beat under way at the end
# A run whose last beat is older than so many intervals is taken for dead.
_MISSED_BEATS = 4


class Heartbeat:
    """Writes `run/progress.json` from a thread of its own until it is stopped.

    Args:
        output: the output folder.
    """

    def __init__(self, output: Place):
        self._output = output
        self._seconds = _SECONDS if output.is_local else _STORE_SECONDS
        self._content: dict[str, Any] = {
            "state": RUNNING,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": _now(),
            "interval_seconds": self._seconds,
        }
        self._end = threading.Event()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="pulse")

    def start(self) -> None:
        """Write the file now, and again and again."""
        self._beat()
        self._thread.start()

    def tell(self, **content: Any) -> None:
        """Take in what the next beat is to say."""
        with self._lock:
            self._content.update(content)

    def stop(self, state: str, **content: Any) -> None:
        """Write the file for the last time."""
        self._end.set()
        self.tell(state=state, **content)
        # A store that does not answer must not hold the end of the run up.
        last = threading.Thread(target=self._beat, daemon=True)
        for thread in (self._thread, last):
            if thread is last:
                last.start()
            thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self._beat()

    def _beat(self) -> None:
        with self._lock:
            text = json.dumps({**self._content, "updated": _now()}, indent=1, ensure_ascii=False)
        scratch = self._output / SCRATCH / "progress.json"
        # What cannot be written here cannot be written elsewhere either, and is said there.
        with self._writing, contextlib.suppress(OutputError):
            write_whole(self._output / PROGRESS, text.encode(), scratch)


def read_heartbeat(output: Place) -> dict[str, Any] | None:
    """Return what the last run on an output last said; None if none did."""
    place = output / PROGRESS
    try:
        return json.loads(place.read_bytes()) if place.exists() else None
    except (ValueError, UsageError):
        return None


def is_alive(pulse: Mapping[str, Any]) -> bool:
    """Return whether the run that wrote this goes on, as far as can be told from it."""
    if pulse["state"] != RUNNING:
        return False
    process = pulse["process"]
    if pulse["host"] == socket.gethostname() and (
        process == os.getpid() or not Path(f"/proc/{process}").exists()
    ):
        return False
    silent = datetime.datetime.fromisoformat(_now()) - datetime.datetime.fromisoformat(
        pulse["updated"]
    )
    return silent.total_seconds() < _MISSED_BEATS * pulse["interval_seconds"]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

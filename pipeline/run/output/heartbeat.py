"""The heartbeat: a file that says, every few seconds, how far a run is.

For `status`, and on object stores for a second run that would start on the same output.
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

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import PROGRESS, write_file
from hyperdiag.messages.errors import OutputError, UsageError

RUNNING, DONE, INCOMPLETE, STOPPED = "running", "done", "incomplete", "stopped"
_SECONDS = 5.0
_STORE_SECONDS = 20.0  # each is a request
_PATIENCE_SECONDS = 1.0  # with one that is being written at the end
# A run that has written none for so many intervals is taken for dead.
_MISSED_HEARTBEATS = 4


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
        self._content_lock, self._file_lock = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Write the file now, and again and again."""
        self._write()
        self._thread.start()

    def update(self, **content: Any) -> None:
        """Set what the file is to say from the next time on."""
        with self._content_lock:
            self._content.update(content)

    def stop(self, state: str, **content: Any) -> None:
        """Write the file for the last time."""
        self._end.set()
        self.update(state=state, **content)
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
        with self._content_lock:
            text = json.dumps({**self._content, "updated": _now()}, indent=1, ensure_ascii=False)
        # What cannot be written here cannot be written elsewhere either, and is said there.
        with self._file_lock, contextlib.suppress(OutputError):
            write_file(self._output, PROGRESS, text.encode())


def read_heartbeat(output: Place) -> dict[str, Any] | None:
    """Return what the last run on an output wrote last; None if none did."""
    place = output / PROGRESS
    try:
        return json.loads(place.read_bytes()) if place.exists() else None
    except (ValueError, UsageError):
        return None


def is_alive(heartbeat: Mapping[str, Any]) -> bool:
    """Return whether the run that wrote a heartbeat goes on, as far as can be told from it."""
    if heartbeat["state"] != RUNNING:
        return False
    process = heartbeat["process"]
    if heartbeat["host"] == socket.gethostname() and (
        process == os.getpid() or not Path(f"/proc/{process}").exists()
    ):
        return False
    silent = datetime.datetime.fromisoformat(_now()) - datetime.datetime.fromisoformat(
        heartbeat["updated"]
    )
    return silent.total_seconds() < _MISSED_HEARTBEATS * heartbeat["interval_seconds"]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

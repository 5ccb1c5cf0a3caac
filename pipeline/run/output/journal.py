"""The journal: receipts of finished shards, gathered, so that nobody reads a million footers twice.

The footers are the truth. A segment of the journal stands for some hundred of them as long as their
files are as they were; where one is not, the footers of that segment's shards are read again.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pyarrow import fs

from hyperdiag.data.filesystem import Guard, Place, write_whole
from hyperdiag.data.output_folder import writing
from hyperdiag.data.threads import each
from hyperdiag.messages.errors import UsageError
from hyperdiag.statistics.shape import Shape
from hyperdiag.statistics.statistics import Statistics

from .receipt import Receipt, Tally

_SEGMENT_SHARDS = 1000
_SEGMENT_SECONDS = 30.0  # what a killed run has to read again, at most
_NAME = re.compile(r"[0-9a-f]{8,}\.json")
_ENTRY = np.dtype(
    [("shard", "i8"), ("key", "u8"), ("size", "i8"), ("modified_ns", "i8"), ("bad", "?")]
)


class Segment(NamedTuple):
    """Some finished shards, and what their rows add up to.

    Attributes:
        entries: of each: its id, the plan's key for it, size in bytes of its data file, when that
            was written, whether it has a quarantine file.
        tally: of all their rows.
        statistics: of all their rows; None where none are kept.
    """

    entries: np.ndarray
    tally: Tally
    statistics: bytes | None = None


class Journal:
    """Segments in a folder, each written once and whole.

    Args:
        folder: for the segments, and nothing else.
        scratch: where files grow.
        guard: called before a segment is written or removed: raises if the output is another run's.
        shape: what statistics are kept of; None: of nothing.
    """

    def __init__(
        self,
        folder: Place,
        scratch: Place,
        guard: Guard = lambda: None,
        shape: Shape | None = None,
    ):
        self._folder, self._scratch, self._guard = folder, scratch, guard
        self._shape = shape
        self._begin()
        self._next = 0

    def _begin(self) -> None:
        self._entries: list[tuple[int, int, int, int, bool]] = []
        self._tally = Tally()
        self._statistics = Statistics(self._shape) if self._shape else None
        self._since = time.monotonic()

    def segments(self) -> Iterator[tuple[str, Segment | None]]:
        """Yield name and content of what is there; None for a segment that cannot be read."""
        selector = fs.FileSelector(self._folder.path, allow_not_found=True)
        infos = self._folder.filesystem.get_file_info(selector)
        names = sorted(info.base_name for info in infos if _NAME.fullmatch(info.base_name))
        self._next = max([self._next, *(int(name[:-5], 16) + 1 for name in names)])
        yield from zip(names, each(self._read, names), strict=True)

    def _read(self, name: str) -> Segment | None:
        try:
            content = json.loads((self._folder / name).read_bytes())
            entries = np.array([tuple(values) for values in content["entries"]], _ENTRY)
            packed = content.get("statistics")
            statistics = None if packed is None else base64.b64decode(packed, validate=True)
            return Segment(entries, Tally.from_dict(content["rows"]), statistics)
        except (UsageError, ValueError, TypeError, KeyError, OverflowError):
            return None

    def remove(self, name: str) -> None:
        """Take a segment away that no longer stands for its shards."""
        self._guard()
        self._folder.filesystem.delete_file((self._folder / name).path)

    def add(self, receipt: Receipt, key: str) -> bytes | None:
        """Note a finished shard; written at the latest with the next one after some seconds.

        Returns:
            Where a segment was written, the statistics in it, if any are kept.

        Raises:
            OutputError: if a segment cannot be written.
        """
        entry = (receipt.shard, int(key, 16), *receipt.stamp, bool(receipt.tally.bad))
        self._entries.append(entry)
        self._tally.add(receipt.tally)
        if self._statistics and receipt.statistics is not None:
            self._statistics.add(receipt.statistics)
        waited = time.monotonic() - self._since
        if len(self._entries) >= _SEGMENT_SHARDS or waited >= _SEGMENT_SECONDS:
            return self.flush()
        return None

    def flush(self) -> bytes | None:
        """Write what is held.

        Returns:
            The statistics in it, if any are kept.

        Raises:
            OutputError: if it cannot be written.
        """
        statistics = None
        if self._entries:
            name = f"{self._next:08x}.json"
            self._next += 1
            content = {"entries": self._entries, "rows": self._tally.to_dict()}
            if self._statistics:
                statistics = self._statistics.to_bytes()
                content["statistics"] = base64.b64encode(statistics).decode()
            text = json.dumps(content, separators=(",", ":"))
            self._guard()
            with writing(self._folder / name):
                write_whole(self._folder / name, text.encode(), self._scratch / name)
        self._begin()
        return statistics

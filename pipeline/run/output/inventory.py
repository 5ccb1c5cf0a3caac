"""The inventory: which shards of a plan an output holds, and what their rows add up to.

All is kept in arrays by shard id, so that ten million shards are some hundreds of megabytes.
"""

import logging
from collections.abc import Iterator

import numpy as np

from hyperdiag.data.filesystem import FoundFile, Place, scan
from hyperdiag.data.output_folder import (
    DATA,
    JOURNAL,
    QUARANTINE,
    SCRATCH,
    STAGED,
    STATISTICS,
    file_name,
    shard_of,
    statistics_file,
)
from hyperdiag.data.shard import Shard
from hyperdiag.data.sink import read_receipt
from hyperdiag.data.threads import each
from hyperdiag.messages.errors import OutputError, UsageError
from hyperdiag.run.plan.plan import Plan
from hyperdiag.statistics.packed import digest, is_packed
from hyperdiag.statistics.statistics import Statistics

from .journal import Journal, Segment
from .listing import Listing
from .receipt import Receipt, Tally

log = logging.getLogger("hyperdiag")

# Receipts with statistics, which have up to a megabyte each, or, of groups, some ten.
_AT_ONCE, _AT_ONCE_OF_GROUPS = 128, 16


class Files:
    """The data and quarantine files of an output, by shard id.

    Args:
        output: the output folder.
        known: bool by shard id, whether the plan has it.
        update: whether a file that an update has staged counts instead of the published one.
        summarised: whether each shard has a file of statistics.

    Attributes:
        size: bytes of the data file; -1 where there is none.
        modified_ns: when it was written.
        staged: whether it is one that an update has not published yet.
        quarantine: whether there is a quarantine file.
        statistics: whether there is a file of statistics, or none is needed.
        unknown_files: other files in the published folders, as "folder/name".
    """

    def __init__(self, output: Place, known: np.ndarray, update: bool, summarised: bool = False):
        ids = known.size
        self._known = known
        self.size = np.full(ids, -1, np.int64)
        self.modified_ns = np.zeros(ids, np.int64)
        self.staged = np.zeros(ids, bool)
        self.quarantine = np.zeros(ids, bool)
        self.statistics = np.full(ids, not summarised)
        self.unknown_files: list[str] = []
        for root, staged in ((output, False), (output / STAGED, True))[: 1 + update]:
            for shard, info in self._list(root / DATA, staged):
                self.size[shard] = -1 if info.size is None else info.size
                self.modified_ns[shard] = info.mtime_ns or 0
                self.staged[shard] = staged
                self.quarantine[shard] = False
                self.statistics[shard] = not summarised
            for shard, _ in self._list(root / QUARANTINE, staged):
                self.quarantine[shard] |= staged == self.staged[shard]
            if summarised:
                for shard, _ in self._list(root / STATISTICS, staged=True):
                    self.statistics[shard] |= staged == self.staged[shard]

    def _list(self, folder: Place, staged: bool) -> Iterator[tuple[int, FoundFile]]:
        for info in scan(folder):
            shard = shard_of(info.base_name)
            if 0 <= shard < self._known.size and self._known[shard]:
                yield shard, info
            elif not staged:
                self.unknown_files.append(f"{folder.path.rpartition('/')[2]}/{info.base_name}")


class Inventory:
    """Which shards of a plan are done, and what their receipts add up to.

    Args:
        output: the output folder.
        plan: that the shards belong to.
        update: whether what an update has staged counts.
        gathers: whether statistics are added up, as who publishes them needs.

    Attributes:
        shards: how many the plan has.
        count: how many are done.
        done: bool by shard id.
        bad: likewise, which of them have a quarantine file.
        tally: of all that are done.
        statistics: of the rows of those that are in the journal; None where none are added up.
        files: what is in the output.
    """

    def __init__(self, output: Place, plan: Plan, update: bool = False, gathers: bool = False):
        self._output = output
        self._summarised = plan.summary is not None
        groups = plan.summary is not None and plan.summary.by is not None
        self._said = False
        self._at_once = _AT_ONCE_OF_GROUPS if groups else _AT_ONCE
        ids = np.fromiter(_ids_and_keys(plan), dtype=[("id", np.int64), ("key", np.uint64)])
        self.shards = ids.size
        self._keys = np.zeros(int(ids["id"].max(initial=-1)) + 1, np.uint64)
        self._known = np.zeros(self._keys.size, bool)
        self._keys[ids["id"]] = ids["key"]
        self._known[ids["id"]] = True
        self.count = 0
        self.done = np.zeros(self._keys.size, bool)
        self.bad = np.zeros(self._keys.size, bool)
        self.tally = Tally()
        self.statistics = Statistics(plan.statistics) if gathers and plan.statistics else None
        self.files = Files(output, self._known, update, self._summarised)

    def key(self, shard: int) -> str:
        """Return the plan's key of a shard, by its id."""
        return f"{int(self._keys[shard]):016x}"

    def missing(self, plan: Plan) -> "Missing":
        """Return the shards that are not done, in order."""
        return Missing(self, plan)

    def add(self, receipt: Receipt) -> bool:
        """Count a shard that was done just now; tell whether it had not been counted before."""
        if self.done[receipt.shard]:
            return False
        self.done[receipt.shard] = True
        self.bad[receipt.shard] = bool(receipt.tally.bad)
        self.files.size[receipt.shard], self.files.modified_ns[receipt.shard] = receipt.stamp
        self.count += 1
        self.tally.add(receipt.tally)
        return True

    def take(self, journal: Journal) -> list[str]:
        """Count what the journal says is done; return the names of segments that do not hold."""
        return [name for name, segment in journal.segments() if not self._take(segment)]

    def _take(self, segment: Segment | None) -> bool:
        """Count the shards of a segment if all of them are as it says."""
        if segment is None or not self._holds(segment.entries):
            return False
        if (segment.statistics is not None) != self._summarised:
            return False
        if segment.statistics is not None and not is_packed(segment.statistics):
            return False  # of another release
        shards = segment.entries["shard"]
        self.done[shards] = True
        self.bad[shards] = segment.entries["bad"]
        self.count += shards.size
        self.tally.add(segment.tally)
        if self.statistics and segment.statistics is not None:
            self.statistics.add(segment.statistics)
        return True

    def _holds(self, entries: np.ndarray) -> bool:
        shards = entries["shard"]
        if shards.min(initial=0) < 0 or shards.max(initial=-1) >= self.done.size:
            return False
        same = (
            self._known[shards]
            & ~self.done[shards]
            & (self._keys[shards] == entries["key"])
            & (self.files.size[shards] == entries["size"])
            & (self.files.modified_ns[shards] == entries["modified_ns"])
            & (self.files.quarantine[shards] >= entries["bad"])
            & self.files.statistics[shards]
        )
        return bool(same.all()) and np.unique(shards).size == shards.size

    def from_footers(self) -> Iterator[Receipt]:
        """Yield the receipts in the footers of data files that are not counted.

        A footer that is not the receipt of the plan's shard is none, nor one whose quarantine
        file is gone.
        """
        candidates = np.flatnonzero((self.files.size >= 0) & ~self.done).tolist()
        step = self._at_once if self._summarised else max(len(candidates), 1)
        for first in range(0, len(candidates), step):
            some = candidates[first : first + step]
            yield from filter(None, each(self.receipt, some))

    def missing_files(self) -> list[str]:
        """Return "folder/name" of each file that is counted, but is not there (any longer).

        Nor is a data file that has another size than it had.
        """
        gone = []
        for folder, wanted in ((DATA, self.done), (QUARANTINE, self.bad)):
            present = np.zeros_like(wanted)
            for root, staged in ((self._output, False), (self._output / STAGED, True)):
                for info in scan(root / folder):
                    shard = shard_of(info.base_name)
                    if not 0 <= shard < wanted.size or self.files.staged[shard] != staged:
                        continue
                    present[shard] = folder == QUARANTINE or info.size == self.files.size[shard]
            missing = np.flatnonzero(wanted & ~present).tolist()
            gone += [f"{folder}/{file_name(shard)}" for shard in missing]
        return gone

    def listing(self) -> Listing:
        """Return the files of the shards that are done."""
        shards = np.flatnonzero(self.done)
        return Listing(shards, self.files.size[shards], self.bad[shards], self.files.staged[shards])

    def place(self, shard: int, folder: str = DATA) -> Place:
        """Return where a shard's file is (or would be, published)."""
        return self._root(shard) / folder / file_name(shard)

    def _root(self, shard: int) -> Place:
        return self._output / STAGED if self.files.staged[shard] else self._output

    def receipt(self, shard: int) -> Receipt | None:
        """Return the receipt in a data file's footer; None if it is none of the plan's shard."""
        footer = read_receipt(self.place(shard))
        if not footer or (footer.get("shard"), footer.get("key")) != (shard, self.key(shard)):
            return None
        statistics = None
        if self._summarised:
            statistics = self._statistics_of(shard)
            if statistics is None or digest(statistics) != footer.get("statistics"):
                return None
            if not is_packed(statistics):
                if not self._said:
                    log.warning("statistics of another release: their shards are derived again")
                self._said = True
                return None
        stamp = int(self.files.size[shard]), int(self.files.modified_ns[shard])
        receipt = Receipt.from_footer(footer, stamp, statistics)
        return None if receipt.tally.bad and not self.files.quarantine[shard] else receipt

    def _statistics_of(self, shard: int) -> bytes | None:
        """Return what the file of a shard's statistics holds; None if there is none."""
        try:
            return (self._root(shard) / statistics_file(shard)).read_bytes()
        except UsageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise OutputError(str(error)) from error


class Missing:
    """The shards of a plan that are not done, made as they are asked for; and how many they are.

    Args:
        inventory: what is done.
        plan: of the shards.
    """

    def __init__(self, inventory: Inventory, plan: Plan):
        self._inventory, self._plan = inventory, plan

    def __iter__(self) -> Iterator[Shard]:
        done = self._inventory.done
        return (shard for shard in self._plan.shards() if not done[shard.id])

    def __len__(self) -> int:
        return self._inventory.shards - self._inventory.count


def scan_output(output: Place, plan: Plan, update: bool = False) -> Inventory:
    """Return the inventory with all counted that is done; nothing is written.

    Args:
        output, plan, update: as of `Inventory`.
    """
    inventory = Inventory(output, plan, update)
    inventory.take(Journal(output / JOURNAL, output / SCRATCH, shape=plan.statistics))
    for receipt in inventory.from_footers():
        inventory.add(receipt)
    return inventory


def _ids_and_keys(plan: Plan) -> Iterator[tuple[int, int]]:
    return ((shard.id, int(plan.key(shard), 16)) for shard in plan.shards())

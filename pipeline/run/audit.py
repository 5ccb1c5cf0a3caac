"""Reading an output back: is it what its manifest says, and what its inputs give?"""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.data.filesystem import Place
from pipeline.data.layout import ROW_INDEX
from pipeline.data.shard import Shard, file_name
from pipeline.data.sink import DATA, QUARANTINE, RUN, SUCCESS
from pipeline.errors import HyperdiagError

from .comparison import compare, tables
from .inventory import Inventory
from .plan import Plan
from .receipt import Receipt, Tally

_READERS = 8


class Audit(NamedTuple):
    """What was found.

    Attributes:
        findings: what is wrong, a sentence each; none if the output is right.
        notes: what could not be looked at.
        files: data files that were read back, page by page.
        rows: in them.
        compared: shards whose rows were compared with the input's.
        derived_again: rows whose quantities were compared with an independent method's.
        largest_error: of these.
    """

    findings: list[str]
    notes: list[str]
    files: int
    rows: int
    compared: int
    derived_again: int
    largest_error: float


class Auditor:
    """Checks one output.

    Args:
        output: the output folder.
        plan: that it holds.
        shards: how many to compare with their input.
        rows: of each of these, how many to derive again.
    """

    def __init__(
        self,
        output: Place,
        plan: Plan,
        shards: int,
        rows: int,
    ):
        self._output, self._plan = output, plan
        self._manifest: dict[str, Any] | None = None
        if (output / SUCCESS).exists():
            self._manifest = json.loads((output / RUN / "manifest.json").read_bytes())
        self._wanted_shards, self._wanted_rows = shards, rows
        self._findings: list[str] = []
        self._notes: list[str] = []
        self._again = Tally()
        self._rows = 0

    def run(self) -> Audit:
        """Check everything."""
        inventory = Inventory(self._output, self._plan)
        self._check_folder(inventory)
        shards = [shard for shard in self._plan.shards() if inventory.files.size[shard.id] >= 0]
        missing = inventory.shards - len(shards)
        if missing:
            self._findings.append(f"{missing} of {inventory.shards} data files are missing")
        total, receipts, read = Tally(), {}, 0
        with ThreadPoolExecutor(_READERS) as readers:
            results = readers.map(lambda shard: self._read_back(shard, inventory), shards)
            for shard, (receipt, findings) in zip(shards, results, strict=True):
                self._findings += findings
                if receipt is not None:
                    total.add(receipt.tally)
                    receipts[shard.id] = receipt
                read += 1
        self._rows = total.derived
        self._check_sum(total)
        some = self._sample([shard for shard in shards if shard.id in receipts])
        compared = sum(self._compare(shard, receipts[shard.id]) for shard in some)
        return Audit(
            self._findings,
            self._notes,
            read,
            self._rows,
            compared,
            self._again.verified,
            self._again.largest_error,
        )

    def _sample(self, shards: list[Shard]) -> list[Shard]:
        places = np.linspace(0, len(shards) - 1, min(self._wanted_shards, len(shards)))
        return [shards[place] for place in places.round().astype(int)]

    def _check_folder(self, inventory: Inventory) -> None:
        if self._manifest is None:
            self._findings.append("the run was not published: there is no _SUCCESS")
        else:
            said = self._manifest["plan"]
            signed = (self._output / SUCCESS).read_bytes().decode().strip()
            for what, digest in (("manifest", said), (SUCCESS, signed)):
                if digest != self._plan.digest:
                    self._findings.append(
                        f"the {what} is of plan {digest}; {RUN}/plan.json is {self._plan.digest}"
                    )
        for name in inventory.files.strangers:
            self._findings.append(f"{name} is no file of this run")
        for shard in np.flatnonzero(inventory.files.quarantine & (inventory.files.size < 0)):
            self._findings.append(f"{QUARANTINE}/{file_name(int(shard))} has no data file")

    def _check_sum(self, total: Tally) -> None:
        if self._manifest is None:
            return
        for name, count in total.to_dict().items():
            if self._manifest["rows"].get(name) != count and name not in ("ranges", "flat"):
                self._findings.append(
                    f"the manifest says rows.{name} = {self._manifest['rows'].get(name)}; the "
                    f"data files add up to {count}"
                )

    def _read_back(self, shard: Shard, inventory: Inventory) -> tuple[Receipt | None, list[str]]:
        """Read a shard's files from the first page to the last."""
        name = f"{DATA}/{shard.file_name}"
        receipt = inventory.receipt(shard.id)
        if receipt is None:
            return None, [
                f"{name} is not what the plan's shard {shard.id} gives: damaged, of another plan, "
                "or its quarantine file is gone"
            ]
        tally, found = receipt.tally, []
        if tally.read != shard.rows:
            found.append(f"{name}: {tally.read} rows read, {shard.rows} in the input")
        if tally.derived + tally.bad + tally.filtered != tally.read:
            found.append(f"{name}: rows derived, quarantined and filtered are not those read")
        found += self._pages(inventory.place(shard.id), name, tally.derived)
        if tally.bad:
            place = inventory.place(shard.id, QUARANTINE)
            name = f"{QUARANTINE}/{shard.file_name}"
            problems = self._pages(place, name, tally.bad)
            found += problems or self._rows_of(place, name, shard)
        elif inventory.files.quarantine[shard.id]:
            found.append(f"{QUARANTINE}/{shard.file_name}: the shard has no bad rows")
        return receipt, found

    def _pages(self, place: Place, name: str, wanted: int) -> list[str]:
        rows = 0
        try:
            for table in tables(place):
                rows += table.num_rows
        except (pa.ArrowException, OSError) as error:
            return [f"{name} cannot be read back: {str(error).splitlines()[0]}"]
        return [] if rows == wanted else [f"{name} has {rows} rows, its receipt says {wanted}"]

    def _rows_of(self, place: Place, name: str, shard: Shard) -> list[str]:
        index = np.concatenate([table[ROW_INDEX].to_numpy() for table in tables(place)])
        inside = (index >= shard.first_row) & (index < shard.first_row + shard.rows)
        if inside.all() and np.unique(index).size == index.size:
            return []
        return [f"{name} holds rows twice, or rows that are not the shard's"]

    def _compare(self, shard: Shard, receipt: Receipt) -> bool:
        """Compare a shard row by row with its input; tell whether that could be done."""
        try:
            compare(self._plan, self._output, shard, receipt, self._wanted_rows, self._again)
        except OSError as error:
            self._notes.append(f"shard {shard.id} was not compared with its input: {error}")
            return False
        except HyperdiagError as error:
            self._findings.append(f"{DATA}/{shard.file_name}: {error}")
        return True

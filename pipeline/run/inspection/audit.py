"""Reading an output back: is it what its manifest says, and what its inputs give?"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from hyperdiag.data.filesystem import Place, resolve
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.output_folder import (
    CURRENT,
    MANIFEST,
    PLAN,
    SUCCESS,
    data_file,
    quarantine_file,
)
from hyperdiag.data.shard import Shard
from hyperdiag.data.sink import read_receipt
from hyperdiag.derived.derived import Deriver
from hyperdiag.messages.errors import HyperdiagError, InputError, UsageError, listed
from hyperdiag.messages.wording import counted
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.output.fence import current_of
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.listing import read_listing
from hyperdiag.run.output.manifest import facts_of, load_manifest
from hyperdiag.run.output.receipt import Receipt, Tally
from hyperdiag.run.output.warnings import excused_rows
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import plan_at
from hyperdiag.run.workers.verification import Verifier

from .comparison import Comparison, deriver_of, tables, verifier_of
from .statistics_audit import StatisticsAudit

log = logging.getLogger("hyperdiag")

_READERS = 8
_SHARDS_AT_ONCE = 128  # what they say is held in memory, their statistics too
# What a quarantine file must have, whatever the columns of its rows.
_PLACE = pa.schema([(SOURCE_FILE, pa.string()), (ROW_INDEX, pa.int64())])


class Audit(NamedTuple):
    """What was found.

    Attributes:
        findings: what is wrong, a sentence each; none if the output is right.
        notes: what could not be looked at, and which errors were excused.
        files: data files that were read back, page by page.
        rows: in them.
        compared: shards whose rows were compared with the input's.
        derived_again: rows whose quantities were compared with a float64 reference's.
        largest_error: of these.
        by_another_method: whether that method is not the run's own.
    """

    findings: list[str]
    notes: list[str]
    files: int = 0
    rows: int = 0
    compared: int = 0
    derived_again: int = 0
    largest_error: float = 0.0
    by_another_method: bool = True


def audit(path: str, location: str | None, shards: int, rows: int) -> Audit:
    """Check an output.

    Args:
        path: the output folder.
        location: of the dataset; None means where the run found it.
        shards: how many to compare with their input.
        rows: of each of these, how many to derive again.

    Raises:
        UsageError: if there is no run at the path.
        Stopped: if SIGTERM or SIGINT came.
    """
    with StopSignals("nothing was written") as signals:
        try:
            plan = plan_at(path)
        except ValueError as error:
            return Audit([f"{PLAN} cannot be read: {error}"], [])
        if location is not None:
            plan = replace(plan, location=location)
        return _Auditor(resolve(path), plan, signals).run(shards, rows)


class _Auditor:
    """Checks the output of a plan."""

    def __init__(self, output: Place, plan: Plan, signals: StopSignals):
        self._output, self._plan, self._signals = output, plan, signals
        self._inventory = Inventory(output, plan)
        self._statistics = StatisticsAudit(output, plan)
        self._findings: list[str] = []
        self._notes: list[str] = []

    def run(self, shards: int, rows: int) -> Audit:
        self._check_names()
        present = np.flatnonzero(self._inventory.files.size >= 0)
        log.info("reading %s back", counted(present.size, "data file"))
        places = np.linspace(0, present.size - 1, min(shards, present.size)).round().astype(int)
        total, good = self._read_all(set(present[places].tolist()))
        self._check_manifest(total)
        verifier = self._verifier(rows)
        deriver = self._deriver() if verifier else None
        comparison = Comparison(self._plan, self._output, verifier, rows, deriver)
        if self._plan.writes_no_rows:
            self._notes.append("no rows were written (summary.only): there are none to compare")
            good = []
        compared = sum(self._compare(comparison, shard, receipt) for shard, receipt in good)
        self._check_listing()
        self._notes += excused_rows(comparison.again, self._plan.kernel.dtype)
        return Audit(
            self._findings,
            self._notes,
            int(present.size),
            0 if self._plan.writes_no_rows else total.derived,
            compared,
            comparison.again.verified,
            comparison.again.largest_error,
            verifier is None or verifier.method != self._plan.kernel.method,
        )

    def _check_names(self) -> None:
        """Check that all files are there, and no others."""
        files = self._inventory.files
        ids = (shard.id for shard in self._plan.shards())
        missing = [data_file(shard) for shard in ids if files.size[shard] < 0]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            self._findings.append(f"{listed(missing)} {verb} missing")
        for name in files.unknown_files:
            self._findings.append(f"{name} is no file of this run")
        for shard in np.flatnonzero(files.quarantine & (files.size < 0)).tolist():
            self._findings.append(f"{quarantine_file(shard)} has no data file")

    def _check_listing(self) -> None:
        """Check that what readers are told is published is the plan's, and is what is there."""
        published = current_of(self._output).published
        if published is None:  # an earlier release's, or not published: that is said elsewhere
            return
        if published.folding:
            self._findings.append(
                "an update is being published, or the run that did it died: the same command as "
                "before completes it"
            )
        elif published.plan != self._plan.digest:
            self._findings.append(f"{CURRENT} is of plan {published.plan!r}")
        else:
            listing, files = read_listing(self._output, published.listing), self._inventory.files
            present = np.flatnonzero(files.size >= 0)
            same = np.array_equal(listing.shard, present)
            same = same and np.array_equal(listing.size, files.size[present])
            if not same and not self._findings:  # which tell of single files
                self._findings.append(f"{published.listing} does not list the files that are there")

    def _check_manifest(self, total: Tally) -> None:
        """Check what was published against the plan, and against what the data files add up to."""
        success = self._output / SUCCESS
        if not success.exists():
            self._findings.append(f"there is no {SUCCESS}: the run was not published")
            return
        signed = success.read_bytes().decode(errors="replace").strip()
        if signed != self._plan.digest:
            self._findings.append(
                f"{SUCCESS} is of plan {signed!r}, {PLAN} of {self._plan.digest!r}"
            )
        try:
            published = _entries(load_manifest(self._output).to_json())
        except (UsageError, ValueError) as error:
            self._findings.append(f"{MANIFEST} cannot be read: {error}")
            return
        facts = facts_of(self._plan, self._inventory.shards, total)
        for key, right in _entries(facts.to_json()).items():
            if published.get(key) != right:
                self._findings.append(
                    f"{MANIFEST}: {key} is {published.get(key)!s:.60}; plan and data files make it "
                    f"{right!s:.60}"
                )
        self._findings += self._statistics.findings()

    def _read_all(self, sample: set[int]) -> tuple[Tally, list[tuple[Shard, Receipt]]]:
        """Read every file from its first page to its last.

        Args:
            sample: ids of the shards to be compared with their input.

        Returns:
            What the receipts add up to, and those of the sample's shards that are in order.
        """
        total, good = Tally(), []
        sizes = self._inventory.files.size
        present = (shard for shard in self._plan.shards() if sizes[shard.id] >= 0)
        readers = ThreadPoolExecutor(_READERS)
        try:
            while some := list(islice(present, _SHARDS_AT_ONCE)):
                results = readers.map(self._read_back, some)
                for shard, (receipt, findings) in zip(some, results, strict=True):
                    self._signals.check()
                    self._findings += findings
                    if receipt is not None:
                        total.add(receipt.tally)
                        self._statistics.add(receipt.statistics)
                        if shard.id in sample and not findings:
                            good.append((shard, replace(receipt, statistics=None)))
        finally:
            readers.shutdown(wait=False, cancel_futures=True)  # who is stopped waits for no file
        return total, good

    def _read_back(self, shard: Shard) -> tuple[Receipt | None, list[str]]:
        """Read a shard's files; return its receipt, if they have one, and what is wrong."""
        name = data_file(shard.id)
        footer = read_receipt(self._output / name)
        if footer is None:
            return None, [f"{name} is damaged, or no data file: its footer holds no receipt"]
        if (footer["shard"], footer["key"]) != (shard.id, self._inventory.key(shard.id)):
            return None, [
                f"{name} holds shard {footer['shard']} of a plan; here belongs {shard.id}"
            ]
        statistics, findings = self._statistics.read(shard.id, footer)
        receipt = Receipt.from_footer(footer, (0, 0), statistics)
        tally = receipt.tally
        if not tally.derived + tally.bad + tally.filtered == tally.read == shard.rows:
            findings.append(
                f"{name}: its counts do not add up to the {counted(shard.rows, 'row')} of its input"
            )
        written = 0 if self._plan.writes_no_rows else tally.derived
        findings += self._pages(name, written, self._plan.layout.schema)
        name = quarantine_file(shard.id)
        has_quarantine = self._inventory.files.quarantine[shard.id]
        if tally.bad and not has_quarantine:
            findings.append(f"{name} is missing: {counted(tally.bad, 'row')} should be in it")
        elif tally.bad:
            findings += self._pages(name, tally.bad, _PLACE)
        elif has_quarantine:
            findings.append(f"{name} should not be there: the shard has no bad rows")
        return receipt, findings

    def _pages(self, name: str, wanted: int, columns: pa.Schema) -> list[str]:
        """Read a file's pages; return what is wrong with them, with its columns or its rows."""
        rows = 0
        try:
            for table in tables(self._output / name):
                wrong = [field.name for field in columns if not _has(table.schema, field)]
                if wrong:
                    return [f"{name}: column {listed(wrong)} is missing, or of another kind"]
                rows += table.num_rows
        except (pa.ArrowException, OSError) as error:
            return [f"{name} cannot be read back: {str(error).splitlines()[0]}"]
        if rows == wanted:
            return []
        return [f"{name} has {counted(rows, 'row')}; its shard should have {wanted}"]

    def _verifier(self, rows: int) -> Verifier | None:
        if rows == 0:
            return None
        try:
            return verifier_of(self._plan, rows)
        except UsageError as error:
            self._notes.append(f"no rows were derived again: {error}")
            return None

    def _deriver(self) -> Deriver | None:
        if not self._plan.derived:
            return None
        try:
            return deriver_of(self._plan)
        except UsageError as error:
            self._notes.append(f"derived quantities were not derived again: {error}")
            return None

    def _compare(self, comparison: Comparison, shard: Shard, receipt: Receipt) -> bool:
        """Compare a shard with its input; tell whether that could be done."""
        self._signals.check()
        try:
            comparison.compare(shard, receipt)
        except (InputError, UsageError) as error:
            self._notes.append(f"shard {shard.id} was not compared with its input: {error}")
            return False
        except HyperdiagError as error:
            self._findings.append(f"{data_file(shard.id)}: {error}")
        return True


def _has(schema: pa.Schema, field: pa.Field) -> bool:
    """Tell whether a schema has a column; if a computed one, with its type and metadata."""
    if field.name not in schema.names:
        return False
    present = schema.field(field.name)
    computed = b"digest" in (field.metadata or {})
    return not computed or (present.type, present.metadata) == (field.type, field.metadata)


def _entries(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest's entries, those of its parts as part.entry."""
    flat: dict[str, Any] = {}
    for key, value in manifest.items():
        flat |= (
            {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        )
    return flat

"""A shard's output beside its input, row by row; some of the rows derived once more."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.output_folder import data_file, quarantine_file
from hyperdiag.data.shard import Rows, Shard
from hyperdiag.data.sink import quarantined_before
from hyperdiag.derived.derived import Deriver
from hyperdiag.hyperdual import MethodError
from hyperdiag.messages.errors import HyperdiagError, UsageError, listed
from hyperdiag.networks import build_network
from hyperdiag.run.output.receipt import Receipt, Tally
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.versions import jax_hint, versions
from hyperdiag.run.workers.verification import Verifier

_BATCH_ROWS = 1 << 14


def tables(place: Place) -> Iterator[pa.Table]:
    """Yield a file's rows, a batch at a time, with every page's checksum checked."""
    with pq.ParquetFile(
        place.path, filesystem=place.filesystem, page_checksum_verification=True
    ) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def verifier_of(plan: Plan, rows: int) -> Verifier:
    """Return what derives up to so many rows at once by an independent method.

    Raises:
        UsageError: if the plan's network cannot be built here, is another now, or has no second
            method.
    """
    built = build_network(plan.network_options, plan.kernel.dtype)
    if built.digest != plan.network.digest:
        raise UsageError(
            f"network '{built.name}' has changed: its digest was {plan.network.digest}, now is "
            f"{built.digest}{jax_hint(built.name, plan.versions, versions())}"
        )
    try:
        return Verifier(plan, built, rows, written=True)
    except MethodError as error:
        raise UsageError(f"network '{built.name}': {error}") from error


def deriver_of(plan: Plan) -> Deriver:
    """Return what derives from the written quantities what a run did.

    Raises:
        UsageError: if more than is written is needed for that, or a function that is not here, or
            is another now.
    """
    left_out = [name for name in plan.kernel.quantities if name not in plan.written]
    if left_out:
        raise UsageError(f"derivatives.outputs did not write {listed(left_out)}")
    try:
        return Deriver(plan.derived, plan.names, plan.kernel.dtype)
    except HyperdiagError as error:
        raise UsageError(str(error)) from error


class Comparison:
    """Checks that data files hold their input's good rows, each once and in their order.

    Args:
        plan: of the run.
        output: its folder.
        verifier: derives rows again; None leaves that out.
        rows: of each shard, how many are derived again.
        deriver: derives what follows from the written quantities of these; None leaves that out.

    Attributes:
        again: how many these were, what was excused of them, and their largest error.
    """

    def __init__(
        self,
        plan: Plan,
        output: Place,
        verifier: Verifier | None,
        rows: int,
        deriver: Deriver | None = None,
    ):
        self._plan, self._output = plan, output
        self._verifier, self._rows = verifier, rows
        self.again = Tally()
        self._deriver = deriver

    def compare(self, shard: Shard, receipt: Receipt) -> None:
        """Compare one shard.

        Raises:
            InputError: if the input cannot be read, or has changed.
            HyperdiagError: saying what differs.
        """
        left_out = self._quarantined(shard) if receipt.tally.bad else set()
        picked = np.linspace(0, receipt.tally.derived - 1, self._rows).round().astype(int)
        output = _Stream(tables(self._output / data_file(shard.id)))
        samples, seen = [], 0
        for rows in self._plan.source.read(shard, _BATCH_ROWS):
            places = self._places(shard, rows)
            good = pa.array([place not in left_out for place in places], pa.bool_())
            table = rows.table.filter(good)
            if table.num_rows == 0:
                continue
            written = output.next(table.num_rows)
            for name, column in self._passed(shard, table, rows.index.filter(good)).items():
                if not _same(written[name], column):
                    first, last = rows.index[0], rows.index[-1]
                    raise HyperdiagError(
                        f"column '{name}' is not the input's (rows {first} to {last})"
                    )
            at = np.unique(picked[(picked >= seen) & (picked < seen + table.num_rows)]) - seen
            samples.append((table.take(pa.array(at)), written.take(pa.array(at))))
            seen += table.num_rows
        output.end()
        if seen and self._verifier:
            self._derive_again(self._verifier, samples, receipt)

    def _derive_again(self, verifier: Verifier, samples: list[Any], receipt: Receipt) -> None:
        table, written = (pa.concat_tables(parts) for parts in zip(*samples, strict=True))
        points, faults = self._plan.points.read(table, "float64")
        if faults.bad.any():
            raise HyperdiagError("it has derivatives of a row whose input is bad")
        tally = Tally(ranges=receipt.tally.ranges)
        arrays = self._plan.layout.arrays(written)
        verifier.verify(points, arrays, tally)
        if self._deriver:
            self._check_derived(self._deriver, table, written, arrays)
        tally.ranges = {}
        self.again.add(tally)

    def _check_derived(
        self,
        deriver: Deriver,
        table: pa.Table,
        written: pa.Table,
        arrays: tuple[np.ndarray, ...],
    ) -> None:
        """Check that what is derived follows from the written quantities, to the last bit."""
        points, faults = self._plan.points.read(table, self._plan.kernel.dtype)
        columns = deriver.read(table, faults)
        if faults.bad.any():
            raise HyperdiagError("it has derived quantities of a row whose deviations are bad")
        layout = self._plan.layout
        named = dict(zip(layout.quantities, arrays, strict=True))
        right = layout.derived_columns(deriver.compute(points, named, columns))
        names = layout.schema.names[-len(right) :]
        for name, column in zip(names, right, strict=True):
            if not written[name].combine_chunks().equals(column):
                raise HyperdiagError(f"column '{name}' does not follow from the derivatives")

    def _quarantined(self, shard: Shard) -> set[Any]:
        """Return the places of the rows in a shard's quarantine file."""
        places: set[Any] = set()
        for table in tables(self._output / quarantine_file(shard.id)):
            places.update(_pairs(table))
        return places

    def _places(self, shard: Shard, rows: Rows) -> list[Any]:
        """Return where each row comes from, as a quarantine file would say it."""
        if quarantined_before(rows.table):
            return _pairs(rows.table)
        file = self._plan.source.file_name(shard)
        return [(file, index) for index in rows.index.to_pylist()]

    def _passed(self, shard: Shard, table: pa.Table, index: pa.Array) -> dict[str, Any]:
        """Return the columns of an output that hold what the input does."""
        columns = {field.name: table[field.name] for field in self._plan.layout.passed}
        if self._plan.layout.provenance:
            file = pa.repeat(self._plan.source.file_name(shard), len(index))
            columns |= {
                SOURCE_FILE: pa.chunked_array([file]),
                ROW_INDEX: pa.chunked_array([index]),
            }
        return columns


class _Stream:
    """Rows of a file, as many as are asked for."""

    def __init__(self, parts: Iterator[pa.Table]):
        self._parts = parts
        self._held: pa.Table | None = None

    def next(self, rows: int) -> pa.Table:
        while self._held is None or self._held.num_rows < rows:
            more = next(self._parts, None)
            if more is None:
                raise HyperdiagError("it ends before its input does")
            self._held = more if self._held is None else pa.concat_tables([self._held, more])
        taken, self._held = self._held.slice(0, rows), self._held.slice(rows)
        return taken

    def end(self) -> None:
        if (self._held is not None and self._held.num_rows) or next(self._parts, None):
            raise HyperdiagError("it has more rows than its input")


def _pairs(table: pa.Table) -> list[Any]:
    places = (table[name].to_pylist() for name in (SOURCE_FILE, ROW_INDEX))
    return list(zip(*places, strict=True))


def _same(written: pa.ChunkedArray, passed: pa.ChunkedArray) -> bool:
    if written.equals(passed):
        return True
    # Arrow takes no NaN for another, and no dictionary in another order; as text they are the same.
    return repr(written.to_pylist()) == repr(passed.to_pylist())

"""A shard's output beside its input, row by row; some of the rows derived once more."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.filesystem import Place
from pipeline.data.layout import ROW_INDEX
from pipeline.data.shard import Shard
from pipeline.data.sink import DATA, QUARANTINE
from pipeline.errors import HyperdiagError

from .plan import Plan
from .receipt import Receipt, Tally
from .verification import Verifier

_BATCH_ROWS = 1 << 14


def tables(place: Place) -> Iterator[pa.Table]:
    """Yield a file's rows, a batch at a time, with every page's checksum checked."""
    with pq.ParquetFile(
        place.path, filesystem=place.filesystem, page_checksum_verification=True
    ) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def compare(
    plan: Plan, output: Place, shard: Shard, receipt: Receipt, rows: int, again: Tally
) -> None:
    """Check that a shard's data file holds its input's good rows, each once and in their order.

    Args:
        plan: of the run.
        output: its folder.
        shard: which.
        receipt: the shard's.
        rows: how many are derived again.
        again: takes in how many these were, and their largest error.

    Raises:
        OSError: if the input cannot be read, or has changed.
        HyperdiagError: saying what differs.
    """
    quarantine = output / QUARANTINE / shard.file_name
    bad = [table[ROW_INDEX].to_numpy() for table in tables(quarantine)] if receipt.tally.bad else []
    left_out = np.concatenate([*bad, [-1]])
    found = _Stream(tables(output / DATA / shard.file_name))
    picked = np.linspace(0, max(receipt.tally.derived - 1, 0), rows).astype(int)
    seen = 0
    samples = []
    for part in plan.source.read(shard, _BATCH_ROWS):
        good = pa.array(~np.isin(part.index.to_numpy(), left_out))
        wanted, index = part.table.filter(good), part.index.filter(good)
        here = found.next(wanted.num_rows)
        for field in plan.layout.passed:
            if not _same(here[field.name], wanted[field.name]):
                raise HyperdiagError(
                    f"column '{field.name}' is not the input's (rows {index[0]} to {index[-1]})"
                )
        at = np.unique(picked[(picked >= seen) & (picked < seen + wanted.num_rows)]) - seen
        samples.append((wanted.take(pa.array(at)), here.take(pa.array(at))))
        seen += wanted.num_rows
    found.end()
    wanted, here = (pa.concat_tables(parts) for parts in zip(*samples, strict=True))
    if wanted.num_rows:
        points, faults = plan.points.read(wanted, plan.settings["derivatives"]["dtype"])
        if faults.bad.any():
            raise HyperdiagError("it has derivatives of a row whose input is bad")
        tally = Tally(ranges=receipt.tally.ranges)
        Verifier(plan, rows).verify(points, plan.layout.arrays(here), tally)
        again.verified += tally.verified
        again.largest_error = max(again.largest_error, tally.largest_error)


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
        found, self._held = self._held.slice(0, rows), self._held.slice(rows)
        return found

    def end(self) -> None:
        if (self._held is not None and self._held.num_rows) or next(self._parts, None):
            raise HyperdiagError("it has more rows than its input")


def _same(found: pa.ChunkedArray, wanted: pa.ChunkedArray) -> bool:
    # Arrow takes no NaN for another; as text they are the same.
    return found.equals(wanted) or repr(found.to_pylist()) == repr(wanted.to_pylist())

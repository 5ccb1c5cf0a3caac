"""Rows of a dataset here and there, for what a plan wants to know of its values."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow as pa

from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.points import PointColumns
from hyperdiag.data.shard import InputFile
from hyperdiag.messages.errors import InputError

from .spec import ParquetSpec

_ROWS = 1000  # that are looked at together


def sampled_points(
    inputs: Sequence[str],
    dataset: ParquetSpec,
    files: Sequence[InputFile],
    location: str,
    dtype: str = "float64",
) -> np.ndarray:
    """Return points (rows, n): those that are one, of three shards, before any filter.

    Args:
        inputs: names of the network's inputs.
        dataset: the plan's section on the dataset.
        files: of the dataset.
        location: where it is, with any credentials.
        dtype: "float32" or "float64".
    """
    points = PointColumns(inputs, dataset.points.columns, dataset.points.vector)
    source = replace(dataset.source(files, location), row_filter=None)
    source = replace(source, columns=list(dict.fromkeys(points.columns)))
    read = (points.read(table, dtype) for table in sampled_tables(source, 1))
    good = [array[~faults.bad] for array, faults in read]
    return np.concatenate([*good, np.empty((0, len(inputs)), dtype)])


def sampled_tables(
    source: ParquetSource, most: int | None = None, rows: int = _ROWS
) -> Iterator[pa.Table]:
    """Yield rows of the first, a middle and the last shard, as the source's filter leaves them.

    Args:
        source: of the rows.
        most: tables of each; None: all.
        rows: of a table.
    """
    count = sum(1 for _ in source.shards())
    wanted = {0, count // 2, count - 1}
    for place, shard in enumerate(source.shards()):
        if place in wanted:
            with suppress(InputError):  # is said where it is derived
                yield from (some.table for some in islice(source.read(shard, rows), most))

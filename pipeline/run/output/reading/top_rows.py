"""The rows of all data files that have the largest, or the smallest, of a number."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.data.threads import each

_BATCH_ROWS = 1 << 16


class Best(NamedTuple):
    """The best rows of some, the best first; of equal ones, those that come first.

    Attributes:
        score: of each, float64.
        file: the position of its file among all.
        row: its place in the file.
    """

    score: np.ndarray
    file: np.ndarray
    row: np.ndarray

    def best(self, rows: int) -> "Best":
        """Return so many of them."""
        order = np.lexsort((self.row, self.file, -self.score))[:rows]
        return Best(*(column[order] for column in self))


def top_rows(
    output: Place,
    paths: list[str],
    column: str,
    score_of: Callable[[pa.Table], np.ndarray],
    rows: int,
) -> pa.Table:
    """Return the rows with the highest scores, the highest first, with all their columns.

    One column of all files is read, and then the row groups that have these rows.

    Args:
        output: the output folder.
        paths: of its data files, one at least.
        column: that the score is made of.
        score_of: of a table with this column, the score of each row, (rows,), free of NaN.
        rows: how many.

    Raises:
        OSError, ArrowException: if a file cannot be read.
    """

    def best_of(at: int) -> Best:
        best = Best(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
        first = 0
        with pq.ParquetFile(paths[at], filesystem=output.filesystem) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=[column], use_threads=False):
                score = score_of(pa.Table.from_batches([batch])).astype(np.float64)
                # Those before are first at a tie.
                least = best.score[-1] if best.score.size == rows else -np.inf
                above = np.flatnonzero((score > least) | (best.score.size < rows))
                if above.size:
                    more = Best(score[above], np.full(above.size, at), first + above)
                    best = Best(*map(np.concatenate, zip(best, more, strict=True))).best(rows)
                first += batch.num_rows
        return best

    bests = [*each(best_of, range(len(paths)))]
    best = Best(*map(np.concatenate, zip(*bests, strict=True))).best(rows)
    return _rows_at(output, paths, best)


def _rows_at(output: Place, paths: list[str], best: Best) -> pa.Table:
    """Return rows of files, in their order."""
    parts, order = [], []
    for at in np.unique(best.file).tolist() or [0]:
        wanted = np.flatnonzero(best.file == at)
        with pq.ParquetFile(paths[at], filesystem=output.filesystem) as file:
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            ends = np.cumsum(sizes, dtype=np.int64)
            groups = np.searchsorted(ends, best.row[wanted], side="right")
            for group in np.unique(groups).tolist():
                of_group = wanted[groups == group]
                start = ends[group] - sizes[group]
                table = file.read_row_group(group)
                parts.append(table.take(pa.array(best.row[of_group] - start)))
                order.append(of_group)
            empty = file.schema_arrow.empty_table()
    if not parts:
        return empty
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order))))

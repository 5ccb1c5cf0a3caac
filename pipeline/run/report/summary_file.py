"""`run/summary.parquet`, read a part at a time: of all rows there may be ten million lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import SUMMARY

from .damaged import unreadable
from .summary_batch import OF_GROUPS, STATISTICS, SummaryBatch, batches
from .summary_table import CurveLines, Curves, Pair, SummaryTable


class SummaryFile:
    """The statistics of all rows and of groups.

    Args:
        output: the output folder, which has a `run/summary.parquet`.
        outputs: names of the network's m outputs, in its order.
        inputs: names of its n inputs.
        derived: columns of quantities that are derived from derivatives.

    Raises:
        UsageError: if the file cannot be read; so do the methods.

    Attributes:
        all_rows: the statistics of all rows.
        grouped_by: the column of the dataset that tells a row's group; None: there are no groups.
        groups_are_complete: whether they have all statistics that all rows have.
        groups: {group: rows}, the most rows first; None is the group of rows without a value.
    """

    def __init__(
        self,
        output: Place,
        outputs: Sequence[str],
        inputs: Sequence[str],
        derived: Sequence[str] = (),
    ):
        self._place = output / SUMMARY
        self._outputs = {name: at for at, name in enumerate(outputs)}
        self._inputs = {name: at for at, name in enumerate(inputs)}
        self._derived = {name: at for at, name in enumerate(derived)}
        self.grouped_by: str | None = None
        of_all = of_groups = False
        self.all_rows = self._no_lines()
        rows: dict[str | None, int] = {}
        for batch in self._batches():
            self.all_rows.take(batch, batch.all_rows, self._derived)
            counts = ~batch.all_rows & (batch.statistic == STATISTICS.index("count"))
            for group, most in batch.largest_by_group(counts).items():
                rows[group] = max(rows.get(group, 0), most)
            more = (batch.statistic >= len(OF_GROUPS)) | batch.is_statistic("curve_mean")
            of_all |= bool((batch.all_rows & more).any())
            of_groups |= bool((~batch.all_rows & more).any())
            self.grouped_by = self.grouped_by or batch.grouped_by
        self.groups_are_complete = of_groups or not of_all
        self.all_rows.leave_coarse_quantiles_out()
        self.groups = dict(sorted(rows.items(), key=lambda item: (-item[1], item[0] or "")))

    def of_groups(self, groups: Sequence[str | None]) -> list[SummaryTable]:
        """Return the statistics of each of some groups."""
        tables = [self._no_lines() for _ in groups]
        for batch, place in self._batches_of(groups) if groups else ():
            for at in np.unique(place[place >= 0]):
                tables[at].take(batch, place == at, self._derived)
        for table in tables:
            table.leave_coarse_quantiles_out()
        return tables

    def curves(
        self, pairs: Iterable[Pair], of_groups: Mapping[str | None, Iterable[Pair]]
    ) -> tuple[Curves, list[Curves]]:
        """Return dependence curves.

        Args:
            pairs: of output and input, whose curves over all rows are returned.
            of_groups: by the names of groups, whose curves over their rows are.

        Returns:
            Those of all rows, and those of each group: as `CurveLines.curves` returns them.
        """
        shape = self.all_rows.shape
        of_all, lines = CurveLines(shape, pairs), [CurveLines(shape, p) for p in of_groups.values()]
        for batch, place in self._batches_of([*of_groups]):
            of_all.take(batch, batch.all_rows)
            for at in np.unique(place[place >= 0]):
                lines[at].take(batch, place == at)
        return of_all.curves(), [each.curves() for each in lines]

    def _no_lines(self) -> SummaryTable:
        return SummaryTable(len(self._outputs), len(self._inputs), [*self._derived])

    def _batches_of(
        self, groups: Sequence[str | None]
    ) -> Iterator[tuple[SummaryBatch, np.ndarray]]:
        """Yield the lines, and the position of each line's group, -1 where it is of none."""
        positions = {group: at for at, group in enumerate(groups)}
        for batch in self._batches():
            yield batch, batch.groups(positions)

    def _batches(self) -> Iterator[SummaryBatch]:
        try:
            yield from batches(self._place, self._outputs, self._inputs)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise unreadable(self._place, SUMMARY, error) from error

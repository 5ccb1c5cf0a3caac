"""Statistics of rows, and how those of two sets of rows become those of both, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .exact_sum import ExactSums
from .extreme_rows import ExtremeRows, no_rows
from .groups import Groups, Packed
from .histogram import Counts, Histograms
from .moments import Moments
from .numbers import RowNumbers
from .packed import pack, unpack
from .sampling import Sample

_MOST_SAMPLES = 32  # that wait to be joined, of some rows each


@dataclass(frozen=True)
class Shape:
    """What there are statistics of.

    Attributes:
        numbers: of a row.
        ranges: (low, high) of each direction, of its curves.
        bins: of each curve, between the ends of its input's range; 0: there are no curves.
        curve_step: curves are of a sample of one row in so many.
        sample_step: one row in so many is kept with the numbers that curves are of; 0: none. A
            multiple of the step of curves.
        histograms: whether there are any: they take memory for each number.
        extreme_rows: how many are kept of each list.
        by: the column that tells the group of a row; None: there are no groups.
    """

    numbers: RowNumbers
    ranges: Sequence[tuple[float, float]]
    bins: int
    curve_step: int
    sample_step: int
    histograms: bool
    extreme_rows: int
    by: str | None = None

    @property
    def curves(self) -> tuple[int, int, int, int]:
        """The shape of the sums of curves: quantities, m, k, bins."""
        numbers = self.numbers
        sizes = len(numbers.outputs), len(numbers.directions)
        return len(numbers.curves), *sizes, self.bins

    def bins_of(self, inputs: np.ndarray) -> np.ndarray:
        """Return the bins of inputs (k, rows); of those outside their range, how many there are."""
        low, high = np.array(self.ranges, np.float64).reshape(-1, 2, 1).transpose(1, 0, 2)
        # Not times bins / (high - low), which is infinite of the smallest numbers.
        place = np.floor((inputs - low) / (high - low) * self.bins)
        place[inputs == high] = self.bins - 1
        return np.where((place >= 0) & (place < self.bins), place, self.bins).astype(np.intp)

    def no_sample(self) -> Sample:
        """Return a sample of no rows."""
        numbers = len(self.numbers.directions)
        if self.numbers.curve_positions.size:
            numbers = int(self.numbers.curve_positions.max()) + 1
        return Sample(np.zeros(0, np.int64), np.zeros((0, numbers), np.float32))


class Statistics:
    """Statistics of rows.

    Counts are exact. Sums are exact sums of what each shard adds up, so that neither the order of
    shards nor who derived them is seen in a single bit.

    Args:
        shape: what there are statistics of.

    Attributes:
        moments: counts, sums and ends of each number.
        histograms: of each number.
        bin_rows: int64 (k, bins), rows whose input lies in each bin of its curves.
        curves: sums over these rows, (quantities, m, k, bins) as one level.
        extreme: the most extreme rows.
        groups: the statistics of each group; None where there are none.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        count = shape.numbers.count
        self.moments = Moments(count)
        self.histograms = Histograms(count if shape.histograms else 0)
        self.bin_rows = np.zeros((len(shape.numbers.directions), shape.bins), np.int64)
        self.curves = ExactSums(int(np.prod(shape.curves)))
        self._samples = [shape.no_sample()]
        self.extreme: ExtremeRows = no_rows(shape.numbers, shape.extreme_rows)
        self.groups = None if shape.by is None else Groups(shape.by, count)

    def add(self, content: bytes) -> None:
        """Take in the statistics of other rows, as `packed` returns them.

        Raises:
            ValueError: if that is not what they are.
        """
        values, arrays = unpack(content)
        self.moments.add(values["rows"], arrays)
        self.histograms.add(Counts.of(arrays))
        sample = Sample.of(arrays)
        if sample.hashes.size or sample.step > 1:
            self._samples.append(sample)
            if len(self._samples) > _MOST_SAMPLES:
                self.sample()
        self.bin_rows += arrays["bin_rows"]
        self.curves.add(arrays["curves"])
        extreme = {name: arrays[name] for name in ExtremeRows._fields if name != "files"}
        self.extreme = self.extreme.merged(ExtremeRows(**extreme, files=tuple(values["files"])))
        if self.groups is not None:
            self.groups.add(values["groups"], arrays)

    def sample(self) -> Sample:
        """Return the sample of rows, ordered."""
        self._samples = [Sample.joined(self._samples)]
        return self._samples[0]

    def to_bytes(self) -> bytes:
        """Return the same as bytes; the same statistics are the same bytes."""
        return packed(
            self.moments.rows,
            self.histograms.counts(),
            self.sample(),
            self.extreme,
            self.groups.packed() if self.groups else None,
            **self.moments.arrays(),
            bin_rows=self.bin_rows,
            curves=self.curves.terms(),
        )


def packed(
    rows: int,
    histograms: Counts,
    sample: Sample,
    extreme: ExtremeRows,
    groups: Packed | None,
    **arrays: np.ndarray,
) -> bytes:
    """Return statistics as bytes, for `Statistics.add`.

    Args:
        rows: how many rows.
        histograms: of each number.
        sample: of rows.
        extreme: the most extreme rows.
        groups: names and arrays of groups; None where there are none.
        arrays: those of `Moments.add`; `curves`, terms (terms, ...) of which each is the exact sum;
            and `bin_rows`.
    """
    fields = extreme._asdict()
    files = fields.pop("files")
    names, of_groups = groups or ([], {})
    others = {**fields, **of_groups, **histograms.arrays(), **sample.arrays()}
    return pack(
        {"rows": rows, "files": list(files), "groups": names},
        {**arrays, **others},
    )

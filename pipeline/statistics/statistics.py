"""Statistics of rows, and how those of two sets of rows become those of both, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .exact_sum import ExactSums
from .extreme_rows import ExtremeRows, no_rows
from .histogram import Histograms
from .numbers import RowNumbers
from .packed import pack, unpack


@dataclass(frozen=True)
class Shape:
    """What there are statistics of.

    Attributes:
        numbers: of a row.
        ranges: (low, high) of each direction, of its curves.
        bins: of each curve, between the ends of its input's range; 0: there are no curves.
        curve_step: curves are of the rows whose index in their file is a multiple of it.
        histograms: whether there are any: they take memory for each number.
        extreme_rows: how many are kept of each list.
    """

    numbers: RowNumbers
    ranges: Sequence[tuple[float, float]]
    bins: int
    curve_step: int
    histograms: bool
    extreme_rows: int

    @property
    def curves(self) -> tuple[int, int, int, int]:
        """The shape of the sums of curves: quantities, m, k, bins."""
        numbers = self.numbers
        sizes = len(numbers.outputs), len(numbers.directions)
        return len(numbers.curves), *sizes, self.bins


class Statistics:
    """Statistics of rows.

    Counts are exact. Sums are exact sums of what each shard adds up, so that neither the order of
    shards nor who derived them is seen in a single bit.

    Args:
        shape: what there are statistics of.

    Attributes:
        rows: how many rows.
        sums, squares: of each number, and of its square.
        low, high: float64 (numbers,), its ends.
        positive, negative: int64 (numbers,), rows in which it is so.
        histograms: of each number.
        bin_rows: int64 (k, bins), rows whose input lies in each bin of its curves.
        curves: sums over these rows, (quantities, m, k, bins) as one level.
        extreme: the most extreme rows.
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        count = shape.numbers.count
        self.rows = 0
        self.sums, self.squares = ExactSums(count), ExactSums(count)
        self.low, self.high = np.full(count, np.inf), np.full(count, -np.inf)
        self.positive, self.negative = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.histograms = Histograms(count)
        self.bin_rows = np.zeros((len(shape.numbers.directions), shape.bins), np.int64)
        self.curves = ExactSums(int(np.prod(shape.curves)))
        self.extreme: ExtremeRows = no_rows(shape.numbers, shape.extreme_rows)

    def add(self, content: bytes) -> None:
        """Take in the statistics of other rows, as `packed` returns them.

        Raises:
            ValueError: if that is not what they are.
        """
        values, arrays = unpack(content)
        self.rows += values["rows"]
        self.sums.add(arrays["sums"])
        self.squares.add(arrays["squares"])
        np.minimum(self.low, arrays["low"], out=self.low)
        np.maximum(self.high, arrays["high"], out=self.high)
        self.positive += arrays["positive"]
        self.negative += arrays["negative"]
        self.histograms.add(np.cumsum(arrays["codes"].astype(np.int64)), arrays["counts"])
        self.bin_rows += arrays["bin_rows"]
        self.curves.add(arrays["curves"])
        extreme = {name: arrays[name] for name in ExtremeRows._fields if name != "files"}
        self.extreme = self.extreme.merged(ExtremeRows(**extreme, files=tuple(values["files"])))

    def to_bytes(self) -> bytes:
        """Return the same as bytes; the same statistics are the same bytes."""
        return packed(
            self.rows,
            self.histograms.nonzero(),
            self.extreme,
            sums=self.sums.terms(),
            squares=self.squares.terms(),
            low=self.low,
            high=self.high,
            positive=self.positive,
            negative=self.negative,
            bin_rows=self.bin_rows,
            curves=self.curves.terms(),
        )


def packed(
    rows: int,
    counted: tuple[np.ndarray, np.ndarray],
    extreme: ExtremeRows,
    **arrays: np.ndarray,
) -> bytes:
    """Return statistics as bytes, for `Statistics.add`.

    Args:
        rows: how many rows.
        counted: codes, ascending, and counts of the bins that hold numbers.
        extreme: the most extreme rows.
        arrays: `sums`, `squares` and `curves`, as terms (terms, ...) of which each is the exact
            sum; `low`, `high`, `positive`, `negative` and `bin_rows`, as in `Statistics`.
    """
    codes, counts = counted
    fields = extreme._asdict()
    files = fields.pop("files")
    differences = np.diff(codes, prepend=0)  # smaller than the codes
    return pack(
        {"rows": rows, "files": list(files)},
        {**arrays, **fields, "codes": differences, "counts": counts},
    )

"""Statistics of some rows, and how those of two sets of rows become those of both, in any order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .exact_sum import ExactSums
from .extreme_rows import ExtremeRows, no_rows
from .histogram import Counts, Histograms
from .moments import Moments
from .sampling import Sample
from .shape import Shape

# What `unpack` returns: plain values, and arrays.
Packed = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]


class RowStatistics:
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
    """

    def __init__(self, shape: Shape):
        self.shape = shape
        count = shape.numbers.count
        self.moments = Moments(count)
        self.histograms = Histograms(count if shape.histograms else 0)
        self.bin_rows = np.zeros((len(shape.numbers.directions), shape.bins), np.int64)
        self.curves = ExactSums(int(np.prod(shape.curves)))
        self._samples, self._sampled = [shape.no_sample()], 0
        self.extreme: ExtremeRows = no_rows(shape.numbers, shape.extreme_rows)

    def add(self, packed: Packed) -> None:
        """Take in the statistics of other rows, as `packed_rows` returns them."""
        values, arrays = packed
        self.moments.add(values["rows"], arrays)
        self.histograms.add(Counts.of(arrays))
        sample = Sample.of(arrays)
        if sample.hashes.size or sample.step > 1:
            self._samples.append(sample)
            self._sampled += sample.hashes.size
            if self._sampled > 2 * self.shape.most_sampled:
                self.sample()
        self.bin_rows += arrays["bin_rows"]
        self.curves.add(arrays["curves"])
        extreme = {name: arrays[name] for name in ExtremeRows._fields if name != "files"}
        self.extreme = self.extreme.merged(ExtremeRows(**extreme, files=tuple(values["files"])))

    def sample(self) -> Sample:
        """Return the sample of rows, ordered."""
        self._samples = [Sample.joined(self._samples, self.shape.most_sampled)]
        self._sampled = self._samples[0].hashes.size
        return self._samples[0]

    def packed(self) -> Packed:
        """Return the same for `add`; the same statistics are the same."""
        return packed_rows(
            self.moments.rows,
            self.histograms.counts(),
            self.sample(),
            self.extreme,
            **self.moments.arrays(),
            bin_rows=self.bin_rows,
            curves=self.curves.terms(),
        )


def packed_rows(
    rows: int, histograms: Counts, sample: Sample, extreme: ExtremeRows, **arrays: np.ndarray
) -> Packed:
    """Return statistics for `RowStatistics.add`.

    Args:
        rows: how many rows.
        histograms: of each number.
        sample: of rows.
        extreme: the most extreme rows.
        arrays: those of `Moments.add`; `curves`, terms (terms, ...) of which each is the exact sum;
            and `bin_rows`.
    """
    fields = extreme._asdict()
    files = fields.pop("files")
    whole = {**arrays, **fields, **histograms.arrays(), **sample.arrays()}
    return {"rows": rows, "files": list(files)}, whole

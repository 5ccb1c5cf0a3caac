"""What is known of a finished shard: counts and ranges, and how to add them up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hyperdiag.data.reductions import over_rows
from hyperdiag.data.shard import Shard
from hyperdiag.statistics.packed import digest


@dataclass
class Tally:
    """Counts and ranges over rows.

    Attributes:
        read: rows that came from the source, the filtered ones included.
        derived: rows in data files.
        filtered: rows that the row filter left out.
        quarantined: rows in quarantine files, by code.
        out_of_range: rows outside a trained range, whatever became of them.
        ranges: {quantity: [lows, highs]}, a number for each output; empty without derived rows.
        flat: for each output, rows whose Hessian diagonal is zero for every input.
        verified: rows that were compared with the reference.
        largest_error: of these, relative to an output's largest entry in its shard; without the
            errors that the next two count.
        at_kinks: of these, rows where the derivatives jump within rounding of the point.
        rounded: of these, rows with a derivative that the dtype cannot hold beside the value.
    """

    read: int = 0
    derived: int = 0
    filtered: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    out_of_range: int = 0
    ranges: dict[str, list[list[float]]] = field(default_factory=dict)
    flat: list[int] = field(default_factory=list)
    verified: int = 0
    largest_error: float = 0.0
    at_kinks: int = 0
    rounded: int = 0

    def add_ranges(self, arrays: Mapping[str, np.ndarray], ends: Mapping[str, np.ndarray]) -> None:
        """Take in the quantities (rows, m, ...) of good rows, and their `extremes`, by name."""
        if "hessian_diag" in arrays:
            self._add_flat(_flat_rows(arrays["hessian_diag"]).tolist())
        for quantity, (low, high) in ends.items():
            self._widen(quantity, [low.min(axis=1).tolist(), high.max(axis=1).tolist()])

    def _add_flat(self, counts: Sequence[int]) -> None:
        before = self.flat or [0] * len(counts)
        self.flat = [a + b for a, b in zip(before, counts or [0] * len(before), strict=True)]

    def _widen(self, quantity: str, ends: list[list[float]]) -> None:
        lows, highs = self.ranges.get(quantity, ends)
        # `map` takes half of what a comprehension does: this is done for each shard of a run.
        self.ranges[quantity] = [list(map(min, lows, ends[0])), list(map(max, highs, ends[1]))]

    def add(self, other: "Tally") -> None:
        """Take in another tally."""
        self.read += other.read
        self.derived += other.derived
        self.filtered += other.filtered
        self.quarantined += other.quarantined
        self.out_of_range += other.out_of_range
        self._add_flat(other.flat)
        self.verified += other.verified
        self.at_kinks += other.at_kinks
        self.rounded += other.rounded
        self.largest_error = max(self.largest_error, other.largest_error)
        for quantity, ends in other.ranges.items():
            self._widen(quantity, ends)

    @property
    def bad(self) -> int:
        """Rows in quarantine."""
        return self.quarantined.total()

    @property
    def tried(self) -> int:
        """Rows that the filter kept, good and bad."""
        return self.derived + self.bad

    @property
    def bad_fraction(self) -> float:
        """The part of these that is bad."""
        return self.bad / self.tried if self.tried else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "read": self.read,
            "derived": self.derived,
            "filtered": self.filtered,
            "quarantined": dict(sorted(self.quarantined.items())),
            "out_of_range": self.out_of_range,
            "ranges": self.ranges,
            "flat": self.flat,
            "verified": self.verified,
            "largest_error": self.largest_error,
            "at_kinks": self.at_kinks,
            # Only where there are any, so that receipts of earlier releases stay what they are.
            **({"rounded": self.rounded} if self.rounded else {}),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Tally":
        """Read plain values back."""
        return Tally(**{**values, "quarantined": Counter(values["quarantined"])})


def extremes(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the lows and highs of quantities (rows, m, ...), by name; of no rows, nothing.

    Their shape is (2, m, k), where each output has k numbers.

    An end is NaN or infinite where, and only where, a number is.
    """
    return {
        quantity: np.stack([over_rows(np.minimum, array), over_rows(np.maximum, array)])
        for quantity, array in arrays.items()
        if array.shape[0]
    }


def _flat_rows(hessian_diag: np.ndarray) -> np.ndarray:
    """Return for each output the number of rows whose second derivatives are all zero."""
    zero = hessian_diag == 0
    if not zero.any():  # a twentieth of the time, and so it is with smooth networks
        return np.zeros(hessian_diag.shape[1], dtype=np.int64)
    return zero.all(axis=-1).sum(axis=0)


@dataclass(frozen=True)
class Receipt:
    """That a shard is done.

    Attributes:
        shard: its id.
        tally: of its rows.
        seconds: {"read", "compute", "write"}: where the time went; empty when read back from a
            data file, since a shard done twice must write the same bytes.
        stamp: size in bytes and modification time in nanoseconds of the data file.
        batch: rows that were computed at once; 0 when read back.
        statistics: of its rows, as `Statistics.to_bytes` writes them; None: there are none.
        worker: the process that derived it, as "host:process id"; "" when read back.
    """

    shard: int
    tally: Tally
    seconds: Mapping[str, float] = field(default_factory=dict)
    stamp: tuple[int, int] = (0, 0)
    batch: int = 0
    statistics: bytes | None = None
    worker: str = ""

    def to_footer(self, key: str) -> dict[str, Any]:
        """Return what the data file's footer holds; `key` is the plan's, for this shard."""
        footer = {"shard": self.shard, "key": key, "rows": self.tally.to_dict()}
        if self.statistics is not None:
            footer["statistics"] = digest(self.statistics)
        return footer

    @staticmethod
    def from_footer(
        footer: Mapping[str, Any], stamp: tuple[int, int], statistics: bytes | None = None
    ) -> "Receipt":
        """Read a receipt back from a data file's footer, and the statistics beside it."""
        tally = Tally.from_dict(footer["rows"])
        return Receipt(footer["shard"], tally, stamp=stamp, statistics=statistics)


@dataclass(frozen=True)
class Failed:
    """A shard that was given up.

    Attributes:
        shard: which.
        attempts: how often it was tried.
        cause: what happened the last time.
    """

    shard: Shard
    attempts: int
    cause: str


STAGES = ("read", "compute", "verify", "summarise", "write")

"""A sample of rows, told by a hash of where a row comes from: the same in every run."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .places import Places

# Odd numbers and shifts of SplitMix64 (Steele, Lea and Flood, 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = 31
_BITS = 63  # of a hash


def row_hashes(places: Places) -> np.ndarray:
    """Return a whole number from 0 to 2^63 - 1, int64, for each row."""
    hashes = places.row.astype(np.uint64)
    hashes *= _STEP
    starts = np.array([_start(name) for name in places.files], np.uint64)
    hashes += starts[places.file] if starts.size > 1 else starts
    for shift, factor in _MIX:
        hashes ^= hashes >> np.uint64(shift)
        hashes *= factor
    hashes ^= hashes >> np.uint64(_LAST_SHIFT)
    return (hashes >> np.uint64(64 - _BITS)).astype(np.int64)


@lru_cache(maxsize=1024)
def _start(file: str) -> int:
    name = file.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "little")


def sampled(hashes: np.ndarray, step: int) -> np.ndarray:
    """Return which rows are in a sample of one in so many; that of a multiple is within it."""
    return np.flatnonzero(hashes < (1 << _BITS) // step)


class Sample(NamedTuple):
    """Numbers of some rows.

    Attributes:
        hashes: int64 (rows,), of `row_hashes`, ascending.
        numbers: (rows, numbers), float32 or float64.
        step: only one row in so many is kept, of those that came.
    """

    hashes: np.ndarray
    numbers: np.ndarray
    step: int = 1

    @staticmethod
    def joined(parts: "list[Sample]", most: int) -> "Sample":
        """Return the rows of all parts, at least one, whose order is not seen.

        Of more than `most`, every second is left out, as often as it takes.
        """
        hashes, numbers, steps = zip(*parts, strict=True)
        whole = np.concatenate(hashes)
        order, step = np.argsort(whole, kind="stable"), max(steps)
        while (rows := int(np.searchsorted(whole[order], (1 << _BITS) // step))) > most:
            step *= 2
        return Sample(whole[order[:rows]], np.concatenate(numbers)[order[:rows]], step)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for `of`."""
        return {
            "sample_hashes": self.hashes,
            "sample_numbers": self.numbers,
            "sample_step": np.array(self.step),
        }

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> "Sample":
        """Return the sample in arrays, as `arrays` returned them."""
        # Copied: they are views of all that was read with them.
        hashes, numbers = arrays["sample_hashes"].copy(), arrays["sample_numbers"].copy()
        return Sample(hashes, numbers, int(arrays["sample_step"]))

"""What can be wrong with a row, and the rows of a batch that something is wrong with."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cached_property

import numpy as np


class Fault(StrEnum):
    """The codes that stand in the quarantine's `_error_code`."""

    NULL = "null"
    NAN = "nan"
    INFINITE = "infinite"
    OVERFLOW = "overflow"
    WRONG_WIDTH = "wrong_width"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    NON_FINITE_RESULT = "non_finite_result"
    NEGATIVE_DEVIATION = "negative_deviation"
    NON_FINITE_DERIVED = "non_finite_derived"


class Faults:
    """The first fault of each row of a batch: a code and a sentence for a person."""

    def __init__(self, rows: int):
        self.bad = np.zeros(rows, dtype=bool)

    # Made when the first is recorded: most batches have none.
    @cached_property
    def _codes(self) -> np.ndarray:
        return np.full(self.bad.size, None, dtype=object)

    @cached_property
    def _details(self) -> np.ndarray:
        return np.full(self.bad.size, None, dtype=object)

    def add(self, where: np.ndarray, code: Fault, detail: str | Sequence[str] | np.ndarray) -> None:
        """Record a fault.

        Args:
            where: bool (rows,), which rows have it; rows that have one already keep the first.
            code: which fault.
            detail: the sentence; or one for each row of the batch.
        """
        new = where & ~self.bad
        if new.any():
            self.bad |= new
            self._codes[new] = code.value
            self._details[new] = detail if isinstance(detail, str) else np.asarray(detail)[new]

    def __getitem__(self, row: int) -> tuple[Fault, str]:
        """Return code and sentence of a bad row."""
        return Fault(self._codes[row]), self._details[row]

    def __iter__(self) -> Iterator[tuple[int, Fault, str]]:
        """Yield row, code and sentence of each bad row."""
        for row in np.flatnonzero(self.bad).tolist():
            yield row, *self[row]

    def codes(self) -> list[str]:
        """Return the codes of the bad rows, in their order."""
        return self._codes[self.bad].tolist()

    def details(self) -> list[str]:
        """Return the sentences of the bad rows, in their order."""
        return self._details[self.bad].tolist()

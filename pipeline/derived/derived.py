"""All derived quantities of a run: as a plan freezes them, and as a worker computes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict

from hyperdiag.data.blocks import Block
from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.numbers import numbers_of, whole

from .delta_gamma import DeltaGamma
from .elasticity import Elasticity
from .greeks import Greeks
from .kind import Kind
from .mine import Mine
from .propagation import Propagation
from .relative import Relative
from .rows import Names, Rows
from .standardised import Standardised
from .top import Top


@dataclass(frozen=True)
class Derived:
    """The derived quantities of a run, None each where it is not asked for.

    Their order here is that of their columns.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    propagation: Propagation | None = None
    delta_gamma: DeltaGamma | None = None
    elasticity: Elasticity | None = None
    relative: Relative | None = None
    standardised: Standardised | None = None
    greeks: Greeks | None = None
    top: Top | None = None
    mine: Mine | None = None

    @property
    def kinds(self) -> dict[str, Kind]:
        """Those that are asked for, by name."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: kind for name, kind in every.items() if kind is not None}

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def blocks(self, names: Names) -> list[Block]:
        """Return what is written, in the order of the columns."""
        return [block for kind in self.kinds.values() for block in kind.blocks(names)]

    def columns(self) -> tuple[list[str], list[str]]:
        """Return the dataset's columns that hold deviations, and those of other numbers."""
        kinds = self.kinds.values()
        deviations = frozenset().union(*(kind.deviation_columns for kind in kinds))
        others = frozenset().union(*(kind.other_columns for kind in kinds))
        return sorted(deviations), sorted(others)


class Deriver:
    """Computes the derived quantities of a run. Several threads may use it.

    Args:
        derived: which.
        names: of the network's inputs and outputs.
        dtype: "float32" or "float64", of what comes out.

    Raises:
        HyperdiagError: if a function of the user's is not as planned.
    """

    def __init__(self, derived: Derived, names: Names, dtype: str):
        self._kinds = list(derived.kinds.values())
        self._names, self._dtype = names, dtype
        self._deviations, self._others = derived.columns()
        self._blocks = derived.blocks(names)
        if derived.mine:
            derived.mine.check_function()

    def read(self, table: pa.Table, faults: Faults) -> dict[str, np.ndarray]:
        """Return the columns that deviations and shocks stand in, float64 (rows, 1) each, by name.

        A row without a number in one of them is noted in the faults, and so is a deviation below
        zero; it has a zero there.
        """
        columns = {}
        for name in dict.fromkeys([*self._deviations, *self._others]):
            what = f"column '{name}'"
            values = numbers_of(whole(table[name]), "float64", what, faults)
            negative = (values < 0) & ~faults.bad
            if name in self._deviations and negative.any():
                details = [f"{what}, a standard deviation, is {value:g}" for value in values]
                faults.add(negative, Fault.NEGATIVE_DEVIATION, details)
            columns[name] = np.where(faults.bad, 0.0, values)[:, None]
        return columns

    def compute(
        self,
        points: np.ndarray,
        quantities: Mapping[str, np.ndarray],
        columns: Mapping[str, np.ndarray],
    ) -> list[np.ndarray]:
        """Return an array (rows, *shape) for each block, in the run's dtype; positions are whole.

        Args:
            points: (rows, n), as the network was derived at.
            quantities: the kernel's, (rows, m, ...) each, by name.
            columns: as `read` returns them, of the same rows.

        Raises:
            HyperdiagError: if a function of the user's fails.
        """
        with np.errstate(all="ignore"):  # what is not finite is looked for
            rows = Rows(self._names, points, quantities, columns)
            return [
                array if block.labels else array.astype(self._dtype)
                for block, array in zip(self._blocks, self._arrays(rows), strict=True)
            ]

    def _arrays(self, rows: Rows) -> Iterator[np.ndarray]:
        for kind in self._kinds:
            outputs = None
            if kind.outputs is not None:
                outputs = tuple(self._names.outputs.index(name) for name in kind.outputs)
            yield from kind.arrays(replace(rows, outputs=outputs))

    def check_finite(self, arrays: list[np.ndarray], faults: Faults) -> None:
        """Note rows in the faults of which a derived number is not finite, naming its column."""
        for block, array in zip(self._blocks, arrays, strict=True):
            if block.labels or np.isfinite(array).all():
                continue
            flat = array.reshape(array.shape[0], -1)
            finite = np.isfinite(flat)
            details = np.full(len(flat), "", dtype=object)
            bad = ~finite.all(axis=1)
            names = block.columns
            for row in np.flatnonzero(bad & ~faults.bad):
                entry = int(np.argmin(finite[row]))
                details[row] = f"'{names[entry]}' is {flat[row, entry]}"
            faults.add(bad, Fault.NON_FINITE_DERIVED, details)

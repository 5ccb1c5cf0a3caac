"""Which axes and positions of arrays belong together, and what is refused."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hyperdiag.messages.errors import UsageError, listed

FOREIGN = (
    "a NamedArray and another kind of array with named axes would be paired by position: take "
    "to_xarray() of both, or .values"
)


class NamedAxes(Protocol):
    """What has named axes: see `NamedArray`."""

    @property
    def dims(self) -> tuple[str, ...]:
        """The name of each axis."""

    @property
    def coords(self) -> Mapping[str, tuple[str, ...]]:
        """{axis: the names of its positions}, where they have names."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""


def common_axes(
    arrays: Sequence[NamedAxes],
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], dict[str, int]]:
    """Return the axes of all arrays, as they come, with the names and numbers of their positions.

    Raises:
        UsageError: if an axis has other positions in one of them than in another.
    """
    sizes: dict[str, int] = {}
    coords: dict[str, tuple[str, ...]] = {}
    for array in arrays:
        for dim, size in zip(array.dims, array.shape, strict=True):
            first, names = coords.get(dim), array.coords.get(dim)
            if first is not None and names is not None and first != names:
                if {*first} != {*names}:
                    raise UsageError(
                        f"axis '{dim}' has {listed(first)} in one array and {listed(names)} in "
                        "another: take parts of one kind with sel(...)"
                    )
                refuse_repeated(dim, first, first)
                refuse_repeated(dim, names, names)
            if sizes.setdefault(dim, size) != size:
                raise UsageError(
                    f"axis '{dim}' has {sizes[dim]:,} positions in one array and {size:,} in "
                    "another: take arrays of the same rows"
                )
            if names is not None:
                coords.setdefault(dim, names)
    return tuple(sizes), coords, sizes


def refuse_others(first: NamedAxes, other: NamedAxes, function: str) -> None:
    """Raise UsageError if a function that goes by position would mix axes or names of two arrays.

    They may have different numbers of rows, which a function may join (`numpy.concatenate`).
    """
    if (first.dims, {**first.coords}) != (other.dims, {**other.coords}):
        raise UsageError(
            f"{function}() goes by position, and axes or names are others, or in another order, "
            f"in {_described(first)} and {_described(other)}: give it .values of both"
        )


def refuse_repeated(dim: str, names: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise UsageError if a wanted name is more than once among the names along an axis."""
    repeated = {name: None for name in wanted if names.count(name) > 1}
    if repeated:
        raise UsageError(
            f"axis '{dim}' has {listed(repeated)} more than once: which is meant is unknown"
        )


def refuse_foreign(operand: Any) -> None:
    """Raise UsageError if an operand has named axes of another kind, such as xarray's."""
    if hasattr(operand, "dims"):
        raise UsageError(FOREIGN)


def refuse_out(options: Mapping[str, Any]) -> None:
    """Raise UsageError if the options of a function of NumPy's say where to write."""
    if options.get("out") is not None:
        raise UsageError(
            "a NamedArray is not changed in place: write a = a + b for a += b, and no out="
        )


def refuse_misfit(shape: tuple[int, ...], sizes: Mapping[str, int]) -> None:
    """Raise UsageError unless NumPy spreads a shape over axes of these sizes, which stay so."""
    whole = tuple(sizes.values())
    try:
        fits = np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"an array of shape {shape} does not go with axes "
            f"{', '.join(f'{dim}: {size:,}' for dim, size in sizes.items())}"
        )


def _described(array: NamedAxes) -> str:
    names = array.coords
    return " x ".join(
        f"{dim} ({listed(names[dim])})" if dim in names else dim for dim in array.dims
    )

"""Arrays whose axes and positions have names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from hyperdiag.messages.errors import UsageError, closest_or_all, listed

ROW = "row"
Axis = str | int | Sequence[str | int] | None


@dataclass(frozen=True, eq=False)
class NamedArray(NDArrayOperatorsMixin):
    """An array with named axes, as xarray has them, without xarray.

    `numpy.asarray(array)` is `array.values`. Operators, comparisons and NumPy's functions of single
    numbers (`numpy.abs`, `numpy.exp`) return arrays with names. Of two of them, axes of one name
    belong together, and so do positions of one name along them; the axes that one does not have are
    added to it: `jacobian / value`. With a plain array, axes belong together as NumPy has it, from
    the last on, and it may add none.

    Attributes:
        values: the numbers, float32 or float64; or texts, as objects.
        dims: the name of each axis: "row", "output", "input", of a Hessian also "other_input"; of
            what is derived "scenario" and "rank", too.
        coords: {axis: the names of its positions}, of all axes but "row".
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers."""
        return self.values.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Return what a function of NumPy's makes of arrays.

        Raises:
            UsageError: if their axes or positions do not belong together, or one is to be changed
                in place.
        """
        if options.get("out") is not None:
            raise UsageError("a NamedArray is not changed in place: write a = a + b for a += b")
        if method != "__call__" or ufunc.signature is not None:  # of axes by their positions
            plain = [each.values if isinstance(each, NamedArray) else each for each in inputs]
            return getattr(ufunc, method)(*plain, **options)
        dims, coords, sizes = _common_axes([i for i in inputs if isinstance(i, NamedArray)])
        plain = []
        for each in inputs:
            if isinstance(each, NamedArray):
                plain.append(each._values_along(dims, coords))
                continue
            # Numbers as they are: one of Python's takes the dtype of the others.
            plain.append(np.asarray(each) if np.ndim(each) else each)
            if not _fits(np.shape(each), tuple(sizes.values())):
                raise UsageError(
                    f"an array of shape {np.shape(each)} does not go with axes "
                    f"{', '.join(f'{dim}: {size:,}' for dim, size in sizes.items())}"
                )
        results = ufunc(*plain, **options)
        if isinstance(results, tuple):
            return tuple(NamedArray(values, dims, coords) for values in results)
        return NamedArray(results, dims, coords)

    def _values_along(self, dims: Sequence[str], coords: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Return the numbers along other axes too, all positions in a given order."""
        values = self.values
        for axis, dim in enumerate(self.dims):
            if dim in coords and self.coords[dim] != coords[dim]:
                order = [self.coords[dim].index(name) for name in coords[dim]]
                values = np.take(values, order, axis)
        own = [dim for dim in dims if dim in self.dims]
        values = values.transpose([self.dims.index(dim) for dim in own])
        return np.expand_dims(values, [at for at, dim in enumerate(dims) if dim not in own])

    def sum(self, axis: Axis = None, dtype: Any = None, out: None = None) -> Any:
        """Return sums over axes, by name (or position): `sum("row")`, `sum(("row", "input"))`.

        Sums, means and deviations are float64 unless a dtype is asked for: of many float32 numbers,
        others lose digits.

        Args:
            axis: which; None: all, which makes a number.
            dtype: of the sums.
            out: none: NumPy's own functions name it.

        Raises:
            UsageError: if there is no such axis.
        """
        return self._over(np.sum, axis, dtype=self._wide(dtype), out=out)

    def mean(self, axis: Axis = None, dtype: Any = None, out: None = None) -> Any:
        """Return means over axes; see `sum`."""
        return self._over(np.mean, axis, dtype=self._wide(dtype), out=out)

    def std(self, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0) -> Any:
        """Return standard deviations over axes, of n numbers by n - ddof; see `sum`."""
        return self._over(np.std, axis, dtype=self._wide(dtype), out=out, ddof=ddof)

    def min(self, axis: Axis = None, out: None = None) -> Any:
        """Return the smallest numbers over axes; see `sum`."""
        return self._over(np.min, axis, out=out)

    def max(self, axis: Axis = None, out: None = None) -> Any:
        """Return the largest numbers over axes; see `sum`."""
        return self._over(np.max, axis, out=out)

    def _wide(self, dtype: Any) -> Any:
        return np.float64 if dtype is None and self.dtype.kind == "f" else dtype

    def _over(self, function: Any, axis: Axis, **options: Any) -> Any:
        wanted = self.dims if axis is None else (axis,) if isinstance(axis, str | int) else axis
        for each in wanted:
            if isinstance(each, str) and each not in self.dims:
                raise UsageError(f"no axis '{each}'{closest_or_all(each, self.dims)}")
        positions = [self.dims.index(a) if isinstance(a, str) else a for a in wanted]
        values = function(self.values, axis=tuple(positions), **options)
        gone = {self.dims[position] for position in positions}
        dims = tuple(dim for dim in self.dims if dim not in gone)
        coords = {dim: names for dim, names in self.coords.items() if dim in dims}
        return NamedArray(values, dims, coords) if dims else values

    def __bool__(self) -> bool:
        return bool(self.values)  # as NumPy: of several it is an error, not whether there are any

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{d}: {size:,}" for d, size in zip(self.dims, self.shape, strict=True))
        return f"NamedArray({sizes}; {self.dtype})"

    def sel(self, **names: str | Sequence[str]) -> Any:
        """Return a part, by the names of outputs and inputs; a number where no axis is left.

        Args:
            names: {axis: name}, whose axis goes, or {axis: names}, whose axis has these alone, in
                that order: `sel(output="price", input=["spot", "vol"])`.

        Raises:
            UsageError: if there is no such axis or name, with the closest that there is.
        """
        part = self
        for dim, wanted in names.items():
            part = part._sel_along(dim, wanted)
        return part if part.dims else part.values[()]

    def _sel_along(self, dim: str, wanted: str | Sequence[str]) -> "NamedArray":
        if dim == ROW:
            raise UsageError("rows have no names: take them from .values, by their numbers")
        if dim not in self.coords:
            raise UsageError(f"no axis '{dim}'{closest_or_all(dim, self.coords)}")
        known, axis = self.coords[dim], self.dims.index(dim)
        chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for name in chosen:
            if name not in known:
                raise UsageError(f"no {dim} '{name}'{closest_or_all(name, known)}")
        positions = [known.index(name) for name in chosen]
        if not isinstance(wanted, str):
            values = np.take(self.values, positions, axis)
            return replace(self, values=values, coords={**self.coords, dim: chosen})
        dims = self.dims[:axis] + self.dims[axis + 1 :]
        coords = {name: self.coords[name] for name in dims if name in self.coords}
        return NamedArray(np.take(self.values, positions[0], axis), dims, coords)

    def to_xarray(self) -> Any:
        """Return the same as an `xarray.DataArray`.

        Raises:
            UsageError: if xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise UsageError(
                "to_xarray() needs the package xarray: pip install xarray; numpy.asarray(...) and "
                "sel(...) do without"
            ) from error
        coords = {dim: list(names) for dim, names in self.coords.items()}
        return xarray.DataArray(self.values, coords=coords, dims=self.dims)


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether NumPy spreads a shape over a whole one, which stays as it is."""
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def _common_axes(
    arrays: Sequence[NamedArray],
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
            if first is not None and names is not None and {*first} != {*names}:
                raise UsageError(
                    f"axis '{dim}' has {listed(first)} in one array and {listed(names)} in another:"
                    " take parts of one kind with sel(...)"
                )
            if sizes.setdefault(dim, size) != size:
                raise UsageError(
                    f"axis '{dim}' has {sizes[dim]:,} positions in one array and {size:,} in "
                    "another: take arrays of the same rows"
                )
            if names is not None:
                coords.setdefault(dim, names)
    return tuple(sizes), coords, sizes

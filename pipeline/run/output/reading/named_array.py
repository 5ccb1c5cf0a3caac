"""Arrays whose axes and positions have names."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from hyperdiag.messages.errors import UsageError, closest_or_all

from .named_axes import (
    FOREIGN,
    common_axes,
    refuse_foreign,
    refuse_misfit,
    refuse_others,
    refuse_out,
    refuse_repeated,
)

ROW = "row"
Axis = str | int | Sequence[str | int] | None

# What of NumPy goes by names besides its ufuncs: functions of each number, and those over axes.
_OF_EACH = {np.allclose, np.around, np.clip, np.isclose, np.nan_to_num, np.round, np.where}
_OVER_AXES = {np.all, np.amax, np.amin, np.any, np.max, np.mean, np.median, np.min, np.prod}
_OVER_AXES |= {np.std, np.sum, np.var, np.nanmax, np.nanmean, np.nanmin, np.nansum}


class _OfTheType:
    """A method that NumPy sees, which asks the type, and xarray does not, which asks the object.

    With it, `xarray.DataArray(array)` would hold a NamedArray in the place of its numbers.
    """

    def __init__(self, method: Callable) -> None:
        self._method = method

    def __get__(self, instance: Any, owner: type) -> Callable:
        if instance is None:
            return self._method
        raise AttributeError(self._method.__name__)


@dataclass(frozen=True, eq=False)
class NamedArray(NDArrayOperatorsMixin):
    """An array with named axes, as xarray has them, without xarray.

    `numpy.asarray(array)` is `array.values`. Operators, comparisons, NumPy's ufuncs (`numpy.abs`,
    `numpy.exp`) and its `clip`, `isclose`, `nan_to_num`, `round` and `where` return arrays with
    names; `allclose` goes by them, too. Of two arrays, axes of one name belong together, and so do
    positions of one name along them; the axes that one does not have are added to it:
    `jacobian / value`. Rows have no names and belong together by their order. With a plain array,
    axes belong together as NumPy has it, from the last on, and it may add none.

    Every other function of NumPy takes the numbers for plain arrays, and refuses two whose axes or
    names differ, or are in another order.

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
        """Return what a ufunc of NumPy's makes of arrays.

        Raises:
            UsageError: if their axes or positions do not belong together, one is no NamedArray but
                has named axes, or one is to be changed in place.
        """
        if method == "__call__" and ufunc.signature is None:
            return _by_names(ufunc, inputs, options)
        return _by_position(
            ufunc if method == "__call__" else getattr(ufunc, method), inputs, options
        )

    @_OfTheType
    def __array_function__(
        self, function: Callable, types: Any, arguments: tuple, options: dict[str, Any]
    ) -> Any:
        """Return what another function of NumPy's makes of arrays; see `__array_ufunc__`."""
        if function in _OVER_AXES:
            bound = signature(function).bind(*arguments, **options).arguments
            if isinstance(array := bound.pop("a"), NamedArray):
                return array._over(function, **bound)
        # Of a condition alone, `where` returns positions.
        if function in _OF_EACH and not (function is np.where and len(arguments) == 1):
            return _by_names(function, arguments, options)
        return _by_position(function, arguments, options)

    @property
    def variable(self) -> Any:
        """Refused: xarray asks an operand for it, and would pair with another by position."""
        raise UsageError(FOREIGN)

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

    def sum(self, axis: Axis = None, **options: Any) -> Any:
        """Return sums over axes, by name (or position): `sum("row")`, `sum(("row", "input"))`.

        So do NumPy's own functions: `numpy.sum(array, axis="row")`, `numpy.median` and `numpy.var`.
        Sums, means and deviations are float64 unless a dtype is asked for: of many float32 numbers,
        others lose digits.

        Args:
            axis: which; None: all, which makes a number.
            options: of NumPy's function: `dtype`, of deviations `ddof`. An array among them, as
                `where`, has the axes of this one.

        Raises:
            UsageError: if there is no such axis.
        """
        return self._over(np.sum, axis, **options)

    def mean(self, axis: Axis = None, **options: Any) -> Any:
        """Return means over axes; see `sum`."""
        return self._over(np.mean, axis, **options)

    def std(self, axis: Axis = None, **options: Any) -> Any:
        """Return standard deviations over axes, of n numbers by n - ddof; see `sum`."""
        return self._over(np.std, axis, **options)

    def min(self, axis: Axis = None, **options: Any) -> Any:
        """Return the smallest numbers over axes; see `sum`."""
        return self._over(np.min, axis, **options)

    def max(self, axis: Axis = None, **options: Any) -> Any:
        """Return the largest numbers over axes; see `sum`."""
        return self._over(np.max, axis, **options)

    def any(self, axis: Axis = None, **options: Any) -> Any:
        """Return whether any number is true (not 0) over axes; see `sum`."""
        return self._over(np.any, axis, **options)

    def all(self, axis: Axis = None, **options: Any) -> Any:
        """Return whether all numbers are true (not 0) over axes; see `sum`."""
        return self._over(np.all, axis, **options)

    def _over(self, function: Callable, axis: Axis = None, **options: Any) -> Any:
        if options.pop("keepdims", None):
            raise UsageError(
                'no keepdims: axes go by name, so that array - array.mean("row") does without'
            )
        wanted = self.dims if axis is None else (axis,) if isinstance(axis, str | int) else axis
        for each in wanted:
            if isinstance(each, str) and each not in self.dims:
                raise UsageError(f"no axis '{each}'{closest_or_all(each, self.dims)}")
        positions = [self.dims.index(a) if isinstance(a, str) else a for a in wanted]
        if self.dtype.kind == "f" and "dtype" in signature(function).parameters:
            options["dtype"] = options.get("dtype") or np.float64
        values = _by_position(function, (self,), {"axis": tuple(positions), **options})
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
        single = isinstance(wanted, str) or not isinstance(wanted, Iterable)
        chosen: tuple[Any, ...] = (wanted,) if single else tuple(wanted)
        for name in chosen:
            if not isinstance(name, str) or name not in known:
                shown = f"'{name}'" if isinstance(name, str) else name
                raise UsageError(f"no {dim} {shown}{closest_or_all(str(name), known)}")
            refuse_repeated(dim, known, (name,))
        positions = [known.index(name) for name in chosen]
        if not single:
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


def _by_names(function: Callable, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return what a function of single numbers makes of arrays, whose names belong together."""
    operands = [*arguments, *options.values()]
    dims, coords, sizes = common_axes([each for each in operands if isinstance(each, NamedArray)])
    refuse_out(options)
    if options.get("where", True) is not True:
        raise UsageError(
            "where= leaves numbers undefined: write numpy.where(condition, function(a), others)"
        )

    def spread(operand: Any) -> Any:
        if isinstance(operand, NamedArray):
            return operand._values_along(dims, coords)
        refuse_foreign(operand)
        refuse_misfit(np.shape(operand), sizes)
        # Numbers as they are: one of Python's takes the dtype of the others.
        return np.asarray(operand) if np.ndim(operand) else operand

    no_operands = "dtype", "signature"
    named = {key: o if key in no_operands else spread(o) for key, o in options.items()}
    results = function(*map(spread, arguments), **named)
    if isinstance(results, tuple):
        return tuple(NamedArray(values, dims, coords) for values in results)
    return NamedArray(results, dims, coords) if np.ndim(results) else results


def _by_position(function: Callable, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return what a function makes of plain arrays of the numbers, of one order of the names."""
    arrays: list[NamedArray] = []

    def plain(operand: Any) -> Any:
        if type(operand) in (list, tuple):
            return type(operand)(map(plain, operand))
        if not isinstance(operand, NamedArray):
            refuse_foreign(operand)
            return operand
        arrays.append(operand)
        refuse_others(arrays[0], operand, function.__name__)
        return operand.values

    refuse_out(options)
    if isinstance(options.get("axis"), str):
        raise UsageError(f"{function.__name__}() takes axes by position: axis=0")
    return function(*map(plain, arguments), **{key: plain(o) for key, o in options.items()})

"""`mine`: a function of the user's own, package.module:function.

    def function(x, y, J, D, **options): ...

takes rows all at once, float64: x (rows, n) the inputs, y (rows, m) the value, J (rows, m, k) the
Jacobian and D (rows, m, k) the Hessian diagonal. It returns (rows, c), or (rows,) where there is a
single column, or {column: (rows,)}; a row's numbers must not depend on the others. The options are
those of `derived.mine.options`, the same for all rows. Its columns it has as an attribute, with
their units if it likes:

    function.columns = ["largest_move"]          or {"largest_move": "EUR"}
"""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import JsonValue

from hyperdiag.data.blocks import Block
from hyperdiag.messages.errors import HyperdiagError, UsageError, first_line
from hyperdiag.networks.target import find_target

from .kind import Kind
from .rows import Names, Rows

KEY = "derived.mine"
_ROWS = 3  # of a trial
_SAME = 1e-9  # relative: rounding, by which a row may differ alone and among others


@dataclass(frozen=True)
class Mine(Kind):
    """A user's function.

    Attributes:
        target: package.module:function.
        columns: (name, unit) of each.
        digest: 16 hexadecimal digits over the source of its module; what that imports is not in it.
        options: its keyword arguments; plans without have no such key.
    """

    target: str
    columns: tuple[tuple[str, str], ...]
    digest: str
    options: Mapping[str, JsonValue] = field(default_factory=dict)

    @cached_property
    def _function(self) -> Any:
        """The function, in this process.

        Raises:
            UsageError: if it is not to be found here.
            HyperdiagError: if it is another than was planned.
        """
        function = find_target(self.target, KEY, "function")
        digest = _digest(function, self.target)
        if digest != self.digest:
            raise HyperdiagError(
                f"{KEY}={self.target} was planned with digest {self.digest}, but its module here "
                f"has {digest}: give the workers the same code"
            )
        return function

    def check_function(self) -> None:
        """Find the function in this process.

        Raises:
            HyperdiagError: if it is not here, or is another than was planned.
        """
        assert self._function

    def blocks(self, names: Names) -> list[Block]:
        """Return its columns, each by itself."""
        return [Block(name, "mine", unit) for name, unit in self.columns]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return what the function does, (rows,) for each column.

        Raises:
            HyperdiagError: if it fails, or returns something else.
        """
        quantities = (rows.quantities[name] for name in ("value", "jacobian", "hessian_diag"))
        arguments = (rows.points, *quantities)
        names = [name for name, _ in self.columns]
        try:
            return _called(self._function, self.target, names, arguments, self.options)
        except UsageError as error:
            raise HyperdiagError(str(error)) from error


def plan_mine(
    target: str, names: Names, points: np.ndarray, options: Mapping[str, JsonValue]
) -> Mine:
    """Find a user's function and try it.

    Args:
        target: package.module:function.
        names: of the network's inputs and outputs.
        points: typical ones, (rows, n), a few at least.
        options: its keyword arguments.

    Raises:
        UsageError: if it is not to be found, declares no columns, does not take its options, fails
            at rows, returns something else, or lets rows depend on one another.
    """
    function = find_target(target, KEY, "function")
    columns = _declared(function, target)
    _check_options(function, target, options)
    # Made up, all above zero: what the network has at these points would have to be compiled.
    m, k = len(names.outputs), len(names.directions)
    draw = np.random.default_rng(0).uniform
    x = points[:_ROWS]
    shapes = (len(x), m), (len(x), m, k), (len(x), m, k)
    arguments = (x, *(draw(0.5, 1.5, shape) for shape in shapes))
    declared = list(columns)
    together = _called(function, target, declared, arguments, options)
    for row in range(len(x)):
        by_itself = tuple(a[row : row + 1] for a in arguments)
        alone = _called(function, target, declared, by_itself, options)
        for name, whole, single in zip(declared, together, alone, strict=True):
            if not np.allclose(whole[row], single[0], rtol=_SAME, atol=0.0, equal_nan=True):
                raise UsageError(
                    f"{KEY}={target}: '{name}' of a row is {single[0]:g} by itself and "
                    f"{whole[row]:g} among others: a row must not depend on other rows"
                )
    return Mine(None, target, tuple(columns.items()), _digest(function, target), options)


def _check_options(function: Any, target: str, options: Mapping[str, JsonValue]) -> None:
    """Check that a function takes (x, y, J, D) and these keyword arguments.

    Raises:
        UsageError: saying which it does not take, or lacks.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # one that does not tell: the trial will
        return
    try:
        signature.bind(*"xyJD", **options)
    except TypeError as error:
        raise UsageError(
            f"{KEY}: {target} is called with (x, y, J, D"
            f"{''.join(f', {name}={value!r}' for name, value in options.items())}), those after D "
            f"from {KEY}.options, and takes {signature}: {error}"
        ) from error


def _declared(function: Any, target: str) -> dict[str, str]:
    """Return the columns that a function declares, with their units."""
    if not callable(function):
        raise UsageError(f"{KEY}={target} is a {type(function).__name__}, not a function")
    columns = getattr(function, "columns", None)
    if isinstance(columns, Mapping):
        columns = dict(columns)
    elif isinstance(columns, list | tuple):
        columns = dict.fromkeys(columns, "")
    texts = isinstance(columns, dict) and all(
        isinstance(text, str) for pair in columns.items() for text in pair
    )
    if not columns or not texts or not all(columns):
        raise UsageError(
            f"{KEY}={target} does not say what its columns are called: below it, "
            f'{target.rpartition(":")[2]}.columns = ["name", ...], or {{"name": "unit", ...}}'
        )
    return columns


def _digest(function: Any, target: str) -> str:
    """Return 16 hexadecimal digits over the source of a function's module."""
    module = sys.modules[target.partition(":")[0]]
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise UsageError(
            f"{KEY}={target}: the source of its module cannot be read, by which a run is known "
            "again; put the function into a file of Python"
        ) from error
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _called(
    function: Any,
    target: str,
    columns: list[str],
    arguments: tuple[np.ndarray, ...],
    options: Mapping[str, JsonValue],
) -> list[np.ndarray]:
    """Return a function's columns (rows,) at rows, each float64.

    Raises:
        UsageError: if it fails, or returns something else.
    """
    try:
        # Of its own, in one order: in another NumPy may add up in another one, too.
        with np.errstate(all="ignore"):
            arrays = (np.array(a, np.float64, order="C") for a in arguments)
            # Copies: what it does to them would reach other rows.
            returned = function(*arrays, **deepcopy(dict(options)))
            if isinstance(returned, Mapping):
                if set(returned) != set(columns):
                    raise ValueError(f"it returns {sorted(returned)}, and declares {columns}")
                returned = np.stack([returned[name] for name in columns], axis=1)
            if np.iscomplexobj(returned):
                raise ValueError("it returns complex numbers")
            array = np.asarray(returned, np.float64)
    except Exception as error:  # a user's function may raise anything
        raise UsageError(
            f"{KEY}={target} fails on {len(arguments[0])} rows: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    if array.ndim == 1 and len(columns) == 1:
        array = array[:, None]
    wanted = (len(arguments[0]), len(columns))
    if array.shape != wanted:
        raise UsageError(
            f"{KEY}={target} returns {array.shape} for {wanted[0]} rows; it declares "
            f"{len(columns)} columns, which makes {wanted}"
        )
    return list(array.T)

"""The front: one jitted call from a batch of points to the derivatives asked for."""

import contextlib
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._checks import check_output, check_outputs, checked_directions, traced_output
from ._choice import Choice
from ._convolution_matrix import no_matrices, takes_matrix
from ._cores import SharedRows, cores
from ._corrected import corrected
from ._device import this_device
from ._equation import RuleError
from ._finite_again import FiniteAgain
from ._float32_function import Float32Function
from ._jaxpr import direct_equations, equations, multiply_adds, shape_of
from ._jitted import Jitted
from ._memory import keep_freed_pages
from ._methods import METHODS, Function, Method, MethodError
from ._numerics import numerics
from ._precision import HIGHEST, check_precision, with_precision
from ._quantities import at_point, displaced
from ._reason import reason
from ._tiles import in_tiles
from ._tuner import fitting_tile, tune

AUTO = "auto"


class Derivatives(NamedTuple):
    """Value, Jacobian and Hessian diagonal of a batch of `rows` points.

    Attributes:
        value: y, shape (rows, m).
        jacobian: dy_j/dx_i, shape (rows, m, n), or (rows, m, len(wrt)).
        hessian_diag: d2y_j/dx_i2, shaped as the Jacobian.
    """

    value: Any
    jacobian: Any
    hessian_diag: Any


class Bundle:
    """A jitted function from points (rows, n) to their derivatives; see `derivatives`.

    Attributes:
        choice: the method and the tile that it uses.
        n_inputs: n.
    """

    def __init__(
        self,
        batch: Callable[..., Any],
        n_inputs: int,
        dtype: str,
        choice: Choice,
        advice: Callable[[], str],
        on_cores: Callable[..., Any] | None = None,
    ):
        self.choice, self.advice = choice, advice
        self._batch, self.n_inputs, self._dtype = batch, n_inputs, dtype
        self._on_cores = on_cores or batch

    def __call__(self, x: Any, direction: Any = None) -> Any:
        """Return the derivatives at points `x`, (rows, n), converted to the bundle's dtype.

        Args:
            x: anything that `jnp.asarray` takes.
            direction: (rows, n): for the output "hvp" alone, along what.

        Raises:
            ValueError: for another shape.
            MemoryError: if the call would take more memory than is free, with both figures.
        """
        with numerics(self._dtype):
            arrays = [self._checked(x, "x")]
            if direction is not None:
                arrays.append(self._checked(direction, "direction"))
                if arrays[1].shape != arrays[0].shape:
                    raise ValueError(f"direction must have the shape of x, {arrays[0].shape}")
            try:
                return self._on_cores(*arrays)
            except (RuleError, MethodError) as error:
                raise type(error)(f"{error}; {self.advice()}") from error

    def warm_up(self, x: Any, compile_seconds: float, call_seconds: float) -> None:
        """Compile for so many points, without directions, and call once.

        Raises:
            TimeoutError: if either takes longer than that: XLA may hang.
            MemoryError: as a call.
        """
        assert isinstance(self._batch, Jitted)
        with numerics(self._dtype):
            self._batch.warm_up((self._checked(x, "x"),), compile_seconds, call_seconds)

    def counted_bytes(self, rows: int, seconds: float) -> int:
        """Return the bytes that a call for so many points will take; 0 where it is little.

        Args:
            rows: the number of points.
            seconds: that compiling may take, which counts them.

        Raises:
            Hanging: if it takes longer.
        """
        if not isinstance(self._batch, Jitted):
            return 0
        with numerics(self._dtype):
            shape = jax.ShapeDtypeStruct((rows, self.n_inputs), np.dtype(self._dtype))
            return self._batch.counted_bytes(shape, seconds)

    def _checked(self, x: Any, name: str) -> jax.Array:
        rows = jnp.asarray(x, self._dtype)
        if rows.ndim != 2 or rows.shape[1] != self.n_inputs:
            raise ValueError(f"{name} must have shape (rows, {self.n_inputs}); got {rows.shape}")
        return rows


def derivatives(
    fn: Function,
    n_inputs: int,
    method: str = AUTO,
    wrt: Sequence[int] | None = None,
    dtype: str = "float32",
    tile: int | None = None,
    outputs: Sequence[str] = Derivatives._fields,
    tuning_seconds: float = 9.0,
    threads: int | None = None,
    precision: str = HIGHEST,
) -> Bundle:
    """Return a jitted function from points (rows, n) to `Derivatives`.

    Args:
        fn: maps one point of shape (n,) to (m,), or to () which counts as m = 1; any function
            that JAX can trace. A function of a batch must be written for one point instead.
        n_inputs: n.
        method: a name from `METHODS`, or "auto" for the fastest on this device, found by timing
            the sensible ones (and kept: see `_choice`).
        wrt: indices of the inputs to differentiate with respect to; None means all. Only these
            directions are computed.
        dtype: "float32" or "float64": of the arithmetic and of the results.
        tile: rows that go through the network at a time, in a loop inside the call. A last tile
            that is not full is filled up, so that a row's bits do not depend on how many there
            are. None means the fastest for "auto" and this package's own methods, and for the
            others the whole batch at once, or as many rows as stay within a fixed amount of memory
            where the rows are large.
        outputs: what to return, in this order, each (rows, ...), with k = n or len(wrt):
            "value" (m,), "jacobian" (m, k), "hessian_diag" (m, k), "laplacian" (m,), the sum of
            hessian_diag over the inputs, "hvp" (m, k), the Hessian of each output times a
            direction given with each call, "hessian" (m, k, k). Less costs less.
        tuning_seconds: what timing may take, about.
        threads: cores of a CPU that compute at a time, each a part of the rows of a call; None
            means all that the process may use, or as many as PJRT_NPROC allows JAX. Bits do not
            depend on it. Rows are shared where there is a tile, and enough of them.
        precision: of matrix products of float32 numbers, of `PRECISIONS`: "highest", or a lower one
            that tensor cores are faster at. Where the device has no such products (see
            `device_precisions`), they are made of float32 ones, which is slower, and shows the
            errors. Convolutions and linear algebra keep the highest.

    A function with a derivative rule of its own (`custom_jvp`, `custom_vjp`) is taken to have that
    rule as its derivative wherever a first derivative is needed, the squares in second derivatives
    included. Nested JAX transforms, and so the other methods, differentiate the value that the rule
    returns by whatever computes it there: they differ where that is not the function itself, as in
    straight-through estimators.

    Within a transformation (`jit`, `grad`) on a CPU, what is infinite in an image makes NaN of all
    that a small convolution makes of it; in a call outside of one, only of what meets it.

    A fault of JAX to know of: it keeps a NumPy float64 array that `fn` closes over in the precision
    of its first trace, for as long as that trace lives. Where one process derives one function in
    both dtypes, let `fn` convert (`jnp.asarray(weights, x.dtype)`), or the float64 result has
    weights rounded to float32. A run has one dtype, and is not affected.

    Returns:
        A `Bundle`; it returns a NamedTuple with a field for each of `outputs`.

    Raises:
        ValueError: if an argument is out of its domain (the message says which), or `fn` does not
            map (n,) to (m,) or ().
        TypeError: if `fn` returns something other than one floating-point array.
        MethodError, RuleError: if the method cannot differentiate `fn`, naming what stops it
            (with "auto" here, else at the first call).
        MemoryError: if timing takes more memory than is free, whatever is tried.
        TimeoutError: if XLA does not end, whatever is tried.
    """
    check_outputs(outputs)
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1; got {threads}")
    choice = choose(
        fn, n_inputs, method, wrt, dtype, tile, tuning_seconds, None, outputs, precision
    )
    assert choice is not None
    return _bundle(
        fn, n_inputs, wrt, dtype, choice, tuple(outputs), threads or cores(), precision=precision
    )


def choose(
    fn: Function,
    n_inputs: int,
    method: str = AUTO,
    wrt: Sequence[int] | None = None,
    dtype: str = "float32",
    tile: int | None = None,
    tuning_seconds: float | None = 9.0,
    device_kind: str | None = None,
    outputs: Sequence[str] = Derivatives._fields,
    precision: str = HIGHEST,
    rows: int | None = None,
) -> Choice | None:
    """Return the method and the tile that `derivatives` takes for these arguments.

    With `tuning_seconds=None` nothing is timed: the result is None if it would have to be; then
    `device_kind` may name the device (as JAX does) that the choice is for, and none is touched.
    With `rows`, the points that there will be, what a choice costs to compile counts against them.

    Raises:
        ValueError, TypeError, RuleError, MemoryError, TimeoutError: as `derivatives`.
    """
    if method != AUTO and method not in METHODS:
        raise ValueError(f"method must be one of {', '.join([AUTO, *METHODS])}; got {method!r}")
    if tile is not None and tile < 1:
        raise ValueError(f"tile must be a positive number of rows; got {tile}")
    if n_inputs < 1:
        raise ValueError(f"n_inputs must be at least 1; got {n_inputs}")
    directions = checked_directions(wrt, n_inputs)
    with numerics(dtype):
        check_precision(precision, dtype)
        check_output(traced_output(fn, n_inputs, dtype))
        if method != AUTO and tile is not None:
            return Choice(method, tile)
        if method != AUTO and not METHODS[method].own:  # nothing is timed: no device is touched
            shape = shape_of(fn, n_inputs, directions.size, dtype, device_kind or "any")
            return Choice(method, fitting_tile(None, shape.dense_row_bytes, shape, outputs))
        shape = shape_of(fn, n_inputs, directions.size, dtype, device_kind)
        if isinstance(fn, Float32Function):  # whose program in float64 has lost its own rules
            single = shape_of(fn.function, n_inputs, directions.size, "float32", device_kind)
            text = f"{shape.text}\n{single.text}"
            shape = replace(shape, text=text, own_rules=single.own_rules)
        if precision != HIGHEST:
            shape = replace(shape, text=f"{shape.text}\n{precision}")
        memory = this_device().memory_bytes if device_kind is None else None
        if memory is not None:  # a part of a GPU has smaller tiles than all of it
            shape = replace(shape, text=f"{shape.text}\n{memory.bit_length()}")
    choice = tune(
        lambda choice: _bundle(
            fn, n_inputs, wrt, dtype, choice, Derivatives._fields, 1, False, precision
        ),
        shape,
        n_inputs,
        None if method == AUTO else method,
        tile,
        tuning_seconds,
        rows,
    )
    if choice is None or tile is not None:
        return choice
    return Choice(choice.method, fitting_tile(choice.tile, shape.row_bytes, shape, outputs))


def _bundle(
    fn: Function,
    n_inputs: int,
    wrt: Sequence[int] | None,
    dtype: str,
    choice: Choice,
    quantities: tuple[str, ...],
    threads: int = 1,
    again: bool = True,
    precision: str = HIGHEST,
) -> Bundle:
    keep_freed_pages()
    directions = None if wrt is None else np.asarray(wrt)
    single = fn if isinstance(fn, Float32Function) else None
    traced = corrected(single.function if single else fn)

    def batched(name: str) -> Callable[..., Any]:
        method = METHODS[name]
        at_point = partial(_at_point, traced, method, directions, quantities)
        batch = method.batch(at_point if method.own else _named(name, at_point))
        return single.in_float64(batch) if single and dtype == "float64" else batch

    @cache
    def advice() -> str:
        arrays = [jax.ShapeDtypeStruct((1, n_inputs), dtype)] * (1 + ("hvp" in quantities))
        others = [name for name in METHODS if not METHODS[name].own]
        if choice.method in others:
            others += [name for name in METHODS if METHODS[name].own]
        for name in others:
            with contextlib.suppress(Exception):  # JAX raises what it likes
                jax.eval_shape(batched(name), *arrays)
                return f"method '{name}' can"
        return "none of the other methods can, either"

    @cache
    def program() -> Any:
        of_type = "float32" if single else dtype
        with numerics(of_type):
            return jax.make_jaxpr(traced)(jax.ShapeDtypeStruct((n_inputs,), of_type))

    def row_work() -> int:
        k = n_inputs if directions is None else directions.size
        return (1 + 2 * k) * sum(map(multiply_adds, direct_equations(program())))

    tiled = with_precision(in_tiles(batched(choice.method), choice.tile), precision)
    batch = Jitted(tiled, whole_products=choice.tile is not None)
    on_cores: Callable[..., Any] = batch
    if choice.tile is not None and threads > 1:
        on_cores = SharedRows(batch, choice.tile, threads, row_work)
    if again and METHODS[choice.method].own:
        # Anew: JAX keeps the other one's trace.
        function = with_precision(in_tiles(batched(choice.method), choice.tile), precision)

        def without_matrices(*arrays: jax.Array) -> Any:
            with no_matrices():
                return function(*arrays)

        on_cores = FiniteAgain(
            on_cores,
            Jitted(without_matrices, whole_products=choice.tile is not None),
            choice.tile or 1,
            lambda: jax.default_backend() == "cpu" and any(map(takes_matrix, equations(program()))),
        )
    return Bundle(batch, n_inputs, dtype, choice, advice, on_cores)


def _named(name: str, at_point: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a method of the field's; its errors say which cannot, and why."""

    def function(*arrays: Any) -> Any:
        try:
            return at_point(*arrays)
        except (MethodError, MemoryError):
            raise
        except Exception as error:  # as above; the function itself traces well
            raise MethodError(
                f"method '{name}' cannot differentiate this function ({reason(error)})"
            ) from error

    return function


def _at_point(
    fn: Function,
    method: Method,
    directions: np.ndarray | None,
    quantities: tuple[str, ...],
    x: jax.Array,
    direction: jax.Array | None = None,
) -> Any:
    """Return what is asked for at one point."""

    def as_vector(x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(fn(x)).astype(x.dtype)

    if directions is None:
        arrays = at_point(as_vector, x, method, quantities, direction)
    else:
        # As a function of displacements along the chosen inputs only, f costs every method
        # accordingly, with no case of its own; at displacement zero, x is kept exactly.
        seeds = jnp.zeros((directions.size, x.size), x.dtype)
        seeds = seeds.at[np.arange(directions.size), directions].set(1)
        of_displacement = partial(displaced, as_vector, x, seeds)
        zero = jnp.zeros(directions.size, x.dtype)
        if direction is not None:
            direction = direction[directions]
        arrays = at_point(of_displacement, zero, method, quantities, direction)
    if quantities == Derivatives._fields:
        return Derivatives(*arrays)
    return namedtuple("Derivatives", quantities)(*arrays)

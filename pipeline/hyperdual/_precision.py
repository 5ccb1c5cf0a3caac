"""Matrix products of float32 numbers at less than full precision, which tensor cores are fast at.

A number is taken as a sum of parts of fewer bits, a = a_0 + a_1 + ..., each the rounded rest of
those before. A product of two is the sum of the products of parts that count, a_i b_j with i + j
less than the number of parts, added up in float32.

    precision   bits of a part   parts   products   error, of |a| |b|, about
    tf32        11               1       1          2^-10
    tf32_x3     11               2       3          2^-20
    bf16_x3     8                2       3          2^-14
    bf16_x6     8                3       6          that of float32

A device that has such products is told by JAX's algorithms of dot_general which to take
(https://docs.jax.dev/en/latest/jax.lax.html#jax.lax.DotAlgorithmPreset). Elsewhere the parts are
float32 numbers, and so are their products: that shows how exact results would be, and is slower.
XLA's CPU backend takes some of these algorithms, and computes in float32 all the same.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from ._jaxpr import bind, equations, walk

HIGHEST = "highest"


@dataclass(frozen=True)
class _Products:
    """How products are made.

    Attributes:
        algorithm: JAX's name for it.
        bits: significant bits of a part.
        parts: of a number.
    """

    algorithm: lax.DotAlgorithmPreset
    bits: int
    parts: int

    @property
    def error(self) -> float:
        """The most by which a product of two numbers may be off, of its size, beside float32's."""
        return (self.parts + 1) * 2.0 ** (-self.bits * self.parts)


_PRODUCTS = {
    "bf16_x6": _Products(lax.DotAlgorithmPreset.BF16_BF16_F32_X6, 8, 3),
    "bf16_x3": _Products(lax.DotAlgorithmPreset.BF16_BF16_F32_X3, 8, 2),
    "tf32_x3": _Products(lax.DotAlgorithmPreset.TF32_TF32_F32_X3, 11, 2),
    "tf32": _Products(lax.DotAlgorithmPreset.TF32_TF32_F32, 11, 1),
}
PRECISIONS = (HIGHEST, *_PRODUCTS)

# Of the matrices that show what a device does.
_PROBED = 64
# How much more than by its parts a device may err: some cut off where others round.
_MARGIN = 8
# Code for a device, in which nothing is to be changed.
_KERNELS = ("pallas_call", "ffi_call")


def check_precision(precision: str, dtype: str) -> None:
    """Refuse what is no precision, or none of this dtype.

    Raises:
        ValueError: with those that there are.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if precision != HIGHEST and dtype != "float32":
        raise ValueError(f"precision '{precision}' is of float32; {dtype} has '{HIGHEST}' alone")


def device_precisions() -> tuple[str, ...]:
    """Return the precisions that JAX's device here computes itself, "highest" first.

    A product is compiled and computed by each: it counts as the device's own if its error is of the
    size that it should be, and its bits are not those of full precision.
    """
    own = (name for name in _PRODUCTS if _is_own(name, jax.default_backend()))
    return (HIGHEST, *own)


@functools.cache
def _is_own(precision: str, backend: str) -> bool:
    with ThreadPoolExecutor(1) as thread:  # here, somebody may be tracing
        return thread.submit(_probe, _PRODUCTS[precision]).result()


def _probe(products: _Products) -> bool:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, _PROBED, _PROBED)).astype(np.float32)
    full = np.asarray(jax.jit(functools.partial(jnp.matmul, precision="highest"))(a, b))
    multiply = jax.jit(functools.partial(jnp.matmul, precision=products.algorithm))
    try:
        result = np.asarray(multiply(a, b))
    except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError):
        return False  # the device, or XLA for it, has no such products
    size = np.abs(a, dtype=np.float64) @ np.abs(b)
    errors = np.abs(result - a.astype(np.float64) @ b) / size
    rounding = _PROBED * np.finfo(np.float32).eps
    allowed = _MARGIN * products.error + rounding
    return bool((errors <= allowed).all() and (result != full).any())


def with_precision(
    function: Callable[..., Any], precision: str, own: bool | None = None
) -> Callable[..., Any]:
    """Return a function of arrays whose products of float32 numbers have a precision.

    That holds wherever in its program they stand (in loops, branches, calls), and whatever
    precision is written there, unless that is an algorithm. Convolutions, and what is left to
    libraries of linear algebra, have no such choice, and keep full precision, and so do kernels of
    Pallas.

    Args:
        function: what JAX can trace; for "highest" it stays as it is.
        precision: one of `PRECISIONS`.
        own: whether the device multiplies by itself; None: if it does (see `device_precisions`).
    """
    if precision == HIGHEST:
        return function
    products = _PRODUCTS[precision]

    def applied(*operands: Any) -> Any:
        itself = precision in device_precisions() if own is None else own
        multiply = functools.partial(_own if itself else _of_parts, products)
        closed, results = jax.make_jaxpr(function, return_shape=True)(*operands)
        return jax.tree.unflatten(
            jax.tree.structure(results), _evaluate(multiply, closed, operands)
        )

    return applied


_Multiply = Callable[[core.JaxprEqn, Any, Any], Any]


def _own(products: _Products, eqn: core.JaxprEqn, left: Any, right: Any) -> Any:
    return _product(eqn, left, right, products.algorithm)


def _of_parts(products: _Products, eqn: core.JaxprEqn, left: Any, right: Any) -> Any:
    """Multiply as a device would that has such products."""
    lefts, rights = (_split(array, products) for array in (left, right))
    # The smallest come first; what is infinite has no smaller parts.
    terms = [(i, rest - i) for rest in reversed(range(products.parts)) for i in range(rest + 1)]
    *small, main = (
        _product(eqn, lefts[i], rights[j], (lax.Precision.HIGHEST,) * 2) for i, j in terms
    )
    if not small:
        return main
    total = functools.reduce(jnp.add, small)
    return main + jnp.where(jnp.isnan(total), jnp.zeros_like(total), total)


def _split(array: Any, products: _Products) -> list[Any]:
    parts = []
    for _ in range(products.parts):
        # The first of the significant bits is not stored; float32's exponent has 8.
        part = lax.reduce_precision(array, 8, products.bits - 1)
        parts.append(part)
        array = jnp.where(jnp.isfinite(part), array - part, jnp.zeros_like(part))
    return parts


def _product(eqn: core.JaxprEqn, left: Any, right: Any, precision: Any) -> Any:
    (result,) = bind(eqn, [left, right], {**eqn.params, "precision": precision})
    return result


def _is_product(eqn: core.JaxprEqn) -> bool:
    """Tell whether an equation is a product of float32 numbers that names no algorithm."""
    if eqn.primitive.name != "dot_general":
        return False
    atoms: list[Any] = [*eqn.invars, *eqn.outvars]
    precision = eqn.params["precision"]
    return all(atom.aval.dtype == np.float32 for atom in atoms) and not isinstance(
        precision, lax.DotAlgorithm | lax.DotAlgorithmPreset
    )


def _evaluate(multiply: _Multiply, closed: core.ClosedJaxpr, operands: Sequence[Any]) -> list[Any]:
    return walk(closed.jaxpr, closed.consts, operands, functools.partial(_apply, multiply))


def _apply(multiply: _Multiply, eqn: core.JaxprEqn, operands: list[Any]) -> list[Any]:
    if _is_product(eqn):
        return [multiply(eqn, *operands)]
    if eqn.primitive.name == "jit":
        return _evaluate(multiply, eqn.params["jaxpr"], operands)
    if eqn.primitive.name in _KERNELS:
        return bind(eqn, operands, eqn.params)
    params = {key: _in_parameter(multiply, value) for key, value in eqn.params.items()}
    return bind(eqn, operands, params)


def _in_parameter(multiply: _Multiply, value: Any) -> Any:
    """Return a parameter with the products of the programs in it (of scan, cond, ...) replaced."""
    if isinstance(value, tuple | list):
        items = [_in_parameter(multiply, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    is_program = isinstance(value, core.ClosedJaxpr | core.Jaxpr)
    if not is_program or not any(map(_is_product, equations(value))):
        return value
    closed = value if isinstance(value, core.ClosedJaxpr) else core.ClosedJaxpr(value, ())
    if any(hasattr(aval, "inner_aval") for aval in closed.in_avals):
        return value  # it changes arrays in place, which cannot be traced by themselves
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]
    replaced = jax.make_jaxpr(lambda *arrays: _evaluate(multiply, closed, arrays))(*shapes)
    return replaced if isinstance(value, core.ClosedJaxpr) else replaced.jaxpr

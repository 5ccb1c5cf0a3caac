"""Operators that work number by number, on arrays that are broadcast against each other."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, dtype_of, is_constant
from ._by_jax import by_jax

_UNARY = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Exp": "exp",
    "Floor": "floor",
    "IsNaN": "isnan",
    "Log": "log",
    "Neg": "negative",
    "Not": "logical_not",
    "Reciprocal": "reciprocal",
    "Round": "round",  # to even, in ONNX too
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
    "BitwiseNot": "invert",
}
_BINARY = {
    "Add": "add",
    "And": "logical_and",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Mul": "multiply",
    "Or": "logical_or",
    "Sub": "subtract",
    "Xor": "logical_xor",
}
_MOST_MULTIPLIED = 64  # of a whole exponent
_ANY_NUMBER = {"Max": "maximum", "Min": "minimum", "Sum": "add"}


@operator(*_UNARY)
def _(node: Node) -> Any:
    return getattr(node.xp, _UNARY[node.proto.op_type])(node[0])


@operator(*_BINARY)
def _(node: Node) -> Any:
    return getattr(node.xp, _BINARY[node.proto.op_type])(node[0], node[1])


@operator(*_ANY_NUMBER)
def _(node: Node) -> Any:
    return reduce(getattr(node.xp, _ANY_NUMBER[node.proto.op_type]), node.inputs)


@operator("Mean")
def _(node: Node) -> Any:
    return reduce(node.xp.add, node.inputs) / len(node.inputs)


@operator("Identity")
def _(node: Node) -> Any:
    """Of a sequence, too."""
    return (node.get_input(0),)


@operator("Div")
def _(node: Node) -> Any:
    """Of whole numbers, rounded towards zero."""
    a, b = node[0], node[1]
    if np.issubdtype(a.dtype, np.floating):
        return node.xp.divide(a, b)
    if is_constant(a) and is_constant(b):
        exact = np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
        return exact.astype(np.asarray(a).dtype)
    return jax.lax.div(*jnp.broadcast_arrays(a, b))


@operator("Mod")
def _(node: Node) -> Any:
    """Of the sign of the divisor, or with `fmod` of the dividend."""
    name = "fmod" if node.get("fmod", 0) else "mod"
    return getattr(node.xp, name)(node[0], node[1])


@operator("Pow")
def _(node: Node) -> Any:
    """Of the type of the base. A constant whole exponent is multiplied out: the base may be < 0."""
    base, exponent = node[0], node[1]
    real = np.issubdtype(base.dtype, np.floating)
    if is_constant(base) or not is_constant(exponent) or not real:
        return cast(node.xp.power(base, exponent), base.dtype)
    exponent = np.asarray(exponent)
    whole = (exponent == np.round(exponent)) & (np.abs(exponent) <= _MOST_MULTIPLIED)
    base = jnp.broadcast_to(base, np.broadcast_shapes(base.shape, exponent.shape))
    if whole.all() and (exponent == exponent.flat[0]).all():
        return jax.lax.integer_pow(base, int(exponent.flat[0]))
    power = base
    if not whole.all():  # a base at which this has no derivative may have another exponent
        power = cast(jnp.power(jnp.where(whole, 1, base), exponent), base.dtype)
    for number in np.unique(exponent[whole]):
        here = whole & (exponent == number)
        power = jnp.where(here, jax.lax.integer_pow(jnp.where(here, base, 1), int(number)), power)
    return power


@operator("Clip")
def _(node: Node) -> Any:
    """Between two numbers, which were attributes before opset 11."""
    low = node.get_input(1) if len(node.inputs) > 1 else node.get("min")
    high = node.get_input(2) if len(node.inputs) > 2 else node.get("max")
    value = node[0]
    if low is not None:
        value = node.xp.maximum(value, cast(low, value.dtype))
    if high is not None:
        value = node.xp.minimum(value, cast(high, value.dtype))
    return value


@operator("Where")
def _(node: Node) -> Any:
    return node.xp.where(node[0], node[1], node[2])


@operator("IsInf")
def _(node: Node) -> Any:
    value, xp = node[0], node.xp
    positive = xp.isposinf(value) if node.get("detect_positive", 1) else False
    negative = xp.isneginf(value) if node.get("detect_negative", 1) else False
    return xp.logical_or(positive, negative) | xp.zeros(np.shape(value), bool)


@operator("Erf")
def _(node: Node) -> Any:
    return by_jax(jax.scipy.special.erf, node[0])


@operator("Cast")
def _(node: Node) -> Any:
    return cast(node[0], dtype_of(node.get("to"), node.real))


@operator("CastLike")
def _(node: Node) -> Any:
    dtype = node[1].dtype
    if dtype != node.real and dtype.kind not in "biu":
        raise OnnxError(f"numbers are not rounded to {dtype} here; leave the model as it was")
    return cast(node[0], dtype)


@operator("BitShift")
def _(node: Node) -> Any:
    name = "left_shift" if node.get("direction") == "LEFT" else "right_shift"
    return getattr(node.xp, name)(node[0], node[1])

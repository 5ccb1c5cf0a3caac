"""The digest of a network: two networks with the same digest compute the same thing."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from hyperdiag.hyperdual import DEFAULT_METHOD, METHODS, numerics


def digest_of(definition: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return 16 hexadecimal digits over a definition and the arrays that it names.

    The arrays count by name, shape, dtype and bytes, in the order of their names.
    """
    hasher = hashlib.sha256(definition.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"\0{name}:{array.dtype.str}:{array.shape}\0".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()[:16]


def digest_of_function(function: Callable, n_inputs: int, dtype: str) -> str:
    """Return the digest of a function of one point of which nothing else is known.

    Traces it with its first two derivatives at the given dtype: the definition is the traced
    program, the arrays are the constants that it closes over. So a changed line of code changes
    the digest only if it changes what is computed, and a changed weight always does.
    """

    def twice(x: jax.Array, v: jax.Array) -> Any:
        # With its derivatives, since a custom rule is no part of the function's own program.
        return jax.jvp(lambda p: jax.jvp(function, (p,), (v,)), (x,), (v,))

    point = jax.ShapeDtypeStruct((n_inputs,), dtype)
    with numerics(dtype):
        try:
            program = jax.make_jaxpr(twice)(point, point)
        except Exception:  # a custom_vjp function has no jvp, but our own methods can do it
            method = METHODS[DEFAULT_METHOD].function
            program = jax.make_jaxpr(partial(method, lambda x: jnp.atleast_1d(function(x))))(point)
    lines: list[str] = []
    arrays: dict[str, np.ndarray] = {}
    _write_program(program, lines, arrays)
    return digest_of("\n".join(lines), arrays)


def _write_program(
    program: core.ClosedJaxpr | core.Jaxpr, lines: list[str], arrays: dict[str, np.ndarray]
) -> None:
    jaxpr, consts = (
        (program.jaxpr, program.consts)
        if isinstance(program, core.ClosedJaxpr)
        else (program, [None] * len(program.constvars))
    )
    names: dict[core.Var, str] = {}

    def define(variable: core.Var) -> str:
        names[variable] = f"v{len(names)}"
        return f"{names[variable]}:{variable.aval}"

    def read(atom: Any) -> str:
        if isinstance(atom, core.Literal):
            return keep(atom.val)
        return names[atom]

    def keep(value: Any) -> str:
        name = f"array {len(arrays):06d}"
        arrays[name] = _plain(value)
        return name

    lines.append("program " + " ".join(define(v) for v in jaxpr.invars))
    for variable, value in zip(jaxpr.constvars, consts, strict=True):
        held = "outer" if value is None else keep(value)
        lines.append(f"{define(variable)} = {held}")
    for equation in jaxpr.eqns:
        operands = " ".join(read(atom) for atom in equation.invars)
        results = " ".join(define(variable) for variable in equation.outvars)
        lines.append(f"{results} = {equation.primitive.name} {operands}")
        # What a compiled function is called, and which intermediates a checkpoint keeps, does not
        # change what is computed; a policy's set of names prints in another order each time.
        for key in sorted(equation.params.keys() - {"name", "policy"}):
            lines.append(f"  {key}:")
            _write_parameter(equation.params[key], lines, arrays)
    lines.append("return " + " ".join(read(atom) for atom in jaxpr.outvars))


def _plain(value: Any) -> np.ndarray:
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.asarray(value)


def _write_parameter(value: Any, lines: list[str], arrays: dict[str, np.ndarray]) -> None:
    if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
        _write_program(value, lines, arrays)
    elif isinstance(value, tuple | list):
        for item in value:
            _write_parameter(item, lines, arrays)
    elif isinstance(value, np.ndarray | jax.Array):
        name = f"array {len(arrays):06d}"
        arrays[name] = _plain(value)
        lines.append(name)
    else:
        # Addresses differ from process to process; what they point at is traced elsewhere.
        lines.append(re.sub(r"0x[0-9a-f]+", "0x", str(value)))

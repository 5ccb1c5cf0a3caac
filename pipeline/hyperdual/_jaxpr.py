"""Looking into traced functions."""

import functools
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend import core

from ._convolution_matrix import takes_matrix

# The widest vector registers of CPUs (AVX-512).
_REGISTER_BYTES = 64
_SHARING = frozenset(
    {"cholesky", "eig", "eigh", "ffi_call", "fft", "geqp3", "geqrf", "hessenberg", "lu", "ormqr"}
    | {"householder_product", "qr", "schur", "svd", "triangular_solve", "tridiagonal"}
    | {"tridiagonal_solve"}
)


# Calls that a coming release of JAX makes through one primitive, by the class of what is called;
# here each has the name that it has had. JAX_CUSTOM_JVP3=1, JAX_CUSTOM_VJP3=1 and JAX_REMAT3=1 show
# that in JAX 0.12.
_ONE_FOR_ALL = "call_hi_primitive"
_NAMES = {
    "CustomJVPTraced": "custom_jvp_call",
    "CustomVJPTraced": "custom_vjp_call",
    "RematTraced": "remat2",
}


class _Renamed:
    """A primitive under another name. A checkpoint may be bound with another program."""

    multiple_results = True

    def __init__(self, eqn: core.JaxprEqn, name: str):
        self.name, self._eqn = name, eqn

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return params

    def bind(self, *values: Any, **params: Any) -> list[Any]:
        called: Any = self._eqn.params["_prim"]
        program = params.get("jaxpr")
        if program is None or program is called.jaxpr:
            results: list[Any] = self._eqn.primitive.bind(*values, _prim=called)
            return results
        function = functools.partial(jax.core.eval_jaxpr, program.jaxpr, program.consts)
        return jax.checkpoint(function, policy=called.policy, prevent_cse=called.prevent_cse)(
            *values
        )


def direct_equations(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield the equations of a program, with the names that this package knows."""
    for eqn in _inner(jaxpr).eqns:
        called: Any = eqn.params.get("_prim")
        name = _NAMES.get(type(called).__name__)
        if eqn.primitive.name == _ONE_FOR_ALL and name:
            renamed: Any = _Renamed(eqn, name)
            if name == "remat2":
                params = {"jaxpr": called.jaxpr}
            else:
                params = {"call_jaxpr": called.traced.jaxpr}
            eqn = eqn.replace(primitive=renamed, params=params)
        yield eqn


def subjaxprs(params: dict[str, Any]) -> Iterator[core.ClosedJaxpr | core.Jaxpr]:
    """Yield the programs inside an equation's parameters (of jit, scan, cond, ...)."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr | core.Jaxpr):
                yield item


def equations(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield every equation of a program, those of inner programs included."""
    for eqn in direct_equations(jaxpr):
        yield eqn
        for inside in subjaxprs(eqn.params):
            yield from equations(inside)


def walk(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    operands: Sequence[Any],
    apply: Callable[[core.JaxprEqn, list[Any]], Sequence[Any]],
    plain: Callable[[Any], Any] = lambda array: array,
) -> list[Any]:
    """Evaluate a program equation by equation, and return its results.

    Args:
        jaxpr: the program.
        consts: the arrays that it is closed over.
        operands: its arguments, of whatever kind `apply` takes.
        apply: from an equation and its operands to its results.
        plain: makes an operand of an array: of a literal, or of one of `consts`.
    """
    environment: dict[core.Var, Any] = dict(zip(jaxpr.constvars, map(plain, consts), strict=True))
    environment.update(zip(jaxpr.invars, operands, strict=True))

    def read(atom: Any) -> Any:
        return plain(atom.val) if isinstance(atom, core.Literal) else environment[atom]

    for eqn in direct_equations(jaxpr):
        results = apply(eqn, [read(atom) for atom in eqn.invars])
        environment.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def bind(eqn: core.JaxprEqn, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """Return the results of an equation's primitive with other parameters."""
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(params))
    return list(results) if eqn.primitive.multiple_results else [results]


def scan_counts(eqn: core.JaxprEqn) -> tuple[int, int]:
    """Return how many of a scan's operands are constants of its body, and how many its carry."""
    params = eqn.params
    if "ft_in" in params:  # JAX 0.12: a tree of three branches, with a place for each operand
        consts, carry, _ = params["ft_in"].update(range(len(eqn.invars))).unpack()
        return len(list(consts)), len(list(carry))
    return params["num_consts"], params["num_carry"]


def widest(traced: core.ClosedJaxpr) -> int:
    """Return the number of entries of the largest intermediate."""
    return max(
        (math.prod(_shape(variable)) for eqn in equations(traced) for variable in eqn.outvars),
        default=1,
    )


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())  # of a token, none


def multiply_adds(eqn: core.JaxprEqn) -> int:
    """Return the multiply-adds of an equation; for what is no product, the entries of its result.

    Of a loop, as many as its body has for each of its turns, or for one where these are not known;
    of a branch, those of the longest.
    """
    inner = [sum(map(multiply_adds, direct_equations(inside))) for inside in subjaxprs(eqn.params)]
    if inner:
        return eqn.params.get("length", 1) * max(inner)
    size = math.prod(_shape(eqn.outvars[0])) if eqn.outvars else 0
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        size *= math.prod(_shape(eqn.invars[0])[axis] for axis in contracted)
    elif eqn.primitive.name == "conv_general_dilated":
        kernel = _shape(eqn.invars[1])
        features = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        size *= math.prod(kernel) // max(features, 1)
    return size


def from_jax(program: core.ClosedJaxpr | core.Jaxpr) -> bool:
    """Tell whether a program was traced from a function of JAX itself."""
    info = _inner(program).debug_info
    source = (info.func_src_info or "") if info else ""
    return f"at {Path(jax.__file__).parent}{os.sep}" in source


def _inner(program: core.ClosedJaxpr | core.Jaxpr) -> core.Jaxpr:
    return program.jaxpr if isinstance(program, core.ClosedJaxpr) else program


def may_hang(traced: core.ClosedJaxpr) -> bool:
    """Tell whether XLA's CPU backend may wait for itself in a program, for ever.

    What is left to LAPACK, to its FFT or to a library of the user's shares its work out among the
    threads of a pool, and waits for it. XLA calls several of them at once, each on such a thread;
    where all wait so, none is left to do the work (seen with jaxlib 0.10.2 for `solve` and
    `cholesky` in loops, with more threads than one). Nothing that can be set for one program
    rules it out; the fewer rows there are at a time, the rarer it is.
    """
    return not _SHARING.isdisjoint(eqn.primitive.name for eqn in equations(traced))


def ragged(traced: core.ClosedJaxpr, lanes: int) -> bool:
    """Tell whether most work of a program's products is in dense layers of awkward widths.

    That is, in products of a vector and a matrix, or of as many of both, whose results are no
    multiple of `lanes` long.
    """
    awkward, total = 0, 0
    for eqn in equations(traced):
        if eqn.primitive.name not in ("dot_general", "conv_general_dilated"):
            continue
        work, width = _layer(eqn)
        awkward += work if width is not None and width % lanes else 0
        total += work
    return 2 * awkward > total


def _layer(eqn: core.JaxprEqn) -> tuple[int, int | None]:
    """Return the multiply-adds of a product, and its width if it is a dense layer."""
    left, right, result = (_shape(v) for v in (*eqn.invars, *eqn.outvars))
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive.name == "dot_general":
        sides = zip((left, right), *numbers, strict=True)
        free = [
            [size for axis, size in enumerate(shape) if axis not in (*contracted, *batch)]
            for shape, contracted, batch in sides
        ]
        is_layer = any(free) and min(map(math.prod, free)) == 1
        return multiply_adds(eqn), max(map(math.prod, free)) if is_layer else None
    if takes_matrix(eqn) and left[0] == 1:
        width = math.prod(result)
        return math.prod(left) * width, width
    return multiply_adds(eqn), None


def custom_rule_names(traced: core.ClosedJaxpr) -> list[str]:
    """Return the names of the functions with custom derivative rules that a program calls."""
    names = []
    for eqn in equations(traced):
        if eqn.primitive.name.startswith("custom_"):
            inner = eqn.params.get("call_jaxpr") or eqn.params.get("fun_jaxpr")
            name = eqn.params.get("name") or getattr(
                getattr(inner, "jaxpr", inner), "debug_info", None
            )
            name = getattr(name, "func_name", name) or "a function"
            kind = "custom_jvp" if "jvp" in eqn.primitive.name else "custom_vjp"
            names.append(f"'{name}' ({kind})")
    return sorted(set(names))


@dataclass(frozen=True)
class ProgramShape:
    """What decides which method and tile are fastest for a program.

    Attributes:
        directions: k.
        outputs: m.
        row_bytes: of the largest intermediate's J for one row, stored densely, or of the row
            itself, whichever is more.
        dense_row_bytes: the same, if J of the inputs is stored, too, as JAX's transforms do.
        few_rows: whether a tile should have few rows, since XLA may hang on many.
        weight_bytes: of the largest array that the program closes over.
        loops: whether a loop is in it.
        on_cpu: whether the device is a CPU.
        result_bytes: of the outputs' J for one row.
        text: what a timing holds for: the program without its constants' values, directions,
            dtype, version of JAX, device and threads.
        own_rules: whether functions with derivative rules of their own are in it.
        ragged: whether it is mostly dense layers whose widths fill no vector registers of a CPU.
    """

    directions: int
    outputs: int
    row_bytes: int
    text: str = ""
    own_rules: bool = False
    ragged: bool = False
    dense_row_bytes: int = 0
    few_rows: bool = False
    weight_bytes: int = 0
    loops: bool = False
    on_cpu: bool = False
    result_bytes: int = 1


def shape_of(
    fn: Callable, n_inputs: int, directions: int, dtype: str, device_kind: str | None
) -> ProgramShape:
    """Trace `fn` at one point and note its shape.

    Args:
        fn: maps (n,) to (m,) or ().
        n_inputs: n.
        directions: k.
        dtype: of the point.
        device_kind: as JAX names it; None: of this process's first device.
    """
    traced = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct((n_inputs,), dtype))
    kind = device_kind or jax.devices()[0].device_kind
    threads = os.environ.get("PJRT_NPROC", str(os.cpu_count()))
    # Addresses of functions in the text differ from process to process.
    program = re.sub(r"0x[0-9a-f]+", "", str(traced.jaxpr))
    width, itemsize = widest(traced), np.dtype(dtype).itemsize
    outputs = math.prod(traced.out_avals[0].shape)
    return ProgramShape(
        directions,
        outputs,
        max(directions * width, n_inputs) * itemsize,
        "\n".join([program, str(directions), dtype, jax.__version__, kind, threads]),
        bool(custom_rule_names(traced)),
        kind == "cpu" and ragged(traced, _REGISTER_BYTES // itemsize),
        directions * max(width, n_inputs) * itemsize,
        kind == "cpu" and threads != "1" and may_hang(traced),
        max((math.prod(np.shape(array)) * itemsize for array in traced.consts), default=0),
        any(eqn.primitive.name in ("scan", "while") for eqn in equations(traced)),
        kind == "cpu",
        outputs * directions * itemsize,
    )

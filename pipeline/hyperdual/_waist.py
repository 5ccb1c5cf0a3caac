"""Where a program narrows to few numbers that all else depends on: principal components, a code.

Let f = g(h(x)), with h from n inputs to b numbers w, and g from these to the m outputs. Then

    J_y = G J_w,    D_y[j, i] = sum_ab H_j[a, b] J_w[a, i] J_w[b, i] + sum_a G_j[a] D_w[a, i]

with the gradients G_j and Hessians H_j of g (the chain rule, twice). All that follows the waist is
then passed (1 + b)^2 times for a row instead of 1 + 2 n, or 1 + n + m, times.

Behind a waist there are plain steps alone, such as layers with activations are made of, in the
dtype of the inputs: no loop, no branch and no derivative rule of the user's own; and no step whose
derivatives are large where its argument is small (logarithms, roots, quotients), since these leave
the range of the dtype before they meet J.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from ._jaxpr import direct_equations, from_jax, multiply_adds

# A waist is taken where, by count, the work is this part of what it is without, or less.
_WORTH = 0.5
# A waist of more numbers is not looked for.
_WIDEST = 64
LINEAR = frozenset(
    {"add", "add_any", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "cumsum"}
    | {"dynamic_slice", "gather", "neg", "pad", "reduce_sum", "reshape", "rev", "slice", "split"}
    | {"squeeze", "stack", "sub", "transpose"}
)
# Linear where one operand alone depends on the inputs.
LINEAR_IN_ONE = frozenset({"dot_general", "mul", "div"})
_PLAIN = (
    LINEAR
    | LINEAR_IN_ONE
    | {"abs", "and", "atan", "clamp", "cos", "custom_jvp_call", "eq", "erf", "erfc", "exp", "expm1"}
    | {
        "ge",
        "gt",
        "is_finite",
        "le",
        "logistic",
        "lt",
        "max",
        "min",
        "ne",
        "not",
        "or",
        "reduce_max",
    }
    | {"select_n", "sign", "sin", "square", "stop_gradient", "tanh", "xor"}
)


class _Value:
    """What a step takes or makes: an array of the program's own, or one that depends on x."""

    def __init__(self, aval: Any, array: Any = None, depends: bool = False):
        self.aval, self.array, self.depends = aval, array, depends
        self.size = math.prod(getattr(aval, "shape", ()))  # a token has no shape


class _Step(NamedTuple):
    eqn: core.JaxprEqn
    operands: list[_Value]
    results: list[_Value]

    @property
    def depends(self) -> bool:
        """Whether it depends on the inputs."""
        return any(operand.depends for operand in self.operands)

    @property
    def linear(self) -> bool:
        """Whether its result is linear in what depends on the inputs."""
        name, count = self.eqn.primitive.name, sum(value.depends for value in self.operands)
        if name == "div" and count == 1:
            return self.operands[0].depends
        return name in LINEAR or (name in LINEAR_IN_ONE and count == 1)


class Waist:
    """A program in two parts, before its waist and behind it.

    Attributes:
        width: b.
        linear: whether these numbers are linear in the inputs.
    """

    def __init__(
        self, start: _Value, steps: Sequence[_Step], at: int, live: Sequence[_Value], result: _Value
    ):
        self._start, self._steps, self._at = start, steps, at
        self._live, self._result = live, result
        self.width = sum(value.size for value in live)
        self.linear = all(step.linear for step in steps[:at] if step.depends)

    def before(self, x: jax.Array) -> jax.Array:
        """Return the numbers at the waist, (b,), of a point (n,)."""
        known = {self._start: x}
        _run(self._steps[: self._at], known)
        return jnp.concatenate([known[value].reshape(-1) for value in self._live])

    def behind(self, numbers: jax.Array) -> jax.Array:
        """Return the outputs, (m,), of the numbers at the waist."""
        known: dict[_Value, Any] = {}
        first = 0
        for value in self._live:
            last = first + value.size
            known[value] = numbers[first:last].reshape(value.aval.shape)
            first = last
        _run([step for step in self._steps[: self._at] if not step.depends], known)
        _run(self._steps[self._at :], known)
        return known[self._result]


def find_waist(closed: core.ClosedJaxpr) -> Waist | None:
    """Return the waist of a program of one point that saves most work, None if none saves much.

    Args:
        closed: from (n,) to (m,).
    """
    steps: list[_Step] = []
    start = _Value(closed.in_avals[0], depends=True)
    (result,) = _flattened(closed.jaxpr, closed.consts, [start], steps)
    n, m = closed.in_avals[0].size, closed.out_avals[0].size
    if not result.depends:
        return None
    last_use = {value: at for at, step in enumerate(steps) for value in step.operands}
    last_use[result] = len(steps)
    # Before the first step that is not linear J is the same for all rows.
    linear = next((at for at, s in enumerate(steps) if s.depends and not s.linear), len(steps))
    work = [multiply_adds(step.eqn) if step.depends else 0 for step in steps]
    done = [0, *itertools.accumulate(work)]  # by the steps before each
    live, b = {start: None}, n  # in the order in which they are made, as all that has bits
    best, least = None, _WORTH * (1 + n + min(n, m)) * (done[-1] - done[linear])
    plain_behind = _plain_behind(steps, start.aval.dtype)
    for at, step in enumerate(steps, start=1):
        for value in step.results:
            if value.depends and last_use.get(value, 0) >= at:
                live[value] = None
                b += value.size
        for value in step.operands:
            if value in live and last_use[value] < at:
                del live[value]
                b -= value.size
        if b > min(_WIDEST, n - 1) or not plain_behind[at - 1] or not _alike(live, start):
            continue
        cost = (1 + n + min(n, b)) * max(done[at] - done[linear], 0)
        cost += (1 + b) ** 2 * (done[-1] - done[at]) + n * m * b * (b + 1)
        if cost < least:
            best, least = (at, list(live)), cost
    return None if best is None else Waist(start, steps, *best, result)


def _plain_behind(steps: Sequence[_Step], dtype: Any) -> list[bool]:
    """Tell for each step whether all behind it are plain."""
    plain, behind = True, []
    for step in reversed(steps):
        behind.append(plain)
        plain &= not step.eqn.effects and (not step.depends or _is_plain(step, dtype))
    return behind[::-1]


def _is_plain(step: _Step, dtype: Any) -> bool:
    name, results = step.eqn.primitive.name, [value.aval.dtype for value in step.results]
    if any(jnp.issubdtype(each, jnp.inexact) and each != dtype for each in results):
        return False
    if name == "custom_jvp_call":
        return from_jax(step.eqn.params["call_jaxpr"])
    if name == "integer_pow":
        return step.eqn.params["y"] > 0
    if name == "div":
        return step.linear
    return name in _PLAIN


def _alike(live: Iterable[_Value], start: _Value) -> bool:
    """Tell whether these have the dtype of the inputs, which are not among them."""
    return start not in live and {value.aval.dtype for value in live} == {start.aval.dtype}


def _flattened(
    jaxpr: core.Jaxpr, consts: Sequence[Any], operands: Sequence[_Value], steps: list[_Step]
) -> list[_Value]:
    """Append the steps of a program, those of functions that it calls in their places."""
    known = dict(zip(jaxpr.invars, operands, strict=True))
    known |= {
        variable: _Value(variable.aval, const)
        for variable, const in zip(jaxpr.constvars, consts, strict=True)
    }

    def read(atom: Any) -> _Value:
        return _Value(atom.aval, atom.val) if isinstance(atom, core.Literal) else known[atom]

    for eqn in direct_equations(jaxpr):
        values = [read(atom) for atom in eqn.invars]
        if eqn.primitive.name == "jit":
            inner = eqn.params["jaxpr"]
            results = _flattened(inner.jaxpr, inner.consts, values, steps)
        else:
            depends = any(value.depends for value in values)
            results = [_Value(variable.aval, depends=depends) for variable in eqn.outvars]
            steps.append(_Step(eqn, values, results))
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _run(steps: Sequence[_Step], known: dict[_Value, Any]) -> None:
    """Evaluate steps, and note their results in `known`."""
    for eqn, operands, results in steps:
        arrays = [value.array if value.array is not None else known[value] for value in operands]
        known.update(zip(results, _bound(eqn, arrays), strict=True))


def _bound(eqn: core.JaxprEqn, arrays: Sequence[Any]) -> Iterator[Any]:
    with eqn.ctx.manager:
        made = eqn.primitive.bind(*arrays, **eqn.primitive.get_bind_params(eqn.params))
    return iter(made if eqn.primitive.multiple_results else [made])

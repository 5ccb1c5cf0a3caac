"""One equation of a traced program, as its rule sees it, and the rule for any primitive."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from ._accumulation import Accumulation, Node, Pull, Source
from ._active import Active, as_active
from ._tangent import Tangent, dense, flatten

_ROOM = Path(__file__).parent
# Frames of a traceback in these files are of no help to the user.
_NOT_THE_USERS = (str(Path(jax.__file__).parent), str(_ROOM / "_"), str(_ROOM / "rules.py"), "<")

# Applies the derivative of a primitive to the tangents of its active operands (None: zero).
Push = Callable[[Sequence[Tangent | None]], list[Tangent | None]]
# Returns the sources of each inexact result, from the J of the active operands.
Sources = Callable[[Sequence[Tangent]], list[list[Source]]]


class RuleError(Exception):
    """A primitive cannot be differentiated twice; the message names it and its place."""


@dataclass
class Equation:
    """An equation of the program, its operands, and where its results are recorded.

    Attributes:
        eqn: the equation as JAX traced it: primitive, parameters, input and output types.
        operands: one for each input: `Active` or a plain array.
        accumulation: where results are recorded.
    """

    eqn: core.JaxprEqn
    operands: list[Any]
    accumulation: Accumulation

    @property
    def name(self) -> str:
        """The name of the primitive."""
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        return self.eqn.params

    @functools.cached_property
    def active(self) -> list[int]:
        """The positions of the operands that depend on the inputs."""
        return [at for at, operand in enumerate(self.operands) if isinstance(operand, Active)]

    @functools.cached_property
    def values(self) -> list[Any]:
        """The operands' values."""
        return [
            operand.value if isinstance(operand, Active) else operand for operand in self.operands
        ]

    @functools.cached_property
    def parents(self) -> list[Node]:
        """The active operands as nodes."""
        return [self.operands[at].as_node(self.accumulation) for at in self.active]

    @property
    def result_types(self) -> list[Any]:
        """Shape and dtype of each result."""
        return [variable.aval for variable in self.eqn.outvars]

    @property
    def inexact(self) -> list[bool]:
        """For each result, whether it is of a type that has derivatives: float or complex."""
        return [jnp.issubdtype(aval.dtype, jnp.inexact) for aval in self.result_types]

    def only_inexact(self, results: Sequence[Any]) -> list[Any]:
        """Return those of the results that are of a type that has derivatives."""
        return [result for result, kept in zip(results, self.inexact, strict=True) if kept]

    def apply(self, *values: Any) -> list[Any]:
        """Run the primitive on other values of the operands."""
        primitive = self.eqn.primitive
        params = primitive.get_bind_params(self.params)
        with self.eqn.ctx.manager:
            results = primitive.bind(*values, **params)
        return list(results) if primitive.multiple_results else [results]

    def apply_active(self, *values: Any) -> list[Any]:
        """Run the primitive on other values of the active operands; only the inexact results."""
        operands = list(self.values)
        for at, value in zip(self.active, values, strict=True):
            operands[at] = value
        return self.only_inexact(self.apply(*operands))

    def record(
        self,
        push: Push,
        source: Sources,
        pull: Pull | None = None,
        linear: bool = False,
    ) -> list[Any]:
        """Apply the primitive and record its results.

        Args:
            push: applies the derivative of the primitive to the tangents of the active operands
                (None: zero); one tangent, or None for zero, for each inexact result.
            source: the sources of each inexact result, from the J of the active operands.
            pull: the reverse of `push`; left out, it is JAX's own.
            linear: whether the derivative is the same whatever the active operands' values are.
        """
        parents = self.parents
        jacobians: list[Tangent | None] = [parent.jacobian for parent in parents]
        carried: list[Tangent | None] = [None] * sum(self.inexact)
        if self.accumulation.forward:
            results = self.apply(*self.values)
            if any(parent.hessian_diag is not None for parent in parents):
                carried = push([parent.hessian_diag for parent in parents])
        elif pull is None:
            results, pull = self.with_pullback(linear)
        else:
            results = self.apply(*self.values)
        nodes = self.accumulation.record(
            self.only_inexact(results),
            push(jacobians),
            carried,
            source([parent.jacobian for parent in parents]),
            parents,
            pull,
        )
        return self.with_nodes(results, nodes)

    def with_nodes(self, results: Sequence[Any], nodes: Sequence[Node | None]) -> list[Any]:
        """Return the results, each inexact one that has a node as the array of that node."""
        remaining = iter(nodes)
        arrays = []
        for result, inexact in zip(results, self.inexact, strict=True):
            node = next(remaining) if inexact else None
            arrays.append(result if node is None else as_active(node))
        return arrays

    def with_pullback(self, linear: bool = False) -> tuple[list[Any], Pull]:
        """Return the results, and JAX's reverse of the primitive over a first axis of outputs.

        Of an output that does not depend on the results nothing passes, even where a derivative is
        infinite; a reverse that is `linear` in that sense has none that are.
        """
        operands = list(self.values)

        def split(*values: Any) -> tuple[list[Any], list[Any]]:
            for at, value in zip(self.active, values, strict=True):
                operands[at] = value
            results = self.apply(*operands)
            return self.only_inexact(results), results

        primals = [self.values[at] for at in self.active]
        inexact, pullback, results = jax.vjp(split, *primals, has_aux=True)

        def pull(cotangents: list[jax.Array | None]) -> tuple[Sequence[jax.Array], None]:
            m = next(cotangent.shape[0] for cotangent in cotangents if cotangent is not None)
            filled = [
                jnp.zeros((m, *result.shape), result.dtype) if cotangent is None else cotangent
                for cotangent, result in zip(cotangents, inexact, strict=True)
            ]
            passed = jax.vmap(pullback)(filled)
            return passed if linear else _only_where_reached(filled, passed), None

        return results, pull

    def place(self) -> str:
        """Return where in the user's code the equation comes from."""
        traceback = self.eqn.source_info.traceback
        frames: list[Any] = [] if traceback is None else list(traceback.frames)
        for frame in frames:
            if not frame.file_name.startswith(_NOT_THE_USERS):
                return f"{Path(frame.file_name).name}:{frame.line_num} ({frame.function_name})"
        return "an unknown place"

    def title(self) -> str:
        """Return the primitive's name with the name of the function that it calls, if any."""
        inner = self.params.get("call_jaxpr")
        debug_info = getattr(getattr(inner, "jaxpr", inner), "debug_info", None)
        function = self.params.get("name") or getattr(debug_info, "func_name", None)
        return f"'{self.name}'" + (f" of '{function}'" if function else "")


def _only_where_reached(
    cotangents: Sequence[jax.Array], passed: Sequence[jax.Array]
) -> list[jax.Array]:
    """Return zeros for the outputs, the first axis, whose cotangents are all zero."""
    reached = [(ct != 0).any(axis=tuple(range(1, ct.ndim))) for ct in cotangents]
    some = functools.reduce(jnp.logical_or, reached)
    return [
        jnp.where(some.reshape(-1, *[1] * (array.ndim - 1)), array, jnp.zeros_like(array))
        for array in passed
    ]


def general(equation: Equation) -> list[Any]:
    """Differentiate any primitive through JAX's own derivatives of it: the jvp of its jvp.

    J_u[i] = phi'(v) J_v[i] and s_u[i] = phi''(v)[J_v[i], J_v[i]], for dense tangents. Here the
    largest two entries, squared before:

    >>> derive(lambda x: lax.top_k(x**2, 2)[0], [1, 3, 2])
    value (2,)    [9, 4]
    J     (2, 3)  [[0, 6, 0], [0, 0, 4]]
    D     (2, 3)  [[0, 2, 0], [0, 0, 2]]

    Operands and parameters: of any primitive that has a `jvp` which can be differentiated again.
    https://docs.jax.dev/en/latest/jax-primitives.html
    """
    return differentiated(equation, functools.partial(_jvp, equation))


def _jvp(equation: Equation, values: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    return jax.jvp(equation.apply_active, tuple(values), tuple(tangents))[1]


def differentiated(
    equation: Equation, derivative: Callable[[Sequence[Any], Sequence[Any]], list[Any]]
) -> list[Any]:
    """Record a primitive, given its derivative as a function (values, tangents) -> tangents."""
    primals = [equation.values[at] for at in equation.active]

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        filled = _filled(tangents, primals)
        return [dense(t) for t in jax.vmap(lambda ts: derivative(primals, ts))(filled)]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        filled = _filled(jacobians, primals)

        def along(tangents: list[jax.Array]) -> list[jax.Array]:
            def slopes(*values: Any) -> list[Any]:
                return derivative(values, tangents)

            return jax.jvp(slopes, tuple(primals), tuple(tangents))[1]

        return [[Source(None, dense(second))] for second in jax.vmap(along)(filled)]

    return equation.record(push, source)


def _filled(tangents: Sequence[Tangent | None], primals: Sequence[Any]) -> list[jax.Array]:
    """Return dense tangents, with zeros where there is None."""
    flat = [None if tangent is None else flatten(tangent) for tangent in tangents]
    k = next(data.shape[0] for data in flat if data is not None)
    return [
        jnp.zeros((k, *jnp.shape(primal)), jnp.result_type(primal)) if data is None else data
        for data, primal in zip(flat, primals, strict=True)
    ]

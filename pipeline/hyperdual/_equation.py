"""One equation of a traced program at the moment that it is interpreted, and its plain rule."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from ._accumulation import Accumulation, Node, Pull, Source
from ._active import Active, whole
from ._tangent import Tangent, dense, flatten

# Where frames of a traceback are of no help to the user.
_NOT_THE_USERS = (str(Path(jax.__file__).parent), str(Path(__file__).parent), "<")

Linear = Callable[[Sequence[Tangent | None]], list[Tangent | None]]
Quadratic = Callable[[Sequence[Tangent]], list[list[Source]]]


class RuleError(Exception):
    """A primitive cannot be differentiated twice; the message names it and its place."""


@dataclass
class Site:
    """An equation, its operands, and where its results are recorded.

    Attributes:
        equation: primitive, parameters, input and output types.
        operands: one for each input: `Active` or a plain array.
        accumulation: where results are recorded.
    """

    equation: core.JaxprEqn
    operands: list[Any]
    accumulation: Accumulation

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        return self.equation.params

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
    def smooth(self) -> list[bool]:
        """For each result, whether it is of a type that has derivatives."""
        return [jnp.issubdtype(aval.dtype, jnp.inexact) for aval in self.result_types]

    @property
    def result_types(self) -> list[Any]:
        """Shape and dtype of each result."""
        return [variable.aval for variable in self.equation.outvars]

    def apply(self, *values: Any) -> list[Any]:
        """Run the primitive on other values of the operands."""
        primitive = self.equation.primitive
        params = primitive.get_bind_params(self.params)
        with self.equation.ctx.manager:
            results = primitive.bind(*values, **params)
        return list(results) if primitive.multiple_results else [results]

    def apply_active(self, *values: Any) -> list[Any]:
        """Run the primitive on other values of the active operands; only the smooth results."""
        every = list(self.values)
        for at, value in zip(self.active, values, strict=True):
            every[at] = value
        return [
            result for result, smooth in zip(self.apply(*every), self.smooth, strict=True) if smooth
        ]

    def record(
        self,
        push: Linear,
        source: Quadratic,
        pull: Pull | None = None,
    ) -> list[Any]:
        """Apply the primitive and record its results.

        Args:
            push: applies the derivative of the primitive to the tangents of the active operands
                (None: zero); one tangent, or None for zero, for each smooth result.
            source: the sources of each smooth result, from the J of the active operands.
            pull: the reverse of `push`; left out, it is JAX's own.
        """
        parents = self.parents
        jacobians: list[Tangent | None] = [parent.jacobian for parent in parents]
        count = sum(self.smooth)
        carried: list[Tangent | None] = [None] * count
        if self.accumulation.forward:
            results = self.apply(*self.values)
            if any(parent.hessian_diag is not None for parent in parents):
                carried = push([parent.hessian_diag for parent in parents])
        elif pull is None:
            results, pull = self.with_pullback()
        else:
            results = self.apply(*self.values)
        nodes = self.accumulation.record(
            [result for result, smooth in zip(results, self.smooth, strict=True) if smooth],
            push(jacobians),
            carried,
            source([parent.jacobian for parent in parents]),
            parents,
            pull,
        )
        return self.merged(results, nodes)

    def merged(self, results: Sequence[Any], nodes: Sequence[Node | None]) -> list[Any]:
        """Return the results in place, the smooth ones as the arrays of their nodes."""
        remaining = iter(nodes)
        merged = []
        for result, smooth in zip(results, self.smooth, strict=True):
            node = next(remaining) if smooth else None
            merged.append(result if node is None else whole(node))
        return merged

    def with_pullback(self) -> tuple[list[Any], Pull]:
        """Return the results, and JAX's reverse of the primitive over a first axis of outputs."""
        every = list(self.values)

        def split(*values: Any) -> tuple[list[Any], list[Any]]:
            for at, value in zip(self.active, values, strict=True):
                every[at] = value
            results = self.apply(*every)
            return [r for r, smooth in zip(results, self.smooth, strict=True) if smooth], results

        primals = [self.values[at] for at in self.active]
        smooth, pullback, results = jax.vjp(split, *primals, has_aux=True)

        def pull(cotangents: list[jax.Array | None]) -> tuple[Sequence[jax.Array], None]:
            given = next(ct for ct in cotangents if ct is not None)
            filled = [
                jnp.zeros((given.shape[0], *result.shape), result.dtype) if ct is None else ct
                for ct, result in zip(cotangents, smooth, strict=True)
            ]
            return jax.vmap(pullback)(filled), None

        return results, pull

    def place(self) -> str:
        """Return where in the user's code the equation comes from."""
        traceback = self.equation.source_info.traceback
        frames: list[Any] = [] if traceback is None else list(traceback.frames)
        for frame in frames:
            if not frame.file_name.startswith(_NOT_THE_USERS):
                return f"{Path(frame.file_name).name}:{frame.line_num} ({frame.function_name})"
        return "an unknown place"

    def what(self) -> str:
        """Return the primitive's name with the name of the function that it calls, if any."""
        name = self.params.get("name")
        return f"'{self.equation.primitive.name}'" + (f" of '{name}'" if name else "")


def general(site: Site) -> list[Any]:
    """Differentiate any primitive through JAX's own derivatives of it: the jvp of its jvp.

    J_u[i] = phi'(v) J_v[i] and s_u[i] = phi''(v)[J_v[i], J_v[i]], for dense tangents.
    """
    return differentiated(site, functools.partial(_jvp, site))


def _jvp(site: Site, values: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    return jax.jvp(site.apply_active, tuple(values), tuple(tangents))[1]


def differentiated(
    site: Site, derivative: Callable[[Sequence[Any], Sequence[Any]], list[Any]]
) -> list[Any]:
    """Record a primitive, given its derivative as a function (values, tangents) -> tangents."""
    primals = [site.values[at] for at in site.active]

    def push(tangents: Sequence[Tangent | None]) -> list[Tangent | None]:
        filled = _filled(tangents, primals)
        return [dense(t) for t in jax.vmap(lambda ts: derivative(primals, ts))(filled)]

    def source(jacobians: Sequence[Tangent]) -> list[list[Source]]:
        filled = _filled(jacobians, primals)

        def along(tangents: list[jax.Array]) -> list[jax.Array]:
            def slopes(*values: Any) -> list[Any]:
                return derivative(values, tangents)

            return jax.jvp(slopes, tuple(primals), tuple(tangents))[1]

        return [[Source(None, dense(born))] for born in jax.vmap(along)(filled)]

    return site.record(push, source)


def _filled(tangents: Sequence[Tangent | None], primals: Sequence[Any]) -> list[jax.Array]:
    """Return dense tangents, with zeros where there is None."""
    flat = [None if tangent is None else flatten(tangent) for tangent in tangents]
    k = next(data.shape[0] for data in flat if data is not None)
    return [
        jnp.zeros((k, *jnp.shape(primal)), jnp.result_type(primal)) if data is None else data
        for data, primal in zip(flat, primals, strict=True)
    ]

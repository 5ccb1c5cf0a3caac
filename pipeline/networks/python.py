"""A user's own function, from a module that Python can import."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import jax
import numpy as np
from pydantic import Field

from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError, first_line
from hyperdiag.messages.masking import masked_values

from .digest import digest_of_function
from .network import Network, checked_ranges, named, output_size
from .returned import Function, arrays_in, at_point, called, joined
from .target import find_target


def build(
    target: str,
    kwargs: Mapping[str, Any] | None = None,
    n_inputs: Annotated[int, Field(ge=1)] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    ranges: Mapping[str, Sequence[float]] | None = None,
    batched: bool = False,
    dtype: str = "float32",
) -> Network:
    """Your own function: network.target=package.module:builder, network.kwargs={...}.

    Args:
        target: `package.module:builder`. The builder takes `kwargs` and returns the function of
            one point, (n,) to (m,) or (), or to a dictionary or tuple of arrays; a module of
            Equinox or Flax NNX; (apply, variables); or a whole `Network`, whose names and ranges
            then hold. The module is found wherever Python finds it, or else in the current folder.
        kwargs: keyword arguments of the builder.
        n_inputs: n, where neither `inputs` nor the builder says it.
        inputs: names of the inputs; None means x1, x2, ...
        outputs: names of the outputs; None means y1, y2, ..., or the keys of what it returns. Or
            those of its arrays that are taken.
        ranges: {input: [low, high]} where known.
        batched: whether the function takes a batch, (rows, n) to (rows, m).
        dtype: under which the function is built and traced.

    Raises:
        UsageError: if the target cannot be found, built or traced, with the reason.
    """
    builder = find_target(target, "network.target", "builder")
    with numerics(dtype):
        built = _call(builder, target, dict(kwargs or {}))
    if isinstance(built, Network):
        if batched or any(option is not None for option in (n_inputs, inputs, outputs, ranges)):
            raise UsageError(
                f"network.target {target} returns a whole Network, with names and ranges of its "
                "own: leave network.n_inputs, inputs, outputs, ranges and batched out"
            )
        return replace(built, name="python")
    what = f"network.target {target}"
    function = called(built, what)
    if inputs is not None and n_inputs is not None and len(inputs) != n_inputs:
        raise UsageError(
            f"network.n_inputs={n_inputs}, but network.inputs has {len(inputs)} names: give one of "
            "them, or the same number"
        )
    size = len(inputs) if inputs is not None else n_inputs
    if size is None:
        raise UsageError(
            f"network.target {target}: how many inputs has it? "
            "Set network.inputs=[name, ...] or network.n_inputs=..."
        )
    at_one = at_point(function) if batched else function
    chosen, names = arrays_in(at_one, size, dtype, outputs)

    def to_one_array(of_point: Function) -> Function:
        return of_point if chosen is None else lambda x: joined(of_point(x), chosen)

    def again() -> Function:
        with numerics(dtype):
            other = called(_call(builder, target, dict(kwargs or {})), what)
        return to_one_array(at_point(other) if batched else other)

    one_array = to_one_array(at_one)

    def values_of_batch(points: np.ndarray) -> np.ndarray:
        with numerics(dtype):
            try:
                returned = jax.jit(function)(points.astype(dtype))
                return np.asarray(joined(returned, chosen, (len(points),)), np.float64)
            except Exception as error:  # a user's function may raise anything
                raise UsageError(
                    f"{what} with network.batched=true fails on {len(points)} rows at once: "
                    f"{first_line(error)}; the first axis must be that of the rows, of what goes "
                    "in and of all that comes out"
                ) from error

    count = output_size(one_array, size, dtype)
    if not names or (outputs is not None and len(outputs) == count):
        names = list(named("y", count, outputs))
    return Network(
        name="python",
        function=one_array,
        inputs=named("x", size, inputs),
        outputs=tuple(names),
        digest=_digest(target, one_array, again, size, dtype),
        ranges=checked_ranges(ranges),
        description=target,
        library_values=values_of_batch if batched else None,
    )


def _digest(target: str, built: Any, again: Callable[[], Function], size: int, dtype: str) -> str:
    """Return the digest, having built the function once more: workers must get the same one."""
    digest = digest_of_function(built, size, dtype)
    if digest_of_function(again(), size, dtype) != digest:
        raise UsageError(
            f"network.target {target} returns another function each time (random weights without "
            "a seed?): every worker builds its own, so it must return the same one"
        )
    return digest


def _call(builder: Any, target: str, kwargs: dict[str, Any]) -> Any:
    if not callable(builder):
        raise UsageError(f"network.target {target} is a {type(builder).__name__}, not a function")
    try:
        inspect.signature(builder).bind(**kwargs)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"network.target {target} does not take network.kwargs={masked_values(kwargs)}: "
            f"{error}. It must be a builder: called with network.kwargs, it returns the function "
            "of one point"
        ) from error
    try:
        return builder(**kwargs)
    except Exception as error:  # a user's builder may raise anything
        raise UsageError(
            f"network.target {target} failed: {type(error).__name__}: {error}"
        ) from error

"""Graphs within graphs: branches and loops."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from .._values import cast, check_size, is_constant

# From the iteration's number, the states, and the elements that are its turn, to whether there is
# to be another iteration, the new states, and what the iteration puts out.
Step = Callable[[Any, list[Any], list[Any]], tuple[Any, list[Any], list[Any]]]

_UNROLLED = 16  # iterations that are left as they are; more of them become one `lax.scan`
_MOST_UNROLLED = 10_000  # iterations of a loop that cannot become one


@operator("If")
def _(node: Node) -> Any:
    """One of two graphs. If x decides which, both are made, and must give the same shapes."""
    branches = [node.get("then_branch"), node.get("else_branch")]
    condition = node[0]
    if is_constant(condition):
        return node.run_graph(branches[0 if np.asarray(condition).reshape(()) else 1], [])

    def run(branch: onnx.GraphProto) -> Any:
        return _traced(node.run_graph(branch, []))

    try:
        return jax.lax.cond(
            condition.reshape(()).astype(bool),
            lambda: run(branches[0]),
            lambda: run(branches[1]),
        )
    except TypeError as error:
        raise OnnxError(
            "its condition depends on the network's inputs, and its two branches differ in the "
            "shapes or types of their outputs"
        ) from error


@operator("Loop")
def _(node: Node) -> Any:
    """A graph again and again: so many times, or as long as it says, or both."""
    body = node.get("body")
    limit, go = node.get_input(0), node.get_input(1)
    n_states = len(node.inputs) - 2
    if limit is not None:
        limit = limit.reshape(())
        limit = int(limit) if is_constant(limit) else limit

    def step(index: Any, states: list[Any], elements: list[Any]) -> Any:
        going, *results = node.run_graph(body, [index, np.asarray(True), *states])
        return going.reshape(()), results[:n_states], results[n_states:]

    initial = list(node.inputs[2:])
    going = np.asarray(True) if go is None else go.reshape(())
    states, outputs = _repeat(step, initial, [], limit, going)
    n_outputs = len(body.output) - 1 - n_states
    if n_outputs and not outputs:
        outputs = _nothing(step(np.asarray(0), initial, [])[2])
    return [*states, *outputs]


@operator("Scan", since=9)
def _(node: Node) -> Any:
    """A graph for each element of arrays, with states that go from one to the next."""
    n_scanned = node.get("num_scan_inputs")
    n_states = len(node.inputs) - n_scanned
    n_outputs = len(node.get("body").output) - n_states
    return _scan(
        node,
        list(node.inputs[:n_states]),
        list(node.inputs[n_states:]),
        node.get("scan_input_axes") or [0] * n_scanned,
        node.get("scan_input_directions") or [0] * n_scanned,
        node.get("scan_output_axes") or [0] * n_outputs,
        node.get("scan_output_directions") or [0] * n_outputs,
    )


@operator("Scan", since=8)
def _(node: Node) -> Any:
    """The operator of opset 8 alone: for each element of a batch, all sequences being as long."""
    n_scanned = node.get("num_scan_inputs")
    n_states = len(node.inputs) - 1 - n_scanned
    n_outputs = len(node.get("body").output) - n_states
    arrays = list(node.inputs[1:])
    lengths = node.static(0)
    if lengths is not None and np.any(lengths != arrays[-1].shape[1]):
        raise OnnxError("sequences of different lengths are not computed in opset 8; use opset 9")
    directions = node.get("directions") or [0] * n_scanned
    results = [
        _scan(
            node,
            [array[i] for array in arrays[:n_states]],
            [array[i] for array in arrays[n_states:]],
            [0] * n_scanned,
            directions,
            [0] * n_outputs,
            [0] * n_outputs,
        )
        for i in range(arrays[-1].shape[0])
    ]
    return [_stacked(each) for each in zip(*results, strict=True)]


def _scan(
    node: Node,
    states: list[Any],
    scanned: list[Any],
    axes: Sequence[int],
    directions: Sequence[int],
    output_axes: Sequence[int],
    output_directions: Sequence[int],
) -> list[Any]:
    """Return the last states and the outputs of a `Scan`; a direction of 1 is backwards."""
    body = node.get("body")
    elements = [
        _turned(_moved(array, axis, 0), direction)
        for array, axis, direction in zip(scanned, axes, directions, strict=True)
    ]

    def step(index: Any, states: list[Any], elements: list[Any]) -> Any:
        results = node.run_graph(body, [*states, *elements])
        return np.asarray(True), results[: len(states)], results[len(states) :]

    n = elements[0].shape[0]
    last, outputs = _repeat(step, states, elements, n, np.asarray(True))
    if not n:
        empty = [np.zeros(each.shape[1:], each.dtype) for each in elements]
        outputs = _nothing(step(np.asarray(0), states, empty)[2])
    return last + [
        _moved(_turned(array, direction), 0, axis)
        for array, axis, direction in zip(outputs, output_axes, output_directions, strict=True)
    ]


def _repeat(
    step: Step, states: list[Any], elements: list[Any], limit: Any, going: Any
) -> tuple[list[Any], list[Any]]:
    """Return the last states of a loop, and what its iterations put out, stacked; [] if none ran.

    What is constant stays so, and what decides shapes may change from one iteration to the next,
    as long as the iterations are walked one by one; so as soon as one of many gives what depends
    on x, those that remain become one `lax.scan`, if nothing of them needs to be constant.

    Args:
        step: one iteration.
        states: before the first.
        elements: arrays with one element for each iteration.
        limit: how many iterations there are at most; None if there is no limit.
        going: whether there is a first.
    """
    made: list[list[Any]] = []
    scannable = limit is not None and is_constant(limit) and limit > _UNROLLED
    index = 0
    while is_constant(limit) and (limit is None or index < limit):
        if not is_constant(going):
            break
        if not going:
            return states, _stacked_each(made)
        if scannable and not _all_constant([states, made[-1:], [] if index else elements]):
            rest = _scanned(step, states, elements, index, limit)
            if rest is not None:
                return rest[0], _joined(_stacked_each(made), rest[1])
            scannable = False
        if index == _MOST_UNROLLED:
            raise OnnxError(f"more than {_MOST_UNROLLED:,} iterations that differ are not computed")
        turn = [array[index] for array in elements]
        going, states, outputs = step(np.asarray(index), states, turn)
        made.append(outputs)
        check_size([len(made), *(np.size(outputs[0]) for _ in outputs[:1])])
        index += 1
    if is_constant(limit) and limit is not None and index >= limit:
        return states, _stacked_each(made)
    return _while(step, states, made, index, limit, going)


def _scanned(
    step: Step, states: list[Any], elements: list[Any], start: int, limit: int
) -> tuple[list[Any], list[Any]] | None:
    """Return the results of the iterations from one on, by `lax.scan`; None if it cannot be."""
    initial = _traced(states)

    def iteration(states: Any, turn: Any) -> Any:
        index, elements = turn
        going, new, outputs = step(index, states, elements)
        if not is_constant(going) or not going:
            raise OnnxError("an iteration decides whether there is another")
        return _like(new, states), _traced(outputs)

    check_size([limit])
    turns = (jnp.arange(start, limit), [jnp.asarray(array[start:]) for array in elements])
    try:
        return jax.lax.scan(iteration, initial, turns)
    except (OnnxError, TypeError, ValueError):
        return None


def _while(
    step: Step, states: list[Any], made: list[Any], start: int, limit: Any, going: Any
) -> tuple[list[Any], list[Any]]:
    """Return the last states of a loop whose end depends on x."""
    refusal = OnnxError(
        "how often it runs depends on the network's inputs, and so do the shapes of its outputs; "
        "export the model with a fixed number of iterations"
    )
    if any(made):
        raise refusal

    def condition(carry: Any) -> Any:
        index, going, _ = carry
        return going if limit is None else jnp.logical_and(going, index < limit)

    def iteration(carry: Any) -> Any:
        index, _, states = carry
        going, new, outputs = step(index, states, [])
        if outputs:
            raise refusal
        return index + 1, jnp.asarray(going, bool), _like(new, states)

    carry = (jnp.asarray(start), jnp.asarray(going, bool), _traced(states))
    try:
        return jax.lax.while_loop(condition, iteration, carry)[2], []
    except (TypeError, ValueError) as error:
        raise refusal from error


def _traced(values: Any) -> Any:
    return jax.tree.map(jnp.asarray, values)


def _like(values: list[Any], others: list[Any]) -> Any:
    """Return values in the dtypes of others, as the states of a loop must be."""
    return jax.tree.map(lambda value, other: jnp.asarray(cast(value, other.dtype)), values, others)


def _all_constant(values: Any) -> bool:
    return all(is_constant(leaf) for leaf in jax.tree.leaves(values))


def _stacked(arrays: Sequence[Any]) -> Any:
    return (np if _all_constant(list(arrays)) else jnp).stack(list(arrays))


def _stacked_each(made: list[list[Any]]) -> list[Any]:
    return [_stacked(each) for each in zip(*made, strict=True)]


def _joined(first: list[Any], rest: list[Any]) -> list[Any]:
    if not first:
        return rest
    return [jnp.concatenate([a, b]) for a, b in zip(first, rest, strict=True)]


def _nothing(outputs: list[Any]) -> list[Any]:
    """Return the outputs of no iteration, from those that one would have."""
    return [np.zeros((0, *np.shape(output)), output.dtype) for output in outputs]


def _moved(array: Any, source: int, target: int) -> Any:
    if source == target:
        return array
    return (np if is_constant(array) else jnp).moveaxis(array, source, target)


def _turned(array: Any, direction: int) -> Any:
    return array[::-1] if direction else array

"""Recurrent layers: RNN, GRU and LSTM, in the notation of the standard."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._node import Node
from .._refusal import OnnxError
from .._registry import operator
from ._by_jax import by_jax
from ._recurrent_activations import Activation, activations_of

# From the states, and what a step has of the input, to the new states; the first is put out.
Cell = Callable[[tuple[Any, ...], Any], tuple[Any, ...]]


@operator("RNN")
def _(node: Node) -> Any:
    """H' = f(X W^T + H R^T + b)."""

    def cell(weights: _Weights, functions: Sequence[Activation]) -> Cell:
        f = functions[0]

        def step(states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
            return (f(x + states[0] @ weights.recurrent.T + weights.recurrent_bias),)

        return step

    return _layer(node, cell, 1, ["Tanh"])


@operator("GRU")
def _(node: Node) -> Any:
    """H' = (1 - z) h + z H: z the update gate, h the hidden gate, which the reset gate r enters."""
    reset_last = node.get("linear_before_reset", 0)

    def cell(weights: _Weights, functions: Sequence[Activation]) -> Cell:
        f, g = functions
        size = weights.recurrent.shape[1]
        gates, hidden = weights.recurrent[: 2 * size].T, weights.recurrent[2 * size :].T
        gates_bias = weights.recurrent_bias[: 2 * size]
        hidden_bias = weights.recurrent_bias[2 * size :]

        def step(states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
            state = states[0]
            z, r = jnp.split(f(x[:, : 2 * size] + state @ gates + gates_bias), 2, axis=1)
            if reset_last:
                from_state = r * (state @ hidden + hidden_bias)
            else:
                from_state = (r * state) @ hidden + hidden_bias
            h = g(x[:, 2 * size :] + from_state)
            return ((1 - z) * h + z * state,)

        return step

    return _layer(node, cell, 3, ["Sigmoid", "Tanh"])


@operator("LSTM")
def _(node: Node) -> Any:
    """C' = f C + i c, H' = o h(C'): i, o, f the input, output, forget gates, c the cell gate.

    The gates see the cell too where there are peepholes, the output gate the new one.
    """
    coupled = node.get("input_forget", 0)

    def cell(weights: _Weights, functions: Sequence[Activation]) -> Cell:
        f, g, h = functions
        size = weights.recurrent.shape[1]
        if weights.peepholes is None:
            peephole_i = peephole_o = peephole_f = 0
        else:
            peephole_i, peephole_o, peephole_f = weights.peepholes.reshape(3, size)

        def step(states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
            state, cell_state = states
            sums = x + state @ weights.recurrent.T + weights.recurrent_bias
            sum_i, sum_o, sum_f, sum_c = jnp.split(sums, 4, axis=1)
            i = f(sum_i + peephole_i * cell_state)
            forget = 1 - i if coupled else f(sum_f + peephole_f * cell_state)
            cell_state = forget * cell_state + i * g(sum_c)
            return f(sum_o + peephole_o * cell_state) * h(cell_state), cell_state

        return step

    return _layer(node, cell, 4, ["Sigmoid", "Tanh", "Tanh"])


class _Weights:
    """The weights of one direction.

    Attributes:
        recurrent: the matrices R of all gates, one below the other.
        recurrent_bias: of those.
        peepholes: the vectors P, one after the other, or None.
    """

    def __init__(self, recurrent: Any, recurrent_bias: Any, peepholes: Any) -> None:
        self.recurrent = recurrent
        self.recurrent_bias = recurrent_bias
        self.peepholes = peepholes


def _layer(
    node: Node,
    make_cell: Callable[[_Weights, Sequence[Activation]], Cell],
    n_gates: int,
    default: Sequence[str],
) -> Any:
    """Return the outputs of a layer, constants where all its inputs are.

    Args:
        node: of the layer.
        make_cell: makes the step of one direction from its weights and activation functions.
        n_gates: whose matrices are one below the other.
        default: names of the activation functions of one direction.
    """
    names = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    direction = node.get("direction", "forward").lower()
    if direction not in names:
        raise OnnxError(f"there is no direction '{direction}'")
    functions = activations_of(node, default, len(names[direction]))
    lengths = node.static(4)
    batch_first = node.get("layout", 0)

    def run(
        x: Any, w: Any, r: Any, bias: Any, initial_h: Any, initial_c: Any, peepholes: Any
    ) -> tuple[Any, ...]:
        x = jnp.swapaxes(x, 0, 1) if batch_first else jnp.asarray(x)
        length, batch, _ = x.shape
        size = r.shape[2]
        ends = np.full(batch, length) if lengths is None else lengths.astype(int)
        outputs, last = [], []
        for d, is_reverse in enumerate(names[direction]):
            both = jnp.zeros(2 * n_gates * size, x.dtype) if bias is None else bias[d]
            input_bias, recurrent_bias = jnp.split(jnp.asarray(both), 2)
            weights = _Weights(r[d], recurrent_bias, None if peepholes is None else peepholes[d])
            states = tuple(
                _initial(each, d, batch_first, np.zeros((batch, size), x.dtype))
                for each in (initial_h, initial_c)[: 2 if len(default) == 3 else 1]
            )
            step = make_cell(weights, functions[d])
            order = _order(length, ends) if is_reverse else None
            hidden, states = _run(step, x @ w[d].T + input_bias, states, order, ends)
            outputs.append(hidden)
            last.append(states)
        y = jnp.stack(outputs, axis=1)
        axis = 1 if batch_first else 0
        finals = [jnp.stack(each, axis=axis) for each in zip(*last, strict=True)]
        return jnp.transpose(y, (2, 0, 1, 3)) if batch_first else y, *finals

    others = [node.get_input(i) for i in (3, 5, 6, 7)]
    return by_jax(run, node[0], node[1], node[2], *others)


def _initial(states: Any, direction: int, batch_first: int, zeros: Any) -> Any:
    """Return the state of one direction before its first step."""
    if states is None:
        return zeros
    return states[:, direction] if batch_first else states[direction]


def _order(length: int, lengths: np.ndarray) -> np.ndarray:
    """Return which time each step of each sequence takes, backwards.

    A sequence that is shorter than the array is turned round within its own length.
    """
    times = np.arange(length)[:, None]
    return np.where(times < lengths, lengths - 1 - times, times)


def _run(
    step: Cell, inputs: Any, states: tuple[Any, ...], order: np.ndarray | None, lengths: np.ndarray
) -> tuple[Any, tuple[Any, ...]]:
    """Return the outputs of one direction at all times, and its last states.

    Args:
        step: of the recurrence.
        inputs: what each time has of the input, of shape (times, batch, gates' sizes).
        states: before the first step, each of shape (batch, size).
        order: as of `_order`; None if each step takes the next time.
        lengths: of the sequences; after its end one keeps its states, and puts out 0.
    """
    n_times = inputs.shape[0]
    ordered = inputs if order is None else _rearranged(inputs, order, lengths)
    if n_times == 1 and lengths.all():
        # Without a loop: what a constant state is multiplied by is computed here, by NumPy.
        states = step(states, ordered[0])
        outputs = states[0][None]
    elif np.all(lengths == n_times):
        states, outputs = jax.lax.scan(
            lambda states, x: (new := step(states, x), new[0]), states, ordered
        )
    else:
        is_inside = jnp.asarray(np.arange(n_times)[:, None] < lengths)[:, :, None]

        def masked(states: tuple[Any, ...], turn: Any) -> Any:
            x, inside = turn
            new = tuple(
                jnp.where(inside, a, b) for a, b in zip(step(states, x), states, strict=True)
            )
            return new, jnp.where(inside, new[0], 0)

        states, outputs = jax.lax.scan(masked, states, (ordered, is_inside))
    return outputs if order is None else _rearranged(outputs, order, lengths), states


def _rearranged(values: Any, order: np.ndarray, lengths: np.ndarray) -> Any:
    if np.all(lengths == values.shape[0]):
        return values[::-1]
    return jnp.take_along_axis(values, order[:, :, None], axis=0)

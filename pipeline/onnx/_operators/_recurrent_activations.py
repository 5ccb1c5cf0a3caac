"""The activation functions of recurrent layers, with the numbers alpha and beta that some have."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._node import Node
from .._refusal import OnnxError

Activation = Callable[[Any], Any]

# {name in small letters: (alpha and beta where none are given, the function of x, alpha, beta)}.
_FUNCTIONS: dict[str, tuple[tuple[float, ...], Callable[..., Any]]] = {
    "affine": ((1.0, 0.0), lambda x, alpha, beta: alpha * x + beta),
    "elu": (
        (1.0,),
        lambda x, alpha: jnp.where(x >= 0, x, alpha * jnp.expm1(jnp.minimum(x, 0))),
    ),
    "hardsigmoid": ((0.2, 0.5), lambda x, alpha, beta: jnp.clip(alpha * x + beta, 0, 1)),
    "leakyrelu": ((0.01,), lambda x, alpha: jnp.where(x >= 0, x, alpha * x)),
    "relu": ((), lambda x: jnp.maximum(x, 0)),
    "scaledtanh": ((1.0, 1.0), lambda x, alpha, beta: alpha * jnp.tanh(beta * x)),
    "sigmoid": ((), jax.nn.sigmoid),
    "softplus": ((), lambda x: jnp.logaddexp(x, 0)),
    "softsign": ((), lambda x: x / (1 + jnp.abs(x))),
    "tanh": ((), jnp.tanh),
    "thresholdedrelu": ((1.0,), lambda x, alpha: jnp.where(x >= alpha, x, 0)),
}


def activations_of(node: Node, default: Sequence[str], n_directions: int) -> list[list[Activation]]:
    """Return the activation functions of a layer for each of its directions.

    The lists of alphas and betas are for those functions that have one, in their order.

    Args:
        node: of the layer.
        default: names of the functions of one direction, where none are parameters.
        n_directions: 1 or 2.

    Raises:
        OnnxError: for a function that the standard does not have, or another number of them.
    """
    names = node.get("activations") or list(default) * n_directions
    if len(names) != len(default) * n_directions:
        raise OnnxError(f"it needs {len(default)} activation functions for each direction")
    alphas = iter(node.get("activation_alpha", []))
    betas = iter(node.get("activation_beta", []))
    clip = node.get("clip")
    functions = [_activation(name, alphas, betas, clip) for name in names]
    return [functions[i : i + len(default)] for i in range(0, len(functions), len(default))]


def _activation(name: str, alphas: Any, betas: Any, clip: float | None) -> Activation:
    if name.lower() not in _FUNCTIONS:
        raise OnnxError(f"the standard has no activation function '{name}' for recurrent layers")
    defaults, function = _FUNCTIONS[name.lower()]
    parameters = [
        next(list_, value) for list_, value in zip((alphas, betas), defaults, strict=False)
    ]

    def activation(x: Any) -> Any:
        return function(x if clip is None else jnp.clip(x, -clip, clip), *parameters)

    return activation

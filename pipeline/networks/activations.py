"""Activation functions by the names that Flux, PyTorch and JAX users call them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Activation = Callable[[jax.Array], jax.Array]

ACTIVATIONS: dict[str, Activation] = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "leaky_relu": jax.nn.leaky_relu,  # slope 0.01
    "elu": jax.nn.elu,
    "celu": jax.nn.celu,
    "selu": jax.nn.selu,
    "gelu_erf": lambda z: jax.nn.gelu(z, approximate=False),
    "gelu_tanh": lambda z: jax.nn.gelu(z, approximate=True),
    "sigmoid": jax.nn.sigmoid,
    "log_sigmoid": jax.nn.log_sigmoid,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "tanh": jnp.tanh,
    "hard_tanh": jax.nn.hard_tanh,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "silu": jax.nn.silu,
    "hard_swish": jax.nn.hard_silu,
    "mish": jax.nn.mish,
    "softmax": jax.nn.softmax,
    "sin": jnp.sin,
    "exp": jnp.exp,
}

# Whose first or second derivative jumps somewhere.
KINKED = {
    *("relu", "relu6", "leaky_relu", "elu", "celu", "selu"),
    *("hard_sigmoid", "hard_tanh", "softsign", "hard_swish"),
}

_SYNONYMS = {
    "linear": "identity",
    "none": "identity",
    "leakyrelu": "leaky_relu",
    "σ": "sigmoid",
    "logistic": "sigmoid",
    "logsigmoid": "log_sigmoid",
    "hardsigmoid": "hard_sigmoid",
    "hardσ": "hard_sigmoid",
    "hardtanh": "hard_tanh",
    "soft_sign": "softsign",
    "swish": "silu",
    "hardswish": "hard_swish",
    "hard_silu": "hard_swish",
    "tanh_fast": "tanh",
    "sigmoid_fast": "sigmoid",
    "gelu": "gelu_erf",
}
# Where Flux (NNlib's activations.jl) means another function than PyTorch and Keras by a name. Of
# the names that both have, this is the only one.
_OF_FLUX = {"gelu": "gelu_tanh"}


def canonical(name: str, flux: bool = False) -> str | None:
    """Return the one name of an activation, given any usual one; None if there is none such.

    Args:
        name: in letters of any size.
        flux: whether it is meant as Flux means it: `gelu` is the tanh form there, the exact one
            (of the normal distribution) in PyTorch and Keras.
    """
    name = name.lower()
    name = (_OF_FLUX if flux else {}).get(name) or _SYNONYMS.get(name, name)
    return name if name in ACTIVATIONS else None

"""A curved network whose names would run scripts, if a page took them for its own."""

import jax.numpy as jnp
import numpy as np

from hyperdiag.networks import Network
from hyperdiag.networks.digest import digest_of

SCRIPT = "<script>document.title='broken'</script>"
INPUTS = ("spot", "vol<b>", "rate")
OUTPUTS = ("price", SCRIPT)


def hostile(dtype="float32"):
    """A sum of two waves, and a product of three inputs."""
    scale = np.array([3.0, 5.0], dtype)
    return Network(
        name="hostile",
        function=lambda x: jnp.stack(
            [jnp.sin(scale[0] * x[0]) * x[1] + x[2] ** 2, jnp.cos(scale[1] * x[1]) + x[0] * x[2]]
        ),
        inputs=INPUTS,
        outputs=OUTPUTS,
        ranges={"spot": (0.5, 1.5), "vol<b>": (0.1, 0.4)},
        digest=digest_of("hostile", {"scale": np.array([3.0, 5.0])}),
    )


def far_from_zero(dtype="float32"):
    """Outputs whose values, and a derivative, vary little beside their size."""
    return Network(
        name="far",
        function=lambda x: jnp.stack(
            [1000 + jnp.sin(x[0]) + 0.1 * x[1] ** 2, 100 * x[0] + jnp.sin(x[0]) + x[1]]
        ),
        inputs=("a", "b"),
        outputs=("y", "z"),
        ranges={},
        digest=digest_of("far", {}),
    )


def of_two(dtype="float32"):
    """A wave and a line of an input, and a constant."""
    return Network(
        name="of two",
        function=lambda x: jnp.stack([jnp.sin(x[0]) + 2e-9 * x[1], 3.0 * x[0], 0.0 * x[0] + 7.0]),
        inputs=("a", "b"),
        outputs=("$wave$ in $", "line", "constant"),
        ranges={},
        digest=digest_of("of two", {}),
    )


def wide(n=1000, m=300):
    """Many inputs with long names, and many outputs."""
    weights = np.random.default_rng(0).standard_normal((m, n)) / n**0.5
    return Network(
        name="wide",
        function=lambda x: jnp.tanh(jnp.asarray(weights, x.dtype) @ x),
        inputs=tuple(f"input {at:04d} of many, with a long name" for at in range(n)),
        outputs=tuple(f"output {at:03d}" for at in range(m)),
        ranges={f"input {at:04d} of many, with a long name": (0.0, 1.0) for at in range(n)},
        digest=digest_of("wide", {"weights": weights}),
    )

"""Networks that tests name as `network.target`."""

import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np


def poles():
    return lambda x: jnp.stack([1 / x[0], jnp.sqrt(x[1])])


def norm():
    return lambda x: (x @ x)[None]


def rectified():
    return lambda x: jnp.stack([jax.nn.relu(x[0] - x[1]), x[0] + x[1]])


def wavy():
    weights = np.random.default_rng(0).standard_normal((4, 3))

    def function(x):
        w = jnp.asarray(weights, x.dtype)
        return (w @ jnp.sin(w.T @ jnp.tanh(w @ x)))[:3]

    return function


def kinked():
    """A kink at a = 1e-9, which float32 cannot tell from a = 0."""
    return lambda x: jnp.abs((1 + x[0]) - (1 + 1e-9)) + x[1] ** 2


def steep():
    return lambda x: jnp.sin(3e6 * x[0])


def saturated():
    return jnp.tanh


def unit_vector():
    """Its slope is 1/x - 1/x + 1/x^3, about."""
    return lambda x: x / jnp.sqrt(1 + x**2)


def double_angle():
    """Two sides of a formula for the sine, which cancel."""
    return lambda x: 3 + 2 * jnp.sin(3 * x) * jnp.cos(3 * x) - jnp.sin(6 * x) + 1e-6 * x**2


def sure():
    """Probabilities that are all but one where x is large."""
    return jax.nn.sigmoid


def one_of_twelve_saturated():
    return lambda x: jnp.concatenate(
        [jnp.tanh(x[:1]), jnp.sin(jnp.arange(1.0, 12.0) * x[1] + x[2])]
    )


def random_weights():
    """Drawn without a dtype: other numbers in float64 than in float32."""
    weights = jax.random.normal(jax.random.key(0), (4, 3))
    return lambda x: jnp.tanh(weights @ x)[:2]


def only_float32():
    """A scan whose state is float32, whatever x is."""
    start, weights = jnp.zeros(3, jnp.float32), jnp.ones((4, 3), jnp.float32)
    turn = lambda x: lambda state, w: (jnp.tanh(state * w + x), None)
    return lambda x: jax.lax.scan(turn(x), start, weights)[0]


def bits_of_float32():
    """Drops the last four bits of each number, of those that float32 has."""
    bits = lambda x: jax.lax.bitcast_convert_type(x, jnp.int32) & -16
    return lambda x: only_float32()(x) * jax.lax.bitcast_convert_type(bits(x[:1]), jnp.float32)


def of_a_moment():
    """A wave of 314 seconds, by the seconds since 1970."""
    return lambda x: jnp.sin((x[0] - 1.7e9) / 50) * x[1] + x[2]


@jax.custom_jvp
def _cancelling(x):
    return x


# The slope is 1; in float32 1e8 + 1 is 1e8.
_cancelling.defjvp(lambda p, t: (p[0], t[0] * ((p[0] * 0 + 1e8 + 1) - 1e8)))


def cancelling():
    return lambda x: _cancelling(x)


MODULE_WEIGHTS = np.random.default_rng(3).standard_normal((2, 3))


def weights_of_a_module():
    return lambda x: MODULE_WEIGHTS @ x


def stepped():
    """A step at a = 1e-9, which float32 cannot tell from a = 0."""
    return lambda x: jnp.where((1 + x[0]) - (1 + 1e-9) >= 0, 2.0, 1.0) + x[1] ** 2


def mixed_scales():
    return lambda x: 1e-3 * x[0] ** 2 + x[1] ** 2


@jax.custom_vjp
def _only_backwards(x):
    return jnp.sin(x)


_only_backwards.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))


@jax.custom_jvp
def _rounded(x):
    return jnp.round(x)


_rounded.defjvp(lambda primals, tangents: (jnp.round(primals[0]), tangents[0]))


def straight_through():
    """Its rule and its value are two functions: derivatives of which is a matter of taste."""
    return lambda x: jnp.sin(_rounded(3 * x))


def only_backwards():
    return lambda x: _only_backwards(x * x[0])


def unverifiable():
    """No forward mode for the rule, no reverse mode for the loop."""

    def function(x):
        turn = lambda s: (s[0] + 1, _only_backwards(s[1]))
        return jax.lax.while_loop(lambda s: s[0] < 2, turn, (0, x))[1]

    return function


def flat_in_part():
    return lambda x: jnp.stack([jnp.clip(x[0], -1, 0) ** 2 / 2, jax.nn.relu(x[1]), jnp.sin(x[2])])


def _die(x):
    """Kill this process, the first time or every time, where a point says so."""
    marker = os.environ.get("HYPERDIAG_TEST_MARKER", "")
    if (x[:, 0] == 666.0).any() and not Path(marker or "/none").exists():
        if marker:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def _sleep(x, marker):
    if (x[:, 0] == 666.0).any() and not Path(marker).exists():
        Path(marker).touch()
        time.sleep(3600)
    return x


def sleeper(marker):
    """Hangs in the kernel at x1 = 666, the first time."""
    return watching(lambda point: _sleep(point, marker))


def _wait(x, seconds):
    time.sleep(seconds)
    return x


def asleep(seconds):
    """Hangs in the kernel at every point, for so long."""
    return watching(lambda point: _wait(point, seconds))


def _dawdle(x, marker):
    if Path(marker).exists():
        time.sleep(0.1)
    return x


def slow(marker):
    """Takes its time for each row, as long as there is a marker file."""
    return watching(lambda point: _dawdle(point, marker))


def large():
    """Sixteen kilobytes and more of intermediates for a row, that nothing can fuse away."""
    weights = np.random.default_rng(0).standard_normal((4096, 2)).astype(np.float32)
    return lambda x: jnp.sort(jnp.tanh(weights @ x))[::512]


def killer(marker=""):
    """Dies in the kernel at x1 = 666: once if there is a marker file to make, else always."""
    os.environ["HYPERDIAG_TEST_MARKER"] = marker
    return watching(_die)


def watching(look):
    """The tangent of two inputs, that shows each point to `look` first."""

    @jax.custom_jvp
    def watched(x):
        return jax.pure_callback(
            lambda point: look(point.reshape(-1, 2))[0].reshape(point.shape) * 0 + point,
            jax.ShapeDtypeStruct(x.shape, x.dtype),
            x,
            vmap_method="sequential",
        )

    watched.defjvp(lambda primals, tangents: (watched(*primals), *tangents))
    return lambda x: jnp.tanh(watched(x))


def trusted(weights, api_token, marker=""):
    """Takes credentials, as they were given, and fails at x1 = 666 with a message that has them."""
    assert "***" not in weights + api_token
    assert not marker, f"cannot read {weights} with {api_token}"

    def look(x):
        if (x[:, 0] == 666.0).any():
            raise ValueError(f"cannot read {weights} with kwargs={{'api_token': '{api_token}'}}")
        return x

    return watching(look)


def by_node():
    """Where a variable says so: other weights, a module that is missing, a device that dies."""
    kind = os.environ.get("HYPERDIAG_TEST_NODE", "")
    if kind == "without package":
        import a_module_that_no_node_has  # noqa: F401
    if kind == "broken device":
        raise RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered")
    if kind == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    weights = np.arange(4.0).reshape(2, 2) + (kind == "other build")
    return lambda x: jnp.tanh(jnp.asarray(weights, x.dtype) @ x)


def _break(x, marker):
    """Fail as a broken device does: from x1 = 666 on, in one process; in all without a marker."""
    broken = getattr(_break, "broken", not marker)
    if broken or ((x[:, 0] == 666.0).any() and not Path(marker).exists()):
        _break.broken = True
        if marker:
            Path(marker).touch()
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")
    return x


def device_breaks(marker=""):
    """Its device breaks at x1 = 666, for the first process to see it; without a marker, for all.

    Not at points of zeros, with which a worker warms up.
    """
    return watching(lambda point: _break(point, marker) if point.any() else point)


def _fail_or_wait(x, folder, fails):
    """Fail as a broken device does; or else wait until two processes have failed twice."""
    if fails:
        Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
        raise RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered")
    while True:
        failures = Counter(path.name.partition("-")[0] for path in Path(folder).iterdir())
        if sum(number > 1 for number in failures.values()) > 1:
            return x
        time.sleep(0.05)


def device_fails_on_a_node(folder):
    """Not at points of zeros, with which a worker warms up."""
    fails = os.environ.get("HYPERDIAG_TEST_NODE") == "failing device"
    return watching(lambda point: _fail_or_wait(point, folder, fails) if point.any() else point)


def _fail_but_for_one(x, folder, seconds):
    owner = Path(folder, "owner")
    with contextlib.suppress(FileExistsError), owner.open("x") as file:
        file.write(str(os.getpid()))
    fails = owner.read_text() != str(os.getpid())
    _fail_or_wait(x, folder, fails)
    if not (ended := Path(folder, "waited")).exists():
        ended.touch()
        time.sleep(seconds)
    return x


def devices_fail_but_for_one(folder, seconds):
    """Works in the first process that has a shard, which then waits for so long."""
    return watching(
        lambda point: _fail_but_for_one(point, folder, seconds) if point.any() else point
    )


def scaled():
    """Linear in the first input, whatever its size."""
    return lambda x: jnp.stack([x[0] / 2, x[1] * x[2], x[2] ** 2])

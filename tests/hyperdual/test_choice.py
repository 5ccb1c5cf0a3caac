"""What is kept of a choice, for later processes and against damage."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import METHODS, choose, derivatives, numerics
from hyperdiag.hyperdual import _choice as choice_module
from hyperdiag.hyperdual._choice import choice_key
from hyperdiag.hyperdual._jaxpr import shape_of

WEIGHTS = np.random.default_rng(0).standard_normal((24, 6)).astype(np.float32)


def _net(x):
    return jnp.tanh(WEIGHTS.T @ jnp.tanh(WEIGHTS @ x))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path))
    monkeypatch.setattr(choice_module, "_choices", {})
    return tmp_path / "tuning"


def test_choice_is_remembered_by_later_processes(cache, monkeypatch):
    choice = choose(_net, 6, tuning_seconds=0)  # one candidate
    (file,) = cache.iterdir()
    changed = json.loads(file.read_text()) | {"method": "double_forward", "tile": 77}
    file.write_text(json.dumps(changed))
    assert choose(_net, 6) == choice  # this process knows
    monkeypatch.setattr(choice_module, "_choices", {})
    assert choose(_net, 6) == ("double_forward", 77)
    assert derivatives(_net, 6).choice == ("double_forward", 77)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"method": "hyperdual"}',
        '{"method": "gone", "tile": 8}',
        '{"method": "hyperdual", "tile": 0}',
        '{"method": "hyperdual", "tile": "8"}',
        "\0",
    ],
)
def test_damaged_file_counts_as_none(content, cache):
    with numerics("float32"):
        key = choice_key(shape_of(_net, 6, 6, "float32", None), None, None)
    cache.mkdir()
    file = cache / f"{key}.json"
    file.write_text('{"method": "hyperdual", "tile": 8}')
    assert choose(_net, 6, tuning_seconds=None) == ("hyperdual", 8)
    file.write_text(content)
    assert choose(_net, 6, tuning_seconds=None) is None


def test_key_tells_programs_sizes_and_dtypes_apart(cache):
    def key(fn, n, directions, dtype, kind="cpu"):
        with jax.enable_x64(dtype == "float64"):
            return choice_key(shape_of(fn, n, directions, dtype, kind), None, None)

    base = key(_net, 6, 6, "float32")
    assert base == key(_net, 6, 6, "float32")
    others = [
        key(lambda x: _net(x) + 1, 6, 6, "float32"),
        key(_net, 6, 2, "float32"),
        key(_net, 6, 6, "float64"),
        key(_net, 6, 6, "float32", "NVIDIA H100"),
    ]
    assert len({base, *others}) == 5


def test_key_is_the_same_in_every_process():
    script = (
        "import jax, jax.numpy as jnp; from hyperdiag.hyperdual._jaxpr import shape_of;"
        "from hyperdiag.hyperdual._choice import choice_key;"
        "f = jax.checkpoint(lambda x: jax.nn.softplus(jnp.sin(x)),"
        " policy=jax.checkpoint_policies.dots_saveable);"
        "print(choice_key(shape_of(f, 3, 3, 'float32', 'cpu'), None, None))"
    )
    keys = {subprocess.check_output([sys.executable, "-c", script]) for _ in range(2)}
    assert len(keys) == 1


def test_folder_that_cannot_be_written_is_no_failure(monkeypatch):
    monkeypatch.setenv("HYPERDIAG_CACHE", "/proc/none")
    monkeypatch.setattr(choice_module, "_choices", {})
    assert choose(_net, 6, tuning_seconds=0).method in METHODS

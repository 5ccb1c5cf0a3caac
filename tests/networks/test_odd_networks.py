"""Networks that are odd but possible: each once broke something."""

import jax
import jax.numpy as jnp
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network, chain
from hyperdiag.networks.digest import digest_of_function

MODULE = """
import jax
from hyperdiag.networks import Network


def keyed(seed=0):
    key = jax.random.key(seed)
    return lambda x: x * jax.random.normal(key, (2,))


class Family:
    @staticmethod
    def build(dtype="float32"):
        return Network("family", lambda x: x, ("a",), ("b",), "abc", {})
"""


@pytest.fixture
def users_open_module(tmp_path, monkeypatch):
    (tmp_path / "users_open_module.py").write_text(MODULE)
    info = tmp_path / "users_open_module-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: users-open-module\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[hyperdiag.networks]\nfamily = users_open_module:Family.build\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "users_open_module"


def test_python_function_that_holds_a_random_key_has_a_digest_by_the_key(users_open_module):
    settings = {"name": "python", "target": f"{users_open_module}:keyed", "n_inputs": 2}
    one, again, other = (
        build_network({**settings, "kwargs": {"seed": seed}}).digest for seed in (0, 0, 1)
    )
    assert one == again != other


def test_entry_point_of_a_method_is_a_network_as_any_other(users_open_module):
    assert build_network({"name": "family"}).name == "family"


def test_digest_of_function_the_name_of_a_compiled_helper_does_not_count():
    def one(x):
        return jnp.sin(x) * 2

    def other(x):
        return jnp.sin(x) * 2

    digests = [digest_of_function(jax.jit(function), 3, "float32") for function in (one, other)]
    assert digests[0] == digests[1]


def test_chain_layer_under_a_name_beside_others_is_refused():
    with pytest.raises(UsageError, match="last"):
        chain.build("Chain(Dense(3, 4), last=Dense(4, 2))")


def test_chain_text_with_space_before_it_is_read():
    assert chain.build("  Dense(3, 2)\n").description == "Chain(Dense(3, 2, identity))"

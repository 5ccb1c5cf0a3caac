import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench import networks
from hyperdiag.bench.networks import NETWORKS, choose_networks
from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError


@pytest.mark.one_in(5)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_maps_one_point_to_m_numbers_of_its_dtype(name, dtype):
    network = NETWORKS[name]
    points = network.points(3)
    assert points.shape == (3, network.n)
    assert points.dtype == np.float32
    with numerics(dtype):
        y = jax.jit(network.build(dtype))(jnp.asarray(points[2], dtype))
    assert y.shape == (network.m,)
    assert y.dtype == dtype
    assert np.isfinite(y).all()
    assert np.unique(y).size == network.m  # no output is a copy of another


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_built_twice_is_two_functions_of_the_same_network(name):
    first, second = (NETWORKS[name].build("float32") for _ in range(2))
    x = jnp.asarray(NETWORKS[name].points(1)[0])
    assert first is not second
    np.testing.assert_array_equal(first(x), second(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_network_with_widths_has_its_inputs_and_outputs_at_the_ends(name):
    network = NETWORKS[name]
    if network.widths is not None:
        assert (network.widths[0], network.widths[-1]) == (network.n, network.m)


@pytest.mark.parametrize(("name", "parts"), [("deep-sets", 16), ("pixels", 64)])
def test_network_that_pools_does_not_depend_on_the_order_of_its_parts(name, parts):
    function, x = NETWORKS[name].build("float32"), NETWORKS[name].points(1)[0]
    turned = np.roll(x.reshape(parts, -1), 5, axis=0).reshape(-1)
    np.testing.assert_allclose(function(turned), function(x), rtol=1e-4, atol=1e-6)
    assert np.abs(function(x[::-1]) - function(x)).max() > 1e-4


def test_choose_networks_keeps_the_given_order_and_takes_none_twice():
    chosen, notes = choose_networks(["graph", "chain-5-3-3", "graph"])
    assert [network.name for network in chosen] == ["graph", "chain-5-3-3"]
    assert notes == []


def test_choose_networks_with_unknown_names_names_all_of_them():
    with pytest.raises(UsageError) as caught:
        choose_networks(["grahp", "graph", "lstm"])
    assert len(caught.value.problems) == 2
    assert "there is no 'grahp' (closest: 'graph')" in caught.value.problems[0]


def test_choose_networks_without_the_package_of_one_leaves_it_out_unless_named(monkeypatch):
    def absent(settings, dtype="float32"):
        raise UsageError(f"network '{settings['name']}' needs a package")

    monkeypatch.setattr(networks, "build_network", absent)
    chosen, notes = choose_networks()
    missing = {"qlknn", "chain-5-3-3", "chain-10-5-3"}
    assert {network.name for network in chosen} == NETWORKS.keys() - missing
    assert "qlknn is left out: network 'qlknn' needs a package" in notes
    with pytest.raises(UsageError, match="needs a package"):
        choose_networks(["qlknn"])

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench.benchmark_network import dense, like
from hyperdiag.bench.contestants import CONTESTANTS
from hyperdiag.bench.random_networks import _KINDS, _work, draw_networks
from hyperdiag.bench.timing import reference_arrays, relative_error
from hyperdiag.hyperdual import numerics

# One of each kind.
DRAWN = draw_networks(2, len(_KINDS))


def test_seed_draws_the_same_networks_whatever_the_count():
    few, many = draw_networks(5, 4), draw_networks(5, 20)
    assert [network.description for network in few] == [n.description for n in many[:4]]
    point = many[0].points(1)[0]
    first, again = (np.asarray(one.build("float32")(point)) for one in (few[0], many[0]))
    np.testing.assert_array_equal(first, again)


def test_seeds_draw_other_networks():
    assert {n.description for n in draw_networks(5, 14)}.isdisjoint(
        n.description for n in draw_networks(6, 14)
    )


def test_each_kind_is_drawn_once_in_a_turn():
    kinds = [network.description.partition(":")[0] for network in DRAWN]
    assert sorted(kinds) == sorted(_KINDS)


@pytest.mark.parametrize("network", DRAWN, ids=lambda network: network.name)
def test_network_maps_its_inputs_to_its_outputs_in_either_dtype(network):
    for dtype in ("float32", "float64"):
        with numerics(dtype):
            point = jax.ShapeDtypeStruct((network.n,), dtype)
            result = jax.eval_shape(network.build(dtype), point)
        assert (result.shape, result.dtype) == ((network.m,), np.dtype(dtype))
    assert network.rows >= 16
    if network.widths:
        assert (network.widths[0], network.widths[-1]) == (network.n, network.m)


@pytest.mark.slow
@pytest.mark.parametrize("network", DRAWN, ids=lambda network: network.name)
def test_our_derivatives_of_a_network_are_those_of_float64(network):
    points = network.points(2)
    wanted = reference_arrays(network, points)
    with numerics("float32"):
        method = CONTESTANTS["ours"].build(network.build("float32"), network.n)
        found = method(points)
    for name in ("value", "jacobian", "hessian_diag"):
        assert relative_error(np.asarray(getattr(found, name)), wanted[name]) < 1e-4


def test_multiply_adds_are_those_of_products_convolutions_and_scans():
    layer = dense(np.random.default_rng(0), 6, 5)

    def product(x):
        matrix, _ = like(x, layer)
        return x @ matrix

    def convolution(x):
        kernel = jnp.ones((4, 1, 3))  # features out, features in, width
        return jax.lax.conv_general_dilated(x.reshape(1, 1, 6), kernel, (1,), "VALID")

    def scan(x):
        return jax.lax.scan(lambda carry, _: (product(carry)[0] * x, None), x, None, length=7)[0]

    assert _work(product, 6) == 30
    # Four features at four places, three multiply-adds each; six entries are reshaped, twelve made.
    assert _work(convolution, 6) == 48 + 6 + 12
    # In each turn a product, a slice and what it is of, and six factors.
    assert _work(scan, 6) == 7 * (30 + 1 + 1 + 6)

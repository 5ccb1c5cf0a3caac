"""Loops that meet one element of a sequence after the other leave out what is zero until then."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import derivatives, multiply_adds, numerics
from hyperdiag.hyperdual._jaxpr import direct_equations

RNG = np.random.default_rng(0)
EMBEDDING = RNG.standard_normal((3, 3))


def _network(steps, features, reverse=False, start=lambda u: 0.0, element=lambda u: u, width=6):
    """A recurrent network with a last state, and results of all iterations."""
    first, second = RNG.standard_normal((features, width)), RNG.standard_normal((width, width))

    def network(x):
        entry, mixing = jnp.asarray(first, x.dtype), jnp.asarray(second / width**0.5, x.dtype)
        u = x.reshape(steps, features)

        def step(state, now):
            number, of_step = now
            state = jnp.tanh(of_step @ entry + state @ mixing) * (1 + 0.1 * number)
            return state, (state[:2] * of_step[0], of_step)

        initial = jnp.zeros(width, x.dtype) + start(u)
        now = jnp.arange(steps, dtype=x.dtype), element(u)
        last, (products, elements) = jax.lax.scan(step, initial, now, reverse=reverse)
        return jnp.concatenate([last, products.reshape(-1), elements.sum(axis=0)])

    return network


def _counted(network, n, method="hyperdual"):
    with numerics("float64"):
        bundle = derivatives(network, n, method, dtype="float64", tile=1, threads=1)
        program = jax.make_jaxpr(bundle._batch._function)(jnp.zeros((1, n)))
    return sum(map(multiply_adds, direct_equations(program)))


@pytest.mark.one_in(8)
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_columns"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("steps", "features"), [(8, 3), (9, 1), (3, 2), (5, 2)])
def test_derivatives_are_those_of_jax(steps, features, reverse, method):
    network, n = _network(steps, features, reverse), steps * features
    points, direction = RNG.standard_normal((2, 3, n))
    quantities = ["value", "jacobian", "hessian_diag", "laplacian", "hvp"]
    found = derivatives(network, n, method, dtype="float64", outputs=quantities)(points, direction)
    with numerics("float64"):
        hessian = jax.vmap(jax.hessian(network))(points)
        diagonal = jnp.diagonal(hessian, axis1=2, axis2=3)
        expected = [
            jax.vmap(network)(points),
            jax.vmap(jax.jacfwd(network))(points),
            diagonal,
            diagonal.sum(axis=-1),
            jnp.einsum("rjab,rb->rja", hessian, direction),
        ]
    for name, one, other in zip(quantities, found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("reverse", [False, True])
def test_directions_that_no_iteration_has_met_are_left_out(reverse):
    """Of 16 iterations in four parts, (4 + 8 + 12 + 16) / 64 = 0.625 of J and D is left.

    Where nothing is known of the sequence (its elements exchanged), or the state starts with all
    of it, all of J and D are computed.
    """
    sizes = 16, 3, reverse
    in_order = _counted(_network(*sizes, width=48), 48)
    exchanged = _counted(_network(*sizes, element=lambda u: u[::-1], width=48), 48)
    from_all = _counted(_network(*sizes, start=lambda u: u.sum(), width=48), 48)
    assert in_order < 0.66 * exchanged
    assert in_order < 0.66 * from_all


def test_a_layer_for_each_element_before_the_loop_keeps_them_apart():
    embedded = lambda u: jnp.tanh(u @ jnp.asarray(EMBEDDING, u.dtype))
    mixed = lambda u: jnp.tanh(u + u.sum())
    in_order = _counted(_network(16, 3, element=embedded, width=48), 48)
    assert in_order < 0.68 * _counted(_network(16, 3, element=mixed, width=48), 48)


def _stacked(first_reverse, second_reverse, steps=16):
    """Two recurrent layers: the states of the first are the sequence of the second."""
    weights = RNG.standard_normal((2, 5)), RNG.standard_normal((3, 5, 5)) / 2

    def network(x):
        entry, mixing = (jnp.asarray(each, x.dtype) for each in weights)
        step = lambda first, second: lambda h, u: (jnp.tanh(u @ first + h @ second),) * 2
        zeros = jnp.zeros(5, x.dtype)
        u = x.reshape(steps, 2)
        _, states = jax.lax.scan(step(entry, mixing[0]), zeros, u, reverse=first_reverse)
        last, _ = jax.lax.scan(step(mixing[1], mixing[2]), zeros, states, reverse=second_reverse)
        return last

    return network


@pytest.mark.parametrize(("first", "second"), [(False, False), (True, True), (True, False)])
def test_a_second_layer_of_the_same_direction_leaves_them_out_too(first, second):
    network, points = _stacked(first, second), RNG.standard_normal((2, 32))
    found = derivatives(network, 32, "hyperdual", dtype="float64", tile=2)(points)
    with numerics("float64"):
        jacobian = jax.vmap(jax.jacfwd(network))(points)
        hessian = jax.vmap(jax.hessian(network))(points)
    diagonal = np.diagonal(hessian, axis1=2, axis2=3)
    np.testing.assert_allclose(found.jacobian, jacobian, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.hessian_diag, diagonal, rtol=1e-12, atol=1e-12)
    bundle = derivatives(network, 32, "hyperdual", tile=1, threads=1)
    program = str(jax.make_jaxpr(bundle)(points[:1].astype(np.float32)))
    assert program.count("scan[") == (8 if first == second else 5)

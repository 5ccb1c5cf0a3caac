"""Derivatives stored without their zeros, against the dense arrays that they stand for."""

import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual._rules.reshape import reshaped
from hyperdiag.hyperdual._tangent import (
    Tangent,
    add,
    contract,
    dense,
    flatten,
    meet,
    product,
    push,
    push_over,
    total,
    untie,
)

# Stored arrays for an intermediate of shape (3, 2, 5): sizes, ties.
STRUCTURES = [
    ((6,), (None,)),
    ((3,), (0,)),
    ((3, 2), (0, None)),
    ((2, 3), (None, 0)),
    ((3, 2), (0, 1)),
    ((2, 3), (1, 0)),
    ((5, 3, 4), (2, 0, None)),
    ((3, 2, 5), (0, 1, 2)),
]
SHAPE = (3, 2, 5)


def _tangent(sizes, ties, seed=0):
    free = [size for size, tie in zip(sizes, ties, strict=True) if tie is None]
    data = np.random.default_rng(seed).standard_normal((*free, *SHAPE))
    return Tangent(jnp.asarray(data), sizes, ties)


def _by_hand(tangent):
    """Write out the dense array, (k, 3, 2, 5), entry by entry."""
    result = np.zeros((*tangent.sizes, *SHAPE))
    data = np.asarray(tangent.data)
    for direction in np.ndindex(*tangent.sizes):
        for entry in np.ndindex(*SHAPE):
            tied = [(i, t) for i, t in zip(direction, tangent.ties, strict=True) if t is not None]
            if all(entry[axis] == i for i, axis in tied):
                free = [i for i, t in zip(direction, tangent.ties, strict=True) if t is None]
                result[(*direction, *entry)] = data[(*free, *entry)]
    return result.reshape(-1, *SHAPE)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
def test_flatten_of_any_structure_is_the_dense_array(sizes, ties):
    tangent = _tangent(sizes, ties)
    np.testing.assert_array_equal(flatten(tangent), _by_hand(tangent))


@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
@pytest.mark.parametrize("axes", [[0], [1], [0, 2]])
def test_untie_of_some_axes_keeps_the_derivatives(sizes, ties, axes):
    tangent = _tangent(sizes, ties)
    untied = untie(tangent, axes)
    assert not set(untied.ties) & set(axes)
    np.testing.assert_array_equal(flatten(untied), _by_hand(tangent))


def test_untie_does_not_spread_what_is_not_finite():
    tangent = Tangent(jnp.array([jnp.inf, 1.0]), (2,), (0,))
    assert untie(tangent).data.tolist() == [[np.inf, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(("sizes", "ties"), [s for s in STRUCTURES if np.prod(s[0]) == 6])
@pytest.mark.parametrize(("others", "their"), [s for s in STRUCTURES if np.prod(s[0]) == 6])
def test_sum_and_product_of_two_structures_are_those_of_the_dense_arrays(
    sizes, ties, others, their
):
    a, b = _tangent(sizes, ties, 1), _tangent(others, their, 2)
    np.testing.assert_allclose(flatten(add([a, b])), _by_hand(a) + _by_hand(b), atol=1e-6)
    np.testing.assert_allclose(flatten(product(a, b)), _by_hand(a) * _by_hand(b), atol=1e-6)


def test_meeting_tangents_keep_the_ties_they_share():
    a, b = _tangent((3, 2), (0, 1)), _tangent((3, 2), (0, None))
    assert [tangent.ties for tangent in meet([a, b])] == [(0, None), (0, None)]


@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
def test_contract_is_the_sum_over_entries(sizes, ties):
    tangent = _tangent(sizes, ties)
    cotangents = np.random.default_rng(3).standard_normal((4, *SHAPE))
    wanted = np.einsum("mabc,kabc->mk", cotangents, _by_hand(tangent))
    np.testing.assert_allclose(contract(jnp.asarray(cotangents), tangent), wanted, atol=1e-5)


@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
def test_total_is_the_sum_over_directions(sizes, ties):
    tangent = _tangent(sizes, ties)
    np.testing.assert_allclose(
        flatten(total(tangent)), _by_hand(tangent).sum(axis=0)[None], atol=1e-6
    )


@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
def test_push_through_a_product_over_one_axis_keeps_the_other_ties(sizes, ties):
    tangent = _tangent(sizes, ties)
    weights = np.random.default_rng(4).standard_normal((5, 7))
    (pushed,) = push(lambda a: [a @ weights], [tangent], {0: 0, 1: 1})
    np.testing.assert_allclose(flatten(pushed), _by_hand(tangent) @ weights, atol=1e-5)
    assert {0, 1} & set(ties) == set(pushed.ties) - {None}


@pytest.mark.parametrize(("sizes", "ties"), [s for s in STRUCTURES if 0 in s[1]])
def test_push_over_a_tied_axis_is_the_product_over_it(sizes, ties):
    tangent = _tangent(sizes, ties)
    weights = np.random.default_rng(4).standard_normal((3, 7))
    # sum_a t[a, b, c] weights[a, d], with a not summed but first.
    found = push_over(lambda t: jnp.einsum("abc,ad->abcd", t, weights), tangent, [0], {1: 0, 2: 1})
    wanted = np.einsum("kabc,ad->kbcd", _by_hand(tangent), weights)
    np.testing.assert_allclose(flatten(found), wanted, atol=1e-5)


@pytest.mark.one_in(5)
@pytest.mark.parametrize(("sizes", "ties"), STRUCTURES)
@pytest.mark.parametrize(
    "shape", [(3, 10), (6, 5), (30,), (3, 2, 5, 1), (1, 3, 2, 1, 5), (2, 3, 5), (3, 1, 2, 5)]
)
def test_reshape_of_any_structure_is_the_reshaped_dense_array(sizes, ties, shape):
    tangent = _tangent(sizes, ties)
    found = reshaped(tangent, shape)
    wanted = _by_hand(tangent).reshape(-1, *shape)
    np.testing.assert_array_equal(flatten(found), wanted)


def test_reshape_to_tokens_and_back_keeps_every_tie():
    x = Tangent(jnp.arange(6.0), (6,), (0,))
    tokens = reshaped(x, (3, 2))
    assert (tokens.sizes, tokens.ties) == ((3, 2), (0, 1))
    back = reshaped(tokens, (6,))
    assert (back.sizes, back.ties) == ((6,), (0,))


def test_reshape_with_a_zero_size_keeps_the_shape():
    tangent = dense(jnp.zeros((4, 0, 3)))
    assert flatten(reshaped(tangent, (3, 0))).shape == (4, 3, 0)

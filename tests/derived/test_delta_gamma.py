import jax
import numpy as np
import pytest

from hyperdiag.derived.delta_gamma import DeltaGamma, Scenario

from .networks import curved, rows_of

POINTS = np.random.default_rng(2).normal(size=(40, 3))
DIRECTION = {"a": 0.9, "b": -0.6, "c": 0.4}


def _error(kind_of, scale):
    """Return the largest error of change1 and change2 against full revaluation, for such shocks."""
    shocks = {name: scale * step for name, step in DIRECTION.items()}
    rows = rows_of(curved(), POINTS)
    value = jax.vmap(curved())
    with jax.enable_x64(True):
        moved = np.asarray(value(POINTS + np.array([*shocks.values()])) - value(POINTS))
    return [np.abs(change - moved).max() for change in kind_of(shocks).arrays(rows)]


def _order(kind_of):
    """Return the orders of both errors, from shocks that shrink."""
    errors = np.log([_error(kind_of, scale) for scale in (0.02, 0.01, 0.005)])
    return (errors[:-1] - errors[1:]) / np.log(2)


@pytest.mark.parametrize(("cross_terms", "second"), [(False, 2), (True, 3)])
def test_errors_against_full_revaluation_shrink_as_they_should(cross_terms, second):
    orders = _order(lambda shocks: DeltaGamma(None, (Scenario("", shocks),), False, cross_terms))
    np.testing.assert_allclose(orders, [[2, second]] * 2, atol=0.1)


def test_shock_of_a_single_input_needs_no_mixed_derivatives():
    rows, value = rows_of(curved(), POINTS), jax.vmap(curved())
    errors = []
    for step in (0.02, 0.01):
        with jax.enable_x64(True):
            moved = np.asarray(value(POINTS + np.array([0, step, 0])) - value(POINTS))
        change = DeltaGamma(None, (Scenario("", {"b": step}),)).arrays(rows)[1]
        errors.append(np.abs(change - moved).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.1)


def test_scenarios_have_columns_and_numbers_of_their_own():
    rows = rows_of(curved(), POINTS, {"dx": np.linspace(-1, 1, 40)})
    jacobian, bend = rows.quantities["jacobian"], rows.quantities["hessian_diag"]
    scenarios = (Scenario("up", {"a": 0.1}), Scenario("down", {"a": -0.2, "c": 0.3}))
    kind = DeltaGamma(None, scenarios, by_input=True)
    assert [block.shape for block in kind.blocks(rows.names)] == [(2, 2)] * 2 + [(2, 2, 2)] * 2
    columns = [name for block in kind.blocks(rows.names) for name in block.columns]
    assert columns[:3] == ["change1_u__in_up", "change1_u__in_down", "change1_v__in_up"]
    assert columns[8] == "change1_term_u__in_up__by_a"
    dx = np.array([[0.1, 0], [-0.2, 0.3]])  # scenario, input a or c
    slope, curve = jacobian[:, :, None, [0, 2]] * dx, bend[:, :, None, [0, 2]] * dx**2 / 2
    first, second, term1, term2 = kind.arrays(rows)
    np.testing.assert_allclose(term1, slope, rtol=1e-14)
    np.testing.assert_allclose(term2, slope + curve, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(first, slope.sum(axis=3), rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(second, (slope + curve).sum(axis=3), rtol=1e-12, atol=1e-15)

    first, second = DeltaGamma(None, (Scenario("", {"b": "dx"}),)).arrays(rows)
    dx = rows.columns["dx"]
    np.testing.assert_allclose(first, jacobian[:, :, 1] * dx, rtol=1e-14)
    np.testing.assert_allclose(second, jacobian[:, :, 1] * dx + bend[:, :, 1] * dx**2 / 2)


def test_terms_by_input_stay_without_mixed_derivatives():
    rows = rows_of(curved(), POINTS)
    both = [
        DeltaGamma(None, (Scenario("", DIRECTION),), True, cross).arrays(rows)
        for cross in (False, True)
    ]
    assert np.array_equal(both[0][3], both[1][3])
    hessian, dx = rows.quantities["hessian"], np.array([*DIRECTION.values()])
    mixed = np.einsum("rmij,i,j->rm", hessian, dx, dx) / 2
    np.testing.assert_allclose(both[1][1] - both[1][0], mixed, rtol=1e-11, atol=1e-14)

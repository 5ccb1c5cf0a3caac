import numpy as np
import pytest

from hyperdiag.derived.propagation import Propagation

from .networks import A, B, bowl, curved, rows_of

SAMPLES = 1_000_000
POINT = np.array([0.4, -0.2, 0.9])
S = {"a": 0.7, "b": 0.5, "c": 0.6}
CORRELATIONS = {"a": {"b": 0.6}, "c": {"a": -0.3}}


def _matrix():
    """Return the covariance of S and CORRELATIONS."""
    r = np.array([[1, 0.6, -0.3], [0.6, 1, 0], [-0.3, 0, 1]])
    s = np.array(list(S.values()))
    return r * np.outer(s, s)


def _values(network, points):
    """Return values (rows, m) of a network at points, by NumPy and not by JAX."""
    if network is bowl:
        both = [np.einsum("ri,ij,rj->r", points, a, points) / 2 for a in (A, np.diag(np.diag(A)))]
        return np.stack(both, axis=1) + (points @ B)[:, None]
    w = np.random.default_rng(7).normal(size=(6, 3))
    v = np.random.default_rng(8).normal(size=(2, 6))
    return np.tanh(points @ w.T + 0.3) @ v.T


def _sampled(network, covariance):
    """Return mean shift, deviation and the standard errors of both, (m,) each, of 10^6 samples."""
    rng = np.random.default_rng(11)
    points = rng.multivariate_normal(POINT, covariance, SAMPLES, method="cholesky")
    moved = _values(network, points) - _values(network, POINT[None])
    mean, std = moved.mean(axis=0), moved.std(axis=0)
    fourth = ((moved - mean) ** 4).mean(axis=0)
    # Of a variance: sqrt((fourth moment - variance^2) / samples); of its root by the delta method.
    return mean, std, std / SAMPLES**0.5, np.sqrt((fourth - std**4) / SAMPLES) / (2 * std)


def _propagated(kind, network):
    shift, std = kind.arrays(rows_of(network(), POINT[None]))
    return shift[0], std[0]


def test_independent_inputs_agree_with_samples_where_nothing_is_mixed():
    mean, std, mean_error, std_error = _sampled(bowl, np.diag([s * s for s in S.values()]))
    shift, deviation = _propagated(Propagation(None, S), bowl)
    assert abs(shift[1] - mean[1]) < 4 * mean_error[1]
    assert abs(deviation[1] - std[1]) < 4 * std_error[1]
    # To first order it would be wrong, and the other output shows what is left out.
    first = np.sqrt((((B + np.diag(A) * POINT) * [*S.values()]) ** 2).sum())
    assert abs(first - std[1]) > 50 * std_error[1]
    assert abs(deviation[0] - std[0]) > 20 * std_error[0]


@pytest.mark.parametrize("correlations", [{}, CORRELATIONS])
def test_whole_hessian_agrees_with_samples(correlations):
    covariance = _matrix() if correlations else np.diag(np.diag(_matrix()))
    mean, std, mean_error, std_error = _sampled(bowl, covariance)
    shift, deviation = _propagated(Propagation(None, S, correlations, True), bowl)
    assert (np.abs(shift - mean) < 4 * mean_error).all()
    assert (np.abs(deviation - std) < 4 * std_error).all()


def test_curved_network_agrees_with_samples_to_the_order_of_the_expansion():
    small = {name: 0.1 * s for name, s in S.items()}
    mean, std, mean_error, std_error = _sampled(curved, 0.01 * _matrix())
    shift, deviation = _propagated(Propagation(None, small, CORRELATIONS, True), curved)
    assert (np.abs(shift - mean) < 4 * mean_error).all()
    assert (np.abs(mean) > 8 * mean_error).all()
    # Third derivatives, which are left out, are of the order of the variance.
    assert (np.abs(deviation - std) < 4 * std_error + 0.1**2 * std).all()


def test_formulas_are_those_of_the_docstring():
    rng = np.random.default_rng(3)
    rows = rows_of(curved(), rng.normal(size=(50, 3)), {"spread": rng.uniform(0, 1, 50)})
    jacobian, bend, hessian = (
        rows.quantities[name] for name in ("jacobian", "hessian_diag", "hessian")
    )
    s = np.stack([np.full(50, 0.7), rows.columns["spread"][:, 0], np.zeros(50)], axis=1)
    shift, std = Propagation(None, {"a": 0.7, "b": "spread"}).arrays(rows)
    np.testing.assert_allclose(shift, np.einsum("rmi,ri->rm", bend, s**2) / 2, rtol=1e-13)
    variance = np.einsum("rmi,ri->rm", jacobian**2, s**2)
    variance += np.einsum("rmi,ri->rm", bend**2, s**4) / 2
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-13)

    kind = Propagation(None, {"a": 0.7, "b": "spread"}, {"b": {"a": 0.6}}, True)
    shift, std = kind.arrays(rows)
    r = np.array([[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]])
    covariance = r * s[:, :, None] * s[:, None, :]
    product = hessian @ covariance[:, None]
    np.testing.assert_allclose(shift, np.trace(product, axis1=2, axis2=3) / 2, rtol=1e-12)
    variance = np.einsum("rmi,rij,rmj->rm", jacobian, covariance, jacobian)
    variance += np.einsum("rmij,rmji->rm", product, product) / 2
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-12)


def test_inputs_that_move_as_one_have_the_deviation_of_one():
    rows = rows_of(bowl(), POINT[None])
    together = Propagation(None, S, {"a": {"b": 1.0, "c": -1.0}, "b": {"c": -1.0}}, True)
    shift, std = together.arrays(rows)
    move = np.array([0.7, 0.5, -0.6])  # for one standard normal number
    for output, a in enumerate((A, np.diag(np.diag(A)))):
        slope, bend = (B + a @ POINT) @ move, move @ a @ move
        assert shift[0, output] == pytest.approx(bend / 2, rel=1e-12)
        assert std[0, output] == pytest.approx(np.hypot(slope, bend / 2**0.5), rel=1e-12)


def test_outputs_that_are_named_alone_are_computed():
    rows = rows_of(bowl(), POINT[None])
    kind = Propagation(("v",), S)
    assert [block.columns for block in kind.blocks(rows.names)] == [["mean_shift_v"], ["std_v"]]
    every = Propagation(None, S).arrays(rows)
    some = kind.arrays(rows_of(bowl(), POINT[None], outputs=(1,)))
    assert [a[0, 1] for a in every] == [a[0, 0] for a in some]

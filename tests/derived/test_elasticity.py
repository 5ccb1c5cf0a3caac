import numpy as np

from hyperdiag.derived.elasticity import Elasticity

from .networks import rows_of


def test_elasticity_of_a_power_law_is_its_exponents():
    points = np.random.default_rng(0).uniform(0.5, 2, (30, 2))
    rows = rows_of(lambda x: x[0] ** 3 / x[1] ** 0.5, points)
    (block,) = Elasticity(None).blocks(rows.names)
    assert block.columns == ["elasticity_u__by_a", "elasticity_u__by_b"]
    (array,) = Elasticity(None).arrays(rows)
    np.testing.assert_allclose(array, np.broadcast_to([[[3, -0.5]]], (30, 1, 2)), rtol=1e-13)

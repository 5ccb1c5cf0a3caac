import numpy as np

from hyperdiag.derived.standardised import Standardised

from .networks import curved, rows_of


def test_standardised_is_the_slope_times_constants_and_columns():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0, 1, 30)
    rows = rows_of(curved(), rng.normal(size=(30, 3)), {"spread": spread})
    kind = Standardised(None, {"c": "spread", "a": 2.0})
    (block,) = kind.blocks(rows.names)
    assert block.columns[:2] == ["standardised_u__by_a", "standardised_u__by_c"]
    (array,) = kind.arrays(rows)
    jacobian = rows.quantities["jacobian"]
    np.testing.assert_array_equal(array[:, :, 0], jacobian[:, :, 0] * 2)
    np.testing.assert_array_equal(array[:, :, 1], jacobian[:, :, 2] * spread[:, None])

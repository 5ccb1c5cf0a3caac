import jax.numpy as jnp
import numpy as np

from hyperdiag.derived.relative import Relative

from .networks import rows_of


def test_relative_of_an_exponential_is_its_rate():
    points = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    rows = rows_of(lambda x: jnp.exp(0.3 * x[0] - 2 * x[1]), points)
    (block,) = Relative(None).blocks(rows.names)
    assert block.columns == ["relative_u__by_a", "relative_u__by_b"]
    (array,) = Relative(None).arrays(rows)
    np.testing.assert_allclose(array, np.broadcast_to([[[0.3, -2]]], (30, 1, 2)), rtol=1e-13)

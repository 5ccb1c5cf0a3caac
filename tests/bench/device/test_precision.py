import time

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.device.parts import Part
from hyperdiag.bench.device.precision import PRECISIONS, in_precision, precision_table
from hyperdiag.hyperdual import derivatives, equations

TINY = BenchmarkNetwork(
    "tiny", "3-20-20-2, tanh", lambda dtype: mlp((3, 20, 20, 2)), n=3, m=2, rows=96
)
CHOICE = {"method": "hyperdual", "tile": 16}
KERNEL = {"name": "tiny", "contestants": {"ours": {"cannot": None, "choice": CHOICE, "rows": 48}}}


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "highest"])
def test_precision_is_that_of_every_product_with_weights(precision):
    bundle = derivatives(in_precision(mlp((3, 20, 20, 2)), precision), 3, "hyperdual", tile=4)
    program = jax.make_jaxpr(bundle)(jnp.ones((8, 3)))
    asked = {e.params["precision"] for e in equations(program) if e.primitive.name == "dot_general"}
    assert asked == {lax.DotAlgorithmPreset[PRECISIONS[precision]]}


def test_precision_table_has_rates_and_errors_and_says_what_the_device_refuses():
    (result,) = precision_table([TINY], [KERNEL], Part("precision", time.monotonic() + 600))
    assert {key: result[key] for key in ("network", "rows", *CHOICE)} == {
        **{"network": "tiny", "rows": 48},
        **CHOICE,
    }
    precisions = result["precisions"]
    assert list(precisions) == list(PRECISIONS)
    assert precisions["highest"]["rows_per_s"] > 0
    assert 0 < precisions["highest"]["errors"]["hessian_diag"] < 1e-5
    # As JAX itself says of this device.
    refused = "The precision 'TF32_TF32_F32' is not supported by dot_general on CPU"
    assert precisions["tf32"]["cannot"] == f"ValueError: {refused}"
    assert precisions["tf32"]["rows_per_s"] is None
    # XLA has float32 products alone on a CPU, whatever it is asked for.
    assert precisions["bf16_x6"]["same_as"] == "highest"


def test_precision_table_leaves_out_what_has_no_time_and_what_could_not_be_derived():
    late = Part("precision", time.monotonic() - 1)
    failed = {"name": "other", "contestants": {"ours": {"cannot": "it fails"}}}
    (result,) = precision_table([TINY], [failed, KERNEL], late)
    assert list(result["precisions"]) == ["highest"]
    assert late.left_out == [f"{name} on tiny" for name in PRECISIONS if name != "highest"]

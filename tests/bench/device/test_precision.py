import time

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.device.parts import Part
from hyperdiag.bench.device.precision import precision_table
from hyperdiag.hyperdual import PRECISIONS

TINY = BenchmarkNetwork(
    "tiny", "3-20-20-2, tanh", lambda dtype: mlp((3, 20, 20, 2)), n=3, m=2, rows=96
)
CHOICE = {"method": "hyperdual", "tile": 16}
KERNEL = {"name": "tiny", "contestants": {"ours": {"cannot": None, "choice": CHOICE, "rows": 48}}}


def test_precision_table_has_rates_and_errors_of_each():
    (result,) = precision_table([TINY], [KERNEL], Part("precision", time.monotonic() + 600))
    assert {key: result[key] for key in ("network", "rows", *CHOICE)} == {
        **{"network": "tiny", "rows": 48},
        **CHOICE,
    }
    precisions = result["precisions"]
    assert list(precisions) == list(PRECISIONS)
    assert all(each["cannot"] is None and each["rows_per_s"] > 0 for each in precisions.values())
    # A CPU has float32 products alone; the others are made of float32 parts.
    assert [name for name, each in precisions.items() if each["own"]] == ["highest"]
    errors = {name: each["errors"]["hessian_diag"] for name, each in precisions.items()}
    assert 0 < errors["highest"] < 1e-5
    assert errors["bf16_x6"] < 1e-5
    assert 1e-6 < errors["bf16_x3"] < 1e-3
    assert 1e-4 < errors["tf32"] < 1e-1


def test_precision_table_leaves_out_what_has_no_time_and_what_could_not_be_derived():
    late = Part("precision", time.monotonic() - 1)
    failed = {"name": "other", "contestants": {"ours": {"cannot": "it fails"}}}
    (result,) = precision_table([TINY], [failed, KERNEL], late)
    assert list(result["precisions"]) == ["highest"]
    assert late.left_out == [f"{name} on tiny" for name in PRECISIONS if name != "highest"]

"""The part of a plan on statistics."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from hyperdiag.run.plan.planner import check, make_plan
from hyperdiag.run.plan.summary import plan_summary

CHAIN = ("network=chain", "dataset=design", "dataset.rows=100", "cluster=inline")
RANGES = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
UNTIMED = ("derivatives.method=hyperdual", "derivatives.tile=8")


@pytest.mark.parametrize(
    ("options", "kept"),
    [((), False), (("summary.only=true",), True), (("summary.by=desk",), True)],
)
def test_on_a_gpu_statistics_are_for_those_who_ask(configure, tmp_path, options, kept):
    """The kernel's section says that it is for a GPU; no GPU is needed to plan for one."""
    overrides = (*CHAIN, RANGES, *UNTIMED, f"output.path={tmp_path}/out")
    config, _ = configure(*overrides)
    network, *_ = check(config)
    plan = make_plan(config).plan
    kernel = replace(plan.kernel, device="gpu")
    config, _ = configure(*overrides, *options)
    planned = plan_summary(config, network, kernel, plan.dataset, (), "", 100, None)
    assert (planned is not None) == kept


@pytest.mark.parametrize("quantity", ["laplacian", "hessian", "value", "jacobian"])
def test_runs_of_one_quantity_have_statistics(configure, tmp_path, quantity):
    overrides = (*CHAIN, RANGES, *UNTIMED, f"output.path={tmp_path}/out")
    manifest = derive(*configure(*overrides, f"derivatives.outputs=[{quantity}]"))
    assert manifest.rows.derived == 100
    statistics = set(pq.read_table(tmp_path / "out/run/summary.parquet")["statistic"].to_pylist())
    assert ("curve_mean" in statistics) == (quantity in ("value", "jacobian"))


def test_who_filters_may_leave_few_rows_and_has_curves_of_more_of_them(configure, tmp_path):
    pq.write_table(
        pa.table({f"x{i}": np.linspace(0, 1, 300_000) for i in range(1, 6)}),
        tmp_path / "rows.parquet",
    )
    overrides = ("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/rows.parquet")
    overrides = (*overrides, *UNTIMED, "cluster=inline", f"output.path={tmp_path}/out")
    whole = make_plan(configure(*overrides)[0]).plan.summary
    some = make_plan(configure(*overrides, "dataset.filter='x1 < 0.01'")[0]).plan.summary
    assert (whole.curve_step, some.curve_step) == (18, 4)
    assert some.sample_step == 4
    assert whole.sample_step % whole.curve_step == 0

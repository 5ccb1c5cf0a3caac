"""The part of a plan on statistics."""

from dataclasses import replace

import pytest

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

"""What workers will hold is counted with the plan, and refused there."""

from dataclasses import replace

import numpy as np
import pytest

from hyperdiag.hyperdual import _memory
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.plan import memory
from hyperdiag.run.plan.memory import least_bytes
from hyperdiag.run.plan.planner import check, make_plan

SMALL = 32  # inputs of a network of which little is counted as much


@pytest.fixture
def config(configure, tmp_path, monkeypatch):
    """Configurations of runs of `n` inputs, where nothing is so little that it is not counted."""
    monkeypatch.setattr(memory, "_FEW", 0)
    monkeypatch.setattr(_memory, "_SMALL_BYTES", 0)

    def make(*overrides, n=SMALL):
        ranges = ", ".join(f"x{number}: [0, 1]" for number in range(1, n + 1))
        return configure(
            *("network=python", "network.target=tests.run.networks:norm", f"network.n_inputs={n}"),
            *(f"dataset.ranges={{{ranges}}}", "dataset.rows=8", f"output.path={tmp_path}/out"),
            *("cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=1", *overrides),
        )[0]

    return make


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], r"'hyperdual': a single row would take 0\.0 GB .* Take fewer of derivatives\.outputs"),
        (["derivatives.tile=4"], r"4 rows at once .* Take a smaller derivatives\.tile than 4, few"),
        (
            ["derivatives.method=double_forward", "derivatives.batch=8"],
            r"'double_forward': a single row would",
        ),
        (["derivatives.outputs=[hessian]"], "a single row would"),
    ],
)
def test_rows_that_no_worker_can_hold_are_refused_with_the_figures(
    overrides, sentence, config, monkeypatch
):
    monkeypatch.setattr(_memory, "free_bytes", lambda: 100)
    with pytest.raises(UsageError, match=sentence):
        make_plan(config(*overrides))


def test_verified_rows_count(config, monkeypatch):
    """Two hundred rows at once hold more than a tile of one."""
    few = make_plan(config("derivatives.verify_rows=0")).least_bytes
    many = make_plan(config("derivatives.verify_rows=200")).least_bytes
    assert 0 < few < many
    monkeypatch.setattr(_memory, "free_bytes", lambda: few + 1)
    with pytest.raises(
        UsageError, match=r"verifying 200 of each shard's rows .*verify_rows, fewer"
    ):
        make_plan(config("derivatives.verify_rows=200"))


def test_count_is_of_all_that_a_row_holds(config):
    """The Hessian of 32 inputs has 1,024 numbers, and J of J along the way as many."""
    made = make_plan(config("derivatives.verify_rows=0", "derivatives.outputs=[hessian]"))
    results = SMALL**2 * np.dtype(np.float32).itemsize
    assert results <= made.least_bytes < 10 * results


@pytest.mark.parametrize("elsewhere", ["cluster", "gpu"])
def test_memory_elsewhere_is_not_what_is_free_here(elsewhere, config, monkeypatch):
    here = config("derivatives.verify_rows=0")
    kernel = make_plan(here).plan.kernel
    monkeypatch.setattr(_memory, "free_bytes", lambda: 100)
    network = check(here).network
    if elsewhere == "gpu":
        assert least_bytes(here, network, replace(kernel, device="gpu")) == 0
    else:
        there = here.cluster.model_copy(update={"name": "existing"})
        there = here.model_copy(update={"cluster": there})
        assert least_bytes(there, network, kernel) > 0


def test_little_is_not_counted(config, monkeypatch):
    monkeypatch.setattr(memory, "_FEW", 1 << 22)
    assert make_plan(config()).least_bytes == 0

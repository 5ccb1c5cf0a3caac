"""The precision of a run: what is refused, frozen, published and gone on with.

Some tests let the CPU pass for a device that has lower precisions: it computes with their parts.
"""

import json
from dataclasses import replace

import pytest

from hyperdiag.hyperdual import PRECISIONS, Choice
from hyperdiag.messages.errors import HyperdiagError, RunIncomplete, UsageError
from hyperdiag.run.cluster import device
from hyperdiag.run.derive import derive
from hyperdiag.run.output.manifest import Manifest
from hyperdiag.run.plan import kernel, precision, tuning
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.plan.spec import Settings
from hyperdiag.run.summary import print_summary
from hyperdiag.run.workers.worker import Worker

NETWORK = [
    "network=chain",
    "network.layers='Chain(Dense(2,24,tanh), Dense(24,24,tanh), Dense(24,1))'",
]
DESIGN = ["dataset=design", "dataset.rows=64", "dataset.ranges={x1: [0, 1], x2: [0, 1]}"]
NAMED = ["derivatives.method=hyperdual", "derivatives.tile=8"]


@pytest.fixture
def planned(tmp_path, configure):
    """Return a configuration whose method is named, unless its overrides say otherwise."""

    def make(*overrides, folder="out"):
        output = f"output.path={tmp_path / folder}"
        return configure(*NETWORK, *DESIGN, *NAMED, "cluster=inline", output, *overrides)

    return make


@pytest.fixture
def capable(monkeypatch):
    """A device that has all precisions."""
    for module in (device, precision):
        monkeypatch.setattr(module, "device_precisions", lambda: PRECISIONS)


@pytest.mark.parametrize("name", [name for name in PRECISIONS if name != "highest"])
def test_precision_that_the_cpu_does_not_have_is_refused_before_the_run(name, planned, tmp_path):
    said = rf"derivatives\.precision={name} is not available on this cpu, .* take highest or auto"
    with pytest.raises(UsageError, match=said):
        derive(*planned(f"derivatives.precision={name}"))
    assert not (tmp_path / "out").exists()


def test_lower_precision_of_float64_is_refused_and_auto_is_the_highest(planned):
    with pytest.raises(
        UsageError, match=r"precision=tf32 is of float32 products, .*dtype is float64: take"
    ):
        make_plan(planned("derivatives.precision=tf32", "derivatives.dtype=float64")[0])
    auto = ("derivatives.precision=auto", "derivatives.dtype=float64")
    assert make_plan(planned(*auto)[0]).plan.kernel.precision == "highest"


def test_unknown_precision_is_refused_with_those_that_there_are(planned):
    with pytest.raises(UsageError, match=r"precision must be one of auto, highest, .*, tf32; got"):
        planned("derivatives.precision=half")


def test_plan_at_the_highest_is_what_it_was(planned):
    plan = make_plan(planned()[0]).plan
    assert "precision" not in plan.to_json()["derivatives"]
    auto = make_plan(planned("derivatives.precision=auto")[0]).plan
    assert auto.digest == plan.digest


def test_plan_for_gpus_elsewhere_leaves_it_to_the_workers(planned):
    gpus = ("cluster=local", "cluster.gpus_per_worker=1", "derivatives.precision=tf32_x3")
    plan = make_plan(planned(*gpus)[0]).plan
    assert (plan.kernel.device, plan.kernel.precision) == ("gpu", "tf32_x3")
    assert Settings.from_json(plan.to_json()).kernel == plan.kernel
    highest = make_plan(planned(*gpus[:2])[0]).plan
    assert plan.digest != highest.digest
    assert highest.differences(plan) == ['derivatives.precision was "highest", now is "tf32_x3"']
    with pytest.raises(HyperdiagError, match="precision=tf32_x3 is not available on this cpu"):
        device.check_device("cpu", plan.kernel.precision)


def test_worker_without_the_precision_of_its_plan_does_not_start(planned, tmp_path):
    config, _ = planned()
    plan = make_plan(config).plan
    plan = replace(plan, kernel=replace(plan.kernel, precision="tf32"))
    with pytest.raises(HyperdiagError, match="precision=tf32 is not available on this cpu"):
        Worker(plan, str(tmp_path / "out"))


def test_run_at_a_lower_precision_says_so_and_goes_on_with_it_alone(
    planned, tmp_path, capable, capsys
):
    manifest = derive(*planned("derivatives.precision=bf16_x3"))
    assert manifest.precision == "bf16_x3"
    assert json.loads((tmp_path / "out/run/manifest.json").read_text())["precision"] == "bf16_x3"
    assert 1e-6 < manifest.rows.largest_error < 1e-3  # not float32's, and no more than its own
    print_summary(manifest, str(tmp_path / "out"))
    assert "in float32 with bf16_x3 products" in capsys.readouterr().out
    assert derive(*planned("derivatives.precision=auto")).plan == manifest.plan
    said = r'derivatives\.precision was "bf16_x3", now is "highest"'
    with pytest.raises(UsageError, match=said):
        derive(*planned())


def test_error_beyond_the_tolerance_is_refused_with_the_mend(planned, capable):
    tight = ("derivatives.precision=tf32", "derivatives.tolerance=1e-5", "limits.max_attempts=1")
    with pytest.raises(RunIncomplete, match=r"Take derivatives\.precision=highest for tf32, "):
        derive(*planned(*tight))


def test_auto_is_measured_for_the_method_and_tile_that_are_chosen(planned, capable, monkeypatch):
    asked = []

    def choose(fn, n_inputs, choice, points, tolerance, *others):
        asked.append((choice, points.shape, points.min() >= 0, points.max() <= 1, tolerance))
        return "tf32_x3"

    monkeypatch.setattr(tuning, "choose_precision", choose)
    known = "network.ranges={x1: [0, 1], x2: [0, 1]}"
    config, _ = planned("derivatives.precision=auto", "derivatives.tolerance=0.25", known)
    assert make_plan(config).plan.kernel.precision == "tf32_x3"
    assert asked == [(Choice("hyperdual", 8), (256, 2), True, True, 0.25)]


@pytest.mark.slow
def test_auto_of_a_tolerance_that_no_other_meets_is_the_highest(planned, capable):
    config, _ = planned("derivatives.precision=auto", "derivatives.tolerance=1e-6")
    assert make_plan(config).plan.kernel.precision == "highest"


def test_manifest_without_a_word_is_of_the_highest(planned):
    values = derive(*planned()).to_json()
    assert "precision" not in values
    assert Manifest.from_json(values).precision == "highest"


@pytest.mark.parametrize(
    ("row_bytes", "most_rows", "tile", "on_cpu", "on_gpu"),
    [
        (712, 10**6, 64, 8192, 131_072),  # 168 results of 10 inputs
        (712, 5000, 64, 8192, 8192),
        (60, 10**7, 2048, 8192, 262_144),
        (20_000, 10**6, 96, 576, 4128),  # whole tiles
        (10**9, 10**6, 1, 1, 1),
    ],
)
def test_batches_for_gpus_are_larger(row_bytes, most_rows, tile, on_cpu, on_gpu):
    batches = [kernel._batch(row_bytes, most_rows, tile, kind) for kind in ("cpu", "gpu")]
    assert batches == [on_cpu, on_gpu]


def test_tile_for_gpus_has_no_more_rows_than_a_shard(planned, monkeypatch):
    monkeypatch.setattr(
        tuning, "_in_process", lambda request: tuning.Frozen("taylor", 4096, "highest")
    )
    gpus = ("cluster=local", "cluster.gpus_per_worker=1", "derivatives.method=auto")
    config, _ = planned(*gpus, "derivatives.tile=null")
    assert make_plan(config).plan.kernel.tile == 64

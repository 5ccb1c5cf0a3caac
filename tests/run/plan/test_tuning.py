"""What a run freezes of method and tile, and where it is timed."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.hyperdual import METHODS, Choice
from hyperdiag.hyperdual import _choice as choice_module
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.plan import tuning
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.plan.tuning import TimingRequest

SMALL = ["network=chain", "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'"]
DESIGN = ["dataset=design", "dataset.rows=64", "dataset.ranges={x1: [0, 1], x2: [0, 1]}"]


def _overrides(tmp_path, *more):
    return [*SMALL, *DESIGN, f"output.path={tmp_path / 'out'}", *more]


@pytest.fixture
def forgetful(tmp_path, monkeypatch):
    """No memory of timings, from before or from one run to the next."""
    monkeypatch.setenv("HYPERDIAG_CACHE", "")
    monkeypatch.setattr(choice_module, "_choices", {})


def _frozen(config):
    kernel = make_plan(config).plan.kernel
    return kernel.method, kernel.tile


def test_resumed_run_keeps_method_and_tile_whatever_timing_would_say(
    tmp_path, configure, forgetful, monkeypatch
):
    named = ["derivatives.method=hyperdual", "derivatives.tile=3", "cluster=inline"]
    first = derive(*configure(*_overrides(tmp_path, *named)))
    monkeypatch.setattr(tuning, "choose", lambda *_: pytest.fail("timed again"))
    again = derive(*configure(*_overrides(tmp_path, "cluster=inline")))
    assert again.plan == first.plan


@pytest.mark.parametrize(("dataset", "counted"), [("design", 64), ("parquet", None)])
def test_compiling_counts_against_the_rows_of_a_dataset_that_cannot_grow(
    dataset, counted, tmp_path, configure, forgetful, monkeypatch
):
    pq.write_table(pa.table({"x1": [0.5] * 5, "x2": [1.5] * 5}), tmp_path / "x.parquet")
    rows = ["dataset=parquet", f"dataset.path={tmp_path}/x.parquet"]
    asked = []

    def choose(*arguments):
        asked.append(arguments[-1])
        return Choice("hyperdual", 4)

    monkeypatch.setattr(tuning, "choose", choose)
    overrides = _overrides(tmp_path, "cluster=inline", *(rows if dataset == "parquet" else []))
    if dataset == "parquet":
        overrides = [each for each in overrides if each not in DESIGN]
    assert _frozen(configure(*overrides)[0]) == ("hyperdual", 4)
    assert asked == [counted]


@pytest.mark.one_in(9)
@pytest.mark.parametrize(
    "changed",
    [
        "derivatives.dtype=float64",
        "derivatives.wrt=[x2]",
        "derivatives.tile=5",
        "output.mode=overwrite",
        "network.layers='Chain(Dense(2,4,tanh), Dense(4,1))'",
    ],
)
def test_changed_run_does_not_take_over_what_was_frozen(changed, tmp_path, configure, forgetful):
    named = ["derivatives.method=taylor", "derivatives.tile=3", "cluster=inline"]
    derive(*configure(*_overrides(tmp_path, *named)))
    config, _ = configure(*_overrides(tmp_path, "cluster=inline", changed))
    method, tile = _frozen(config)
    assert method in METHODS
    assert method != "taylor"
    assert tile == 5 or changed != "derivatives.tile=5"


def _request(inputs=("a",), method="auto", pin=False, device="cpu"):
    """What is timed: the network that `mine.py` in the current folder builds."""
    return TimingRequest(
        network={"name": "python", "target": "mine:build", "inputs": list(inputs)},
        directions=tuple(inputs),
        method=method,
        tile=None,
        dtype="float32",
        outputs=("value", "jacobian", "hessian_diag"),
        device=device,
        pin=pin,
        rows=10**9,
    )


@pytest.mark.slow
def test_timing_for_workers_here_is_in_a_process_of_its_own(tmp_path, monkeypatch):
    """Beside modules that would stand in the way, by code that prints what it likes."""
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("raise ImportError('not this one')")
    (tmp_path / "mine.py").write_text(
        "import atexit, jax.numpy as jnp\n"
        "print('loading', end='')\n"
        "atexit.register(print, 'bye')\n"
        "def build():\n"
        "    return lambda x: jnp.sin(x[:1] * x[1])\n"
    )
    request = _request(inputs=["a", "b"], pin=True)
    monkeypatch.chdir(tmp_path)
    choice = tuning._in_process(request)
    assert choice.method in METHODS
    (kept,) = (tmp_path / "cache/tuning").iterdir()
    assert json.loads(kept.read_text())["method"] == choice.method


@pytest.mark.slow
def test_timing_that_fails_says_why_and_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def build():\n    raise OSError('no weights here')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"method=auto: timing it failed: .*no weights here; give"):
        tuning._in_process(_request())


@pytest.mark.slow
def test_timing_without_the_device_says_so_and_times_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="planned for a gpu, but JAX has only a cpu here"):
        tuning._in_process(_request(device="gpu"))


@pytest.mark.slow
def test_timing_that_never_ends_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import time\ndef build():\n    time.sleep(60)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tuning, "_MOST_SECONDS", 4.0)
    with pytest.raises(UsageError, match=r"method=hyperdual: timing it failed: no answer in 4 s"):
        tuning._in_process(_request(method="hyperdual"))


@pytest.mark.slow
def test_timing_on_a_running_cluster_is_a_task_there(ray_address, configure, tmp_path, forgetful):
    config, _ = configure(
        *_overrides(tmp_path, "cluster=existing", f"cluster.address={ray_address}")
    )
    assert _frozen(config)[0] in METHODS

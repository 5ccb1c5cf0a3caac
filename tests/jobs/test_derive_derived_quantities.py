"""Derived quantities on the command line: kinds from a group, files, sweeps, other jobs."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.jobs.outcome import said

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
RUN = (
    *("network=chain", BOX, "dataset.rows=300", "output.path=out", "cluster=inline"),
    *("derivatives.method=hyperdual", "derivatives.tile=8", "derivatives.outputs=[value]"),
)
KINDS = (
    "derived=[propagation,top]",
    *("derived.propagation.deviations={x1: 0.1}", "derived.propagation.deviations.x2=0.2"),
    "derived.top.deviations={x1: 1, x2: 1, x3: 2}",
)


def _names(folder):
    return pq.read_schema(next((folder / "out/data").iterdir())).names[5:]


def test_kinds_are_chosen_from_a_list_and_said_at_the_end(invoke, tmp_path):
    done = invoke("derive", *RUN, *KINDS)
    assert done.returncode == 0, done.stderr
    assert _names(tmp_path)[:5] == ["y1", "y2", "y3", "mean_shift_y1", "mean_shift_y2"]
    assert "chain: value, and propagation, top of 3 outputs" in done.stdout
    assert "27 computed columns such as y1, mean_shift_y1, top_y1__rank_1" in said(done)
    plan = json.loads((tmp_path / "out/run/plan.json").read_text())["settings"]
    assert plan["derived"]["propagation"]["deviations"] == {"x1": 0.1, "x2": 0.2}
    assert sorted(plan["derived"]) == ["propagation", "top"]


def test_single_kind_needs_no_list(invoke, tmp_path):
    done = invoke("derive", *RUN, "derived=elasticity")
    assert done.returncode == 0, done.stderr
    assert len(_names(tmp_path)) == 3 + 15


@pytest.mark.parametrize(
    "derived",
    [
        {"propagation": {"deviations": {"x1": 0.1}}, "elasticity": {}},
        {"elasticity": None, "propagation": {"deviations": {"x1": 0.1}}},
    ],
)
def test_file_of_keys_chooses_the_kinds_that_it_has(derived, invoke, tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"derived": derived}))
    done = invoke("derive", "--config", "run.yaml", *RUN, "--cfg", "job")
    composed = yaml.safe_load(done.stdout)["derived"]
    assert composed["propagation"]["deviations"] == {"x1": 0.1}
    assert "elasticity" in composed
    assert "top" not in composed


def test_configuration_with_a_defaults_list_chooses_kinds(invoke, tmp_path):
    (tmp_path / "my").mkdir()
    text = "defaults:\n  - derive\n  - override derived: [propagation]\n  - _self_\n"
    text += "derived: {propagation: {deviations: {x1: 0.1}}}\n"
    (tmp_path / "my/book.yaml").write_text(text)
    done = invoke("derive", "--config-dir", "my", "--config-name", "book", *RUN)
    assert done.returncode == 0, done.stderr
    assert "std_y1" in _names(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "sentences"),
    [
        (
            ["derived=[propagation,topp,elastic]"],
            ["derived=topp: no such derived (closest: 'top')", "derived=elastic: no such derived"],
        ),
        (
            ["derived.top.count=2"],
            ["unknown key 'derived.top.count' (a key of derived=top); derived has: mine"],
        ),
        (
            ["derived=[mine]", "derived.mine=mine:top", "derived.mine.options={k: 1}"],
            ["derived.mine.options is given, and derived.mine=... takes the place of the whole"],
        ),
        (
            ["derived.mine=mine:top", "derived.mine.options={k: 1}"],
            ["unknown key 'derived.mine.options' (a key of derived=mine)"],
        ),
        (
            ["derived=[top]", "derived.top.cont=2"],
            ["unknown key 'derived.top.cont' (closest: 'derived.top.count')"],
        ),
        (
            ["derived=[top]", "derived.top.deviations={x1: 1}", "derived.top.deviations={x2: 1}"],
            ["derived.top.deviations is given twice"],
        ),
    ],
)
def test_what_leads_nowhere_is_named(overrides, sentences, invoke):
    done = invoke("derive", *RUN, *overrides)
    assert done.returncode == 2
    for sentence in sentences:
        assert sentence in done.stderr


def test_plan_forecasts_and_writes_nothing(invoke, tmp_path):
    done = invoke("plan", *RUN, *KINDS, "format=json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["work"]["bytes_out"] > 0
    assert not (tmp_path / "out").exists()


def test_sweep_over_kinds_makes_a_run_of_each(invoke, tmp_path):
    done = invoke(
        *("derive", "-m", *RUN, "derived=[elasticity],[relative,elasticity]"),
        *("output.mode=overwrite", "hydra.sweep.dir=sweep"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("300 derived") == 2
    done = invoke("derive", "-m", *RUN, "derived=[elastic],[relative,elasticity]")
    assert "derived=elastic: no such derived (closest: 'elasticity')" in done.stderr


def test_schedule_refuses_an_entry_whose_kinds_lead_nowhere(invoke, tmp_path):
    (tmp_path / "my/schedule").mkdir(parents=True)
    overrides = ["network=chain", BOX, "derived=[topp]"]
    entry = {"cron": "0 2 * * *", "overrides": overrides}
    (tmp_path / "my/schedule/nightly.yaml").write_text(yaml.safe_dump(entry))
    done = invoke("schedule", "--config-dir", "my", "action=list")
    assert done.returncode == 2
    assert "derived=topp: no such derived (closest: 'top')" in done.stderr
    entry["overrides"] = ["network=chain", BOX, *KINDS]
    (tmp_path / "my/schedule/nightly.yaml").write_text(yaml.safe_dump(entry))
    done = invoke("schedule", "--config-dir", "my", "action=list", f"schedule.state={tmp_path}/s")
    assert done.returncode == 0, done.stderr


def test_submit_checks_kinds_before_it_looks_for_a_cluster(invoke, tmp_path):
    pq.write_table(pa.table({"scenario": ["a"], "x9": [1.0]}), tmp_path / "shocks.parquet")
    done = invoke(
        *("submit", *RUN[:4], "submit.address=http://127.0.0.1:1"),
        *("derived=[delta_gamma]", "derived.delta_gamma.scenarios=shocks.parquet"),
    )
    assert done.returncode == 2
    assert "column 'x9' is no input with a derivative" in done.stderr

"""What a report says of a run: counts, causes, notes, examples of bad rows."""

import json
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from hyperdiag.data.parquet_listing import BadFile
from hyperdiag.run.output.manifest import load_manifest
from hyperdiag.run.output.reader import consistently
from hyperdiag.run.output.receipt import Tally
from hyperdiag.run.plan.plan_file import plan_at
from hyperdiag.run.report import read_report
from hyperdiag.run.report.facts import LOOK, RIGHT, read_facts


@pytest.fixture
def run(published):
    """Return the facts of the run with other values in its manifest."""
    publication = consistently(str(published), lambda publication: publication)
    plan = plan_at(str(published))
    manifest = load_manifest(publication.folder)

    def facts(rows=None, **changes):
        changed = replace(manifest, **changes)
        return read_facts(publication, plan, replace(changed, rows=rows) if rows else changed)

    return facts


def checks_of(facts):
    return {check.title: (check.state, check.text) for check in facts.checks}


def test_facts_of_a_run_are_those_of_its_files(run, published):
    facts = run()
    checks = checks_of(facts)
    tables = [pq.read_table(path) for path in sorted((published / "quarantine").iterdir())]
    rows = [row for table in tables for row in table.to_pylist()]
    causes = Counter(row["_error_code"] for row in rows)
    assert causes == {"nan": 2, "infinite": 4}
    assert checks["Quarantine"] == (
        LOOK,
        "6 of 6,000 rows are in quarantine, not in the data: 4 infinite (0.067%), 2 nan (0.033%).",
    )
    data = pq.read_table(published / "data")
    assert checks["Rows"][1].startswith(f"6,000 read: {data.num_rows:,} derived")
    outside = sum(vol > 0.4 for vol in data["vol<b>"].to_pylist())
    assert outside
    assert checks["Trained ranges"][0] == LOOK
    assert checks["Trained ranges"][1].startswith(f"{outside:,} of 6,000 rows")
    assert checks["Verification"][0] == RIGHT
    description = dict(facts.description)
    assert description["Plan"].startswith(facts.manifest.plan)
    assert "jax " in description["Versions"]
    assert [e.code for e in facts.examples] == ["infinite"] * 3 + ["nan"] * 2
    for example in facts.examples:
        (row,) = [
            row
            for row in rows
            if (row["_source_file"], str(row["_row_index"])) == (example.file, example.row)
        ]
        assert example.detail == row["_error_detail"]
        assert example.values["trade"] == str(row["trade"])


def test_run_without_bad_rows_has_nothing_to_look_at(run):
    facts = run(rows=Tally(read=10, derived=10, verified=4, largest_error=1e-7))
    assert {state for state, _ in checks_of(facts).values()} == {RIGHT}
    assert facts.examples == []


def test_what_a_person_should_judge_is_marked(run):
    rows = Tally(read=10, derived=10, verified=8, at_kinks=2, rounded=1)
    bad = BadFile("/in/<b>.parquet", "no column spot")
    notes = (
        "the Hessian diagonal of u is zero on every row",
        f"left out: {bad.path}: {bad.reason}",
    )
    facts = run(rows=rows, bad_files=(bad,), warnings=notes)
    marked = [(c.title, c.text) for c in facts.checks if c.state == LOOK]
    assert [title for title, _ in marked] == ["Excused errors"] * 2 + ["Note", "File left out"]
    texts = [text for _, text in marked]
    assert texts[0].startswith("2 of 8 verified rows lie where the reference jumps")
    assert texts[1].startswith("1 of 8 verified rows have derivatives that are smaller")
    assert texts[2] == "The Hessian diagonal of u is zero on every row."
    assert texts[3] == "/in/<b>.parquet: no column spot"
    assert checks_of(run(rows=Tally(read=1, derived=1)))["Verification"][0] == LOOK


@pytest.fixture
def times(published):
    """The file with times, which is put back."""
    file = published / "run/throughput.json"
    kept = file.read_text()
    yield file
    file.write_text(kept)


def test_times_are_those_of_the_file(run, times):
    told = json.loads(times.read_text())
    (worker,) = told["rows"]
    assert sum(told["rows"][worker]) == 6000
    told |= {
        "interval_seconds": 2.0,
        "rows": {"a:1": [4, 0, 6], "b:2": [1, 1, 1]},
        "other_workers": 1200,
        "other_rows": [0, 9, 0],
        "stages": {"read": [0.5, 0.25, 1.0]},
    }
    times.write_text(json.dumps(told))
    assert run().throughput == {
        "interval_seconds": 2.0,
        "middles": [1.0, 3.0, 5.0],
        "worker_names": ["a:1", "b:2", "1,200 others"],
        "worker_rows": [[4, 0, 6], [1, 1, 1], [0, 9, 0]],
        "stage_names": ["read"],
        "stage_seconds": [[0.5, 0.25, 1.0]],
    }


def test_times_of_another_plan_are_not_shown(run, times):
    told = json.loads(times.read_text())
    for other in (json.dumps({**told, "plan": "0" * 16}), "{", "[]"):
        times.write_text(other)
        assert run().throughput is None


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": None},
        {"rows": {"a:1": ["many"]}, "other_rows": [0]},
        {"rows": {"a:1": [1, 2]}, "other_rows": [0]},
        {"rows": {"a:1": [float("nan")]}, "other_rows": [0], "stages": {}},
        {"interval_seconds": "long"},
        {"stages": []},
    ],
)
def test_times_that_are_damaged_are_left_out_with_a_sentence(run, times, published, damage):
    told = json.loads(times.read_text())
    times.write_text(json.dumps({**told, **damage}))
    assert run().throughput is None
    page = read_report(str(published)).html().decode()
    assert "There are no times: run/throughput.json is damaged (" in page


def test_times_without_a_part_are_left_out(run, times):
    told = json.loads(times.read_text())
    for key in told:
        times.write_text(json.dumps({name: each for name, each in told.items() if name != key}))
        assert run().throughput is None

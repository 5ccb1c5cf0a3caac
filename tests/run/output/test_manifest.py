import json
from pathlib import Path

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.parquet_listing import BadFile
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.manifest import (
    Manifest,
    Work,
    facts_of,
    load_manifest,
    make_manifest,
    published_manifest,
)
from hyperdiag.run.output.receipt import Receipt, Tally
from hyperdiag.run.plan.plan_file import load_plan
from hyperdiag.run.plan.planner import Planned

# As hyperdiag 0.1.0 left it.
RELEASE = Path(__file__).parents[1] / "plan/release_0_1_0/design"


@pytest.fixture
def values():
    return json.loads((RELEASE / "run/manifest.json").read_text())


@pytest.fixture
def release():
    """Plan and inventory of the output of the release before."""
    output = resolve(str(RELEASE))
    plan = load_plan(output)
    inventory = Inventory(output, plan)
    for receipt in inventory.from_footers():
        inventory.add(receipt)
    return plan, inventory


def test_manifest_of_the_release_before_is_written_again_as_it_was():
    manifest = load_manifest(resolve(str(RELEASE)))
    text = (RELEASE / "run/manifest.json").read_text()
    assert json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) == text
    assert (manifest.rows.derived, manifest.seconds.rows, manifest.shards) == (24, 24, 2)
    assert manifest.quantities == ("value", "jacobian", "hessian_diag")
    assert manifest.network.inputs == ("x1", "x2")


def test_bad_files_and_codes_are_read_and_written(values):
    values["bad_files"] = [{"path": "a", "reason": "is damaged"}, {"path": "b", "reason": "é"}]
    values["rows"]["quarantined"] = {"nan": 3, "null": 1}
    manifest = Manifest.from_json(values)
    assert manifest.bad_files == (BadFile("a", "is damaged"), BadFile("b", "é"))
    assert manifest.rows.bad == 4
    assert manifest.to_json() == values


def test_key_of_a_later_release_is_no_harm(values):
    assert Manifest.from_json({**values, "colour": "red"}) == Manifest.from_json(values)


@pytest.mark.parametrize("key", ["plan", "rows", "bad_files", "seconds", "network", "outputs"])
def test_manifest_without_a_key_is_refused_by_its_name(key, values):
    del values[key]
    with pytest.raises(ValueError, match=f"^{key} is required$"):
        Manifest.from_json(values)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '"a"', '{"plan": "0"}', "{}", '{"plan": 1, "rows": []}']
)
def test_manifest_that_is_damaged_is_none(text, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text(text)
    output = resolve(str(tmp_path))
    (tmp_path / "_SUCCESS").touch()
    assert published_manifest(output) is None
    with pytest.raises(ValueError):
        load_manifest(output)


def test_manifest_counts_only_where_success_says_so(tmp_path):
    (tmp_path / "run").mkdir()
    output = resolve(str(tmp_path))
    assert published_manifest(output) is None
    (tmp_path / "_SUCCESS").touch()
    assert published_manifest(output) is None
    (tmp_path / "run/manifest.json").write_bytes((RELEASE / "run/manifest.json").read_bytes())
    assert published_manifest(output) == load_manifest(resolve(str(RELEASE)))
    (tmp_path / "_SUCCESS").unlink()
    assert published_manifest(output) is None


def test_facts_of_plan_and_data_files_are_those_of_the_manifest(release, values):
    plan, inventory = release
    facts = facts_of(plan, inventory.shards, inventory.tally).to_json()
    assert facts == {key: values[key] for key in facts}
    assert values.keys() - facts.keys() == {
        *("output", "bad_files", "warnings", "workers", "seconds", "finished"),
    }


def test_made_manifest_has_the_keys_of_the_release_before_in_their_order(release, values):
    plan, inventory = release
    work = Work(workers=2, start_seconds=1.5, seconds=2.0)
    work.add(Receipt(0, Tally(read=24), {"read": 0.12345, "compute": 1.0}, batch=16))
    bad_files = (BadFile("a", "is damaged"),)
    made = make_manifest(Planned(plan, 24, bad_files, 0.0), inventory, work, "s3://u:p@b/out")
    found = made.to_json()
    assert list(found) == list(values)
    assert found["output"] == "s3://***@b/out"
    assert found["bad_files"] == [{"path": "a", "reason": "is damaged"}]
    assert found["warnings"] == ["left out: a: is damaged"]
    assert found["seconds"] == {
        **{"start": 1.5, "work": 2.0, "rows": 24},
        "stages": {"read": 0.123, "compute": 1.0, "verify": 0, "summarise": 0, "write": 0},
    }

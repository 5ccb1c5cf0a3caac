import json

import pytest

from pipeline.errors import UsageError
from pipeline.run.job import derive
from pipeline.run.ledger import Ledger
from pipeline.run.planner import make_plan

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"


@pytest.fixture
def run(configure, tmp_path):
    """Derive 1000 points in ten shards, in this process."""

    def derived(*overrides):
        config, yaml = configure(
            *("network=chain", BOX, "dataset.rows=1000", "dataset.shard_rows=100"),
            *("cluster=inline", f"output.path={tmp_path}/out", *overrides),
        )
        return derive(config, yaml), Ledger(config.output.path, make_plan(config).plan)

    return derived


def _times(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}


def test_receipts_of_a_finished_run_are_those_of_its_manifest(run):
    manifest, ledger = run()
    shards = list(ledger.plan.shards())
    receipts = ledger.receipts(shards)
    assert sorted(receipts) == list(range(10))
    assert sum(receipt.tally.derived for receipt in receipts.values()) == 1000
    assert ledger.published()["plan"] == manifest["plan"] == ledger.plan.digest


@pytest.mark.parametrize("harm", ["gone", "cut", "empty", "of another shard"])
def test_data_file_that_is_no_receipt_is_done_again_alone(run, tmp_path, harm):
    run()
    victim, other = (tmp_path / f"out/data/part-000000{n}.parquet" for n in (3, 4))
    whole = victim.read_bytes()
    before = _times(tmp_path / "out")
    if harm == "gone":
        victim.unlink()
    else:
        victim.write_bytes({"cut": whole[:-9], "empty": b""}.get(harm, other.read_bytes()))
    run()
    assert victim.read_bytes() == whole
    after = _times(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {victim.name}


def test_overwrite_leaves_nothing_of_the_run_before(run, tmp_path):
    run()
    run("dataset.rows=500", "output.mode=overwrite")
    assert len(list((tmp_path / "out/data").iterdir())) == 5
    manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
    assert manifest["rows"]["derived"] == 500


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_folder_of_somebody_elses_data_is_refused_untouched(run, tmp_path, mode):
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/precious.csv").write_text("1")
    with pytest.raises(UsageError, match=r"holds other files \(data\)"):
        run(f"output.mode={mode}")
    assert (tmp_path / "out/data/precious.csv").read_text() == "1"


def test_plan_that_cannot_be_read_is_refused_with_the_mend(run, tmp_path):
    run()
    (tmp_path / "out/run/plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"plan\.json cannot be read.*output\.mode=overwrite"):
        run()
    run("output.mode=overwrite")


def test_success_is_withdrawn_while_something_is_missing(run, tmp_path, monkeypatch):
    run()
    (tmp_path / "out/data/part-0000003.parquet").unlink()
    seen = []
    original = Ledger.publish
    monkeypatch.setattr(
        Ledger,
        "publish",
        lambda self, manifest: (
            seen.append((tmp_path / "out/_SUCCESS").exists()),
            original(self, manifest),
        ),
    )
    run()
    assert seen == [False]
    assert (tmp_path / "out/_SUCCESS").exists()

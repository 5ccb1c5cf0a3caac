import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import OutputError, RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.status import status
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.manifest import published_manifest
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.worker import Worker
from tests.run.book import stamps

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
    inventory = Inventory(ledger.output, ledger.plan)
    receipts = list(inventory.from_footers())
    assert [receipt.shard for receipt in receipts] == list(range(10))
    assert sum(receipt.tally.derived for receipt in receipts) == 1000
    assert published_manifest(ledger.output).plan == manifest.plan == ledger.plan.digest


@pytest.mark.one_in(16)
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


@pytest.mark.slow
def test_overwrite_leaves_nothing_of_the_run_before(run, tmp_path):
    run()
    run("dataset.rows=500", "output.mode=overwrite")
    assert len(list((tmp_path / "out/data").iterdir())) == 5
    manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
    assert manifest["rows"]["derived"] == 500


@pytest.mark.one_in(24)
@pytest.mark.parametrize("mode", ["resume", "overwrite", "update"])
@pytest.mark.parametrize("name", ["data-part-0000003.parquet", "quarantine-part-0000003.parquet"])
def test_what_a_killed_worker_had_under_way_is_gone_when_a_run_is_published(
    run, tmp_path, monkeypatch, mode, name
):
    if mode == "update":
        run()
        (tmp_path / "out/data/part-0000003.parquet").unlink()
    derived = Worker.derive

    def killed_once(worker, shard):
        scratch = Path(worker.output.path, "run/scratch")
        (scratch / f"{shard.id}-{name}").write_bytes(b"PAR1 rows of bad content")
        return derived(worker, shard)

    monkeypatch.setattr(Worker, "derive", killed_once)
    run(f"output.mode={mode}")
    assert (tmp_path / "out/_SUCCESS").exists()
    assert [path.name for path in (tmp_path / "out").rglob("*") if name in path.name[2:]] == []


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_folder_of_somebody_elses_data_is_refused_untouched(run, tmp_path, mode):
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/precious.csv").write_text("1")
    with pytest.raises(UsageError, match=r"holds other files \(data\)"):
        run(f"output.mode={mode}")
    assert (tmp_path / "out/data/precious.csv").read_text() == "1"


@pytest.mark.slow
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


@pytest.mark.slow
def test_run_whose_files_go_while_it_works_is_not_published(book, monkeypatch):
    def lengthen(path):
        path.write_bytes(path.read_bytes() + b"\0")

    publish = Ledger.publish
    for mode, name, harm in (
        ("overwrite", "data/part-0000000.parquet", Path.unlink),
        ("overwrite", "data/part-0000001.parquet", lengthen),
        ("overwrite", "quarantine/part-0000002.parquet", Path.unlink),
        ("update", "data/part-0000003.parquet", Path.unlink),  # published before
    ):

        def publish_harmed(ledger, manifest, name=name, harm=harm):
            harm(book.out / name)
            publish(ledger, manifest)

        if mode == "update":
            book.write("z")
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "publish", publish_harmed)
            with pytest.raises(OutputError, match=f"{re.escape(name)}; the same command"):
                book.derive(f"output.mode={mode}")
        assert not (book.out / "_SUCCESS").exists()
        assert book.update().rows.read == 9 + 3 * (mode == "update")
        book.check()


@pytest.mark.slow
def test_manifest_that_is_gone_or_damaged_is_written_again_from_the_data_files(book):
    path = book.out / "run/manifest.json"
    whole, before = json.loads(path.read_text()), stamps(book.out / "data")
    harms = (None, path.read_bytes()[:99], b"\xff", b"[]")
    for mode, harm in (*product(["resume"], harms), ("update", b"")):
        path.write_bytes(harm) if harm is not None else path.unlink()
        assert status(str(book.out)).manifest is None
        book.derive(f"output.mode={mode}")
        found = json.loads(path.read_text())
        for key in whole.keys() - {"finished", "seconds", "workers"}:
            assert found[key] == whole[key]
        assert (book.out / "_SUCCESS").exists()
    assert stamps(book.out / "data") == before
    path.unlink()
    book.write("z")
    book.update()
    book.check()


@pytest.fixture
def bad_rows(configure, tmp_path):
    """Derive twenty rows of which one is bad."""
    table = {name: [1.0] * 20 for name in ("x1", "x2", "x3", "x4", "x5")}
    table["x1"][7] = None
    pq.write_table(pa.table(table), tmp_path / "x.parquet")

    def derived(*overrides):
        return derive(
            *configure(
                *("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/x.parquet"),
                *("cluster=inline", f"output.path={tmp_path}/out", *overrides),
            )
        )

    return derived


def test_shard_whose_quarantine_file_is_gone_is_done_again(bad_rows, tmp_path):
    bad_rows()
    (quarantined,) = (tmp_path / "out/quarantine").iterdir()
    before = quarantined.read_bytes()
    quarantined.unlink()
    bad_rows()
    assert quarantined.read_bytes() == before


def test_stricter_limit_fails_a_run_that_was_published(bad_rows):
    bad_rows()
    with pytest.raises(RunIncomplete, match="1 of 20 rows are bad"):
        bad_rows("limits.max_bad_fraction=0.0")


def test_credentials_in_a_path_stay_out_of_the_output(configure, tmp_path):
    pq.write_table(pa.table({f"x{i}": [1.0] for i in range(1, 6)}), tmp_path / "x.parquet")
    uri = f"file://{tmp_path}/x.parquet"
    config, yaml = configure(
        *("network=chain", "dataset=parquet", f"dataset.path='{uri}'", "cluster=inline"),
        *(f"output.path={tmp_path}/out", "derivatives.batch=8"),
    )
    plan = make_plan(config).plan
    dataset = replace(plan.dataset, path="s3://***@b/x")
    secret = replace(plan, dataset=dataset, location="s3://user:secret@b/x")
    ledger = Ledger(config.output.path, secret)
    ledger.open("resume", yaml + "path: s3://user:secret@b/x\n")
    ledger.close()
    kept = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(kept) == 7
    assert not any(b"secret" in path.read_bytes() for path in kept)
    assert secret.source.path == "s3://user:secret@b/x"


def test_what_a_killed_run_left_half_written_is_cleared(run, tmp_path):
    (tmp_path / "out/run/scratch").mkdir(parents=True)
    (tmp_path / "out/run/scratch/torn.parquet").write_bytes(b"PAR1")
    run()
    assert list((tmp_path / "out/run/scratch").iterdir()) == []

"""Outputs that the release before wrote: what is in `release_0_1_0/`, by hyperdiag 0.1.0 itself."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.inspection.status import status
from hyperdiag.run.plan import planner, versions
from hyperdiag.run.plan.plan_file import load_plan

RELEASE = Path(__file__).parent / "release_0_1_0"
DIGESTS = {"design": "8df3b4125efccfe3", "parquet": "5c52f08f78bc2b5a"}


@pytest.fixture
def output(tmp_path):
    """A copy of the output of a design of 24 points, in two shards."""
    shutil.copytree(RELEASE / "design", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def run(configure, output):
    """Derive as the release did, with the same overrides."""
    layers = "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'"
    box = "dataset.ranges={x1: [0, 1], x2: [-1, 1]}"
    sizes = ("dataset.rows=24", "dataset.shard_rows=16", "derivatives.batch=16")
    return lambda *overrides: derive(
        *configure(
            *("cluster=inline", "network=chain", layers, box, *sizes),
            *("derivatives.method=hyperdual", "derivatives.tile=4", f"output.path={output}"),
            *overrides,
        )
    )


@pytest.fixture
def same_versions(monkeypatch):
    """Let the packages be those that the release ran with."""
    plan = load_plan(resolve(str(RELEASE / "design")))
    for module in (planner, versions):
        monkeypatch.setattr(module, "versions", lambda: dict(plan.versions))


@pytest.mark.parametrize("name", DIGESTS)
def test_plan_of_the_release_before_is_read_with_its_digest(name):
    plan = load_plan(resolve(str(RELEASE / name)))
    assert plan.digest == DIGESTS[name]
    for path in (RELEASE / name / "data").glob("*"):
        receipt = json.loads(pq.read_metadata(path).metadata[b"hyperdiag.receipt"])
        (shard,) = (shard for shard in plan.shards() if shard.id == receipt["shard"])
        assert receipt["key"] == plan.key(shard)


def test_files_of_the_release_before_are_read_with_their_shards():
    plan = load_plan(resolve(str(RELEASE / "parquet")))
    shards = [(shard.file.path[-9:], shard.rows, shard.id) for shard in plan.shards()]
    new = [("a.parquet", 2, 5)]  # came with an update
    assert shards == [
        *new,
        *(("b.parquet", 2, 0), ("b.parquet", 1, 1)),
        *(("c.parquet", 2, 2), ("c.parquet", 2, 3), ("c.parquet", 1, 4)),
    ]
    assert plan.source.schema.names == ["key", "x1", "x2"]
    assert plan.layout.schema.names == ["key", "value", "jacobian", "hessian_diag"]


def test_output_of_the_release_before_is_gone_on_with(run, output, same_versions):
    published = json.loads((output / "run/manifest.json").read_text())
    assert run().finished == published["finished"]  # everything is done
    kept, missing = (output / f"data/part-000000{n}.parquet" for n in (0, 1))
    before = kept.stat().st_mtime_ns
    missing.unlink()
    manifest = run()
    assert manifest.plan == DIGESTS["design"]
    assert (manifest.rows.derived, manifest.seconds.rows) == (24, 8)
    assert kept.stat().st_mtime_ns == before
    found = audit(str(output), None, shards=2, rows=8)
    assert (found.findings, found.notes) == ([], [])
    # Under the names of its time; a new output has those of today.
    names = ["x1", "x2", "y1", "d_y1_d_x1", "d_y1_d_x2", "d2_y1_d_x12", "d2_y1_d_x22"]
    assert pq.read_schema(missing).names == pq.read_schema(kept).names == names
    assert run("output.mode=overwrite").plan != DIGESTS["design"]
    assert pq.read_schema(kept).names == [
        *("x1", "x2", "y1", "d_y1__d_x1", "d_y1__d_x2", "d2_y1__d2_x1", "d2_y1__d2_x2"),
    ]


def test_output_of_other_versions_is_refused_naming_them(run, output, monkeypatch):
    planned = dict(load_plan(resolve(str(output))).versions)
    monkeypatch.setattr(planner, "versions", lambda: {**planned, "jax": "0.99"})
    with pytest.raises(
        UsageError, match=r'holds a run with another plan: versions\.jax was ".*", now is "0\.99"\.'
    ):
        run()
    with pytest.raises(UsageError) as changed:
        run("network.layers='Chain(Dense(2,4,tanh), Dense(4,1))'")
    assert "network.digest was" in str(changed.value)
    assert "may trace" not in str(changed.value)  # nothing is traced for the digest of a chain


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda kernel: kernel.update(colour="red"), r"derivatives\.colour is no key here"),
        (lambda kernel: kernel.pop("batch"), r"derivatives\.batch is required"),
    ],
)
def test_plan_with_other_keys_is_refused_with_a_sentence(
    change, sentence, run, output, same_versions
):
    path = output / "run/plan.json"
    content = json.loads(path.read_text())
    change(content["settings"]["derivatives"])
    content["digest"] = "0" * 16
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"{sentence}\): start again with output.mode=overwrite"):
        run()
    with pytest.raises(UsageError, match=f"its plan cannot be read: {sentence}"):
        status(str(output))
    (finding,) = audit(str(output), None, shards=1, rows=1).findings
    assert finding.startswith("run/plan.json cannot be read: derivatives.")
    run("output.mode=overwrite")

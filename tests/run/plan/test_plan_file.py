import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import PLAN, prepare_folders
from hyperdiag.run.plan.plan_file import load_digest, load_plan, load_settings, save_plan
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.plan.spec import Settings


@pytest.fixture
def planned(configure, tmp_path):
    """A plan of a design, or of two files."""

    def plan(dataset):
        (tmp_path / "in").mkdir()
        for name in ("a", "b"):
            table = pa.table({f"x{i}": [1.0] * 10 for i in range(1, 6)})
            pq.write_table(table, tmp_path / f"in/{name}.parquet", row_group_size=4)
        where = {
            "design": ("dataset.rows=1000", "network.ranges={x5: [0, 1]}", BOX),
            "parquet": ("dataset=parquet", f"dataset.path={tmp_path}/in"),
        }[dataset]
        quickly = ("derivatives.method=hyperdual", "derivatives.tile=8")
        return make_plan(configure("network=chain", *where, *quickly)[0]).plan

    return plan


BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1]}"


@pytest.mark.parametrize("dataset", ["design", "parquet"])
def test_plan_saved_and_loaded_is_the_same(dataset, planned, tmp_path):
    plan, output = planned(dataset), resolve(str(tmp_path / "out"))
    prepare_folders(output)
    assert (load_plan(output), load_digest(output), load_settings(output)) == (None, None, None)
    save_plan(plan, output)
    again = load_plan(output)
    assert again == plan
    assert load_digest(output) == again.digest == plan.digest
    sections = (plan.network, plan.dataset, plan.kernel, plan.output, plan.limits, plan.versions)
    assert load_settings(output) == Settings(*sections, summary=plan.summary)
    assert list(again.shards()) == list(plan.shards())
    assert again.layout.schema.equals(plan.layout.schema, check_metadata=True)


def test_plan_saved_over_another_takes_the_other_s_list_of_files_away(planned, tmp_path):
    output = resolve(str(tmp_path / "out"))
    prepare_folders(output)
    (tmp_path / "out/run/files-0123456789abcdef.parquet").touch()
    (tmp_path / "out/run/files-mine.parquet").touch()
    plan = planned("parquet")
    save_plan(plan, output)
    names = {path.name for path in (tmp_path / "out/run").glob("files-*")}
    assert names == {f"files-{plan.digest}.parquet", "files-mine.parquet"}


@pytest.mark.parametrize("text", ["{}", "", "[]", '{"digest": "0", "files": 0, "settings": {}}'])
def test_text_that_is_no_plan_is_refused(text, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/plan.json").write_text(text)
    with pytest.raises(ValueError):
        load_plan(resolve(str(tmp_path)))


def test_plan_that_was_edited_is_refused(planned, tmp_path):
    output = resolve(str(tmp_path / "out"))
    prepare_folders(output)
    save_plan(planned("parquet"), output)
    path = tmp_path / "out" / PLAN
    content = json.loads(path.read_text())
    content["settings"]["derivatives"]["verify_rows"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not as it was written"):
        load_plan(output)

"""Reading an output back: what is right passes, and each harm is found and named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.sink import RECEIPT
from pipeline.errors import UsageError
from pipeline.run.audit import audit
from pipeline.run.job import derive

DATA = "data/part-0000001.parquet"
BAD = "quarantine/part-0000001.parquet"
_WEIGHTS = np.random.default_rng(1).standard_normal((3, 3))


def _table(rows=400):
    """Rows of every kind, bad ones in the first half; NaN passes through in `price`."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 3))
    x[np.arange(7, rows // 2, 40), 0] = np.nan
    x[np.arange(9, rows // 2, 60), 1] = 1e300
    price = np.where(np.arange(rows) % 3, rng.standard_normal(rows), np.nan)
    tags = [f"t{i % 5}" if i % 7 else None for i in range(rows)]
    columns = {name: x[:, i] for i, name in enumerate("abc")}
    nested = pa.array([[p, 1.0] for p in price], pa.list_(pa.float64()))
    return pa.table({"key": np.arange(rows), "tag": tags, "price": price, "n": nested, **columns})


def _derive(folder, configure, *overrides):
    return derive(
        *configure(
            *("cluster=inline", "network=python", "network.target=tests.run.networks:wavy"),
            *("network.inputs=[a,b,c]", "dataset=parquet", f"dataset.path={folder}/in"),
            *("dataset.shard_rows=100", "derivatives.tile=8", "derivatives.method=hyperdual"),
            *("limits.max_bad_fraction=1", f"output.path={folder}/out", *overrides),
        )
    )


def _write(folder, table=None):
    (folder / "in").mkdir(parents=True, exist_ok=True)
    pq.write_table(_table() if table is None else table, folder / "in/x.parquet", row_group_size=50)


def _audit(folder, shards=8, rows=16):
    return audit(str(folder / "out"), None, shards, rows)


def _state(folder):
    return {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """An output of four shards of 100 rows, the first two with bad rows."""
    from hydra import compose, initialize_config_dir

    from jobs._command import CONFIG_DIR
    from pipeline.config import load_config

    def configure(*overrides):
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            return load_config(compose("derive", list(overrides))), ""

    folder = tmp_path_factory.mktemp("published")
    _write(folder)
    manifest = _derive(folder, configure, "output.provenance=true")
    assert manifest["rows"]["quarantined"] == {"nan": 5, "overflow": 4}
    return folder


@pytest.fixture
def copy(published, tmp_path):
    """A copy of it to be harmed; the input stays where it is."""
    shutil.copytree(published / "out", tmp_path / "out")
    return tmp_path


def _rewrite(path, change):
    """Change a data file's rows and keep its schema, its metadata and so its receipt."""
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    changed = change(table)
    with pq.ParquetWriter(path, table.schema, write_page_checksum=True) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({RECEIPT: metadata[RECEIPT]})


def _set(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        at = table.schema.get_field_index(name)
        return table.set_column(
            at, table.schema.field(at), pa.array(values, table.schema.types[at])
        )

    return change


def _edit(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parts, last = key.split("__")
        inner = content
        for part in parts:
            inner = inner[part]
        inner[last] = value
    path.write_text(json.dumps(content))


def test_right_output_passes_is_compared_and_left_as_it_was(published):
    before = _state(published)
    found = _audit(published)
    assert (found.findings, found.notes) == ([], [])
    assert (found.files, found.rows, found.compared, found.derived_again) == (4, 391, 4, 64)
    assert 0 < found.largest_error < 1e-5
    assert _state(published) == before


VARIANTS = {
    "tensor": ["output.layout=tensor"],
    "float64": ["derivatives.dtype=float64", "output.layout=tensor"],
    "value alone": ["derivatives.outputs=[value]"],
    "all outputs": ["derivatives.outputs=[laplacian,hessian,value,jacobian,hessian_diag]"],
    "filter": ["dataset.filter='key > 150 and not tag is None'", "output.provenance=true"],
    "filter that keeps nothing of some shards": ["dataset.filter='key > 250'"],
    "limit": ["dataset.limit=230"],
    "no columns": ["output.columns=none"],
    "one column": ["output.columns=[price]", "derivatives.wrt=[c,a]"],
    "refused for its range": ["limits.out_of_range=quarantine"],
    "without verified rows": ["derivatives.verify_rows=0"],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_right_output_of_any_kind_passes(name, tmp_path, configure):
    _write(tmp_path)
    manifest = _derive(tmp_path, configure, *VARIANTS[name])
    found = _audit(tmp_path, rows=5)
    assert (found.findings, found.notes) == ([], [])
    assert found.rows == manifest["rows"]["derived"] > 0
    assert found.compared == manifest["shards"]
    assert found.derived_again > 0


def test_hive_tree_of_vectors_passes(tmp_path, configure):
    table = _table(60)
    points = pa.array([[b, c, b] for b, c in zip(table["c"].to_pylist(), range(60), strict=True)])
    table = pa.table({"key": table["key"], "v": points})
    for book in ("a b", "rates"):
        (tmp_path / f"in/book={book}").mkdir(parents=True)
        pq.write_table(table, tmp_path / f"in/book={book}/x.parquet")
    _derive(tmp_path, configure, "dataset.vector=v", "output.provenance=true")
    found = _audit(tmp_path)
    assert (found.findings, found.notes, found.rows) == ([], [], 120)
    for shard in (0, 1):
        path = tmp_path / f"out/data/part-000000{shard}.parquet"
        _rewrite(path, _set("book", 3, "another"))
        assert _audit(tmp_path).findings == [
            f"data/{path.name}: column 'book' is not the input's (rows 0 to 59)"
        ]
        _rewrite(path, _set("book", 3, ["a b", "rates"][shard]))


@pytest.mark.parametrize("sampler", ["sobol", "latin_hypercube", "grid"])
def test_design_of_inputs_in_no_alphabetical_order_passes(sampler, tmp_path, configure):
    ranges = "dataset.ranges={z: [-1, 1], b: [0, 1], a: [2, 3]}"
    derive(
        *configure(
            *("cluster=inline", "network=python", "network.target=tests.run.networks:wavy"),
            *("network.inputs=[z,b,a]", ranges, "dataset.rows=300", "dataset.shard_rows=70"),
            *(f"dataset.sampler={sampler}", "derivatives.tile=8", f"output.path={tmp_path}/out"),
        )
    )
    found = _audit(tmp_path)
    assert (found.findings, found.notes) == ([], [])
    assert found.derived_again > 0


def test_shards_of_bad_rows_only_and_of_fewer_rows_than_asked_pass(tmp_path, configure):
    table = _table(12).slice(0, 5)
    bad = table.set_column(4, "a", pa.nulls(5, pa.float64()))
    _write(tmp_path, bad)
    pq.write_table(table, tmp_path / "in/y.parquet")
    _derive(tmp_path, configure)
    found = _audit(tmp_path, rows=16)
    assert (found.findings, found.notes) == ([], [])
    assert (found.files, found.compared, found.derived_again) == (2, 2, 5)


def test_shards_asked_for_are_spread_over_all(published):
    assert _audit(published, shards=0).compared == 0
    assert _audit(published, shards=2, rows=1).derived_again == 2


@pytest.mark.parametrize("name", [DATA, BAD])
def test_byte_flipped_in_any_page_is_found_in_its_file(name, copy):
    """Of page headers all but statistics count: a damaged one leads to other bytes, or none."""
    path = copy / "out" / name
    whole = path.read_bytes()
    metadata = pq.read_metadata(path)
    rng = np.random.default_rng(0)
    for at in range(metadata.num_columns):
        column = metadata.row_group(0).column(at)
        end = column.data_page_offset + column.total_compressed_size
        if column.dictionary_page_offset is not None:
            end = column.dictionary_page_offset + column.total_compressed_size
        damaged = bytearray(whole)
        damaged[end - 1 - int(rng.integers(8))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        (finding,) = _audit(copy, shards=0).findings[:1]
        assert finding.startswith(f"{name} cannot be read back")
    path.write_bytes(whole)
    assert _audit(copy, shards=0).findings == []


def test_byte_flipped_in_the_receipt_is_found(copy):
    path = copy / "out" / DATA
    whole = path.read_bytes()
    start = whole.index(b'"rows": {')
    for at in range(start, start + 300, 13):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        assert any(DATA in finding for finding in _audit(copy, shards=0).findings), whole[at:][:9]


@pytest.mark.parametrize("keep", [0, 3, 0.5, -1])
@pytest.mark.parametrize("name", [DATA, BAD])
def test_file_cut_short_is_found(name, keep, copy):
    path = copy / "out" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else keep])
    assert any(name in finding for finding in _audit(copy).findings)


HARMS = {
    "data file gone": (lambda out: (out / DATA).unlink(), f"{DATA} is missing"),
    "quarantine file gone": (lambda out: (out / BAD).unlink(), f"{BAD} is missing: 4 rows"),
    "file of another name": (
        lambda out: shutil.copy(out / DATA, out / "data/part-0000009.parquet"),
        "data/part-0000009.parquet is no file of this run",
    ),
    "file that is no data": (
        lambda out: (out / "quarantine/notes.txt").touch(),
        "quarantine/notes.txt is no file of this run",
    ),
    "quarantine file of good rows": (
        lambda out: shutil.copy(out / BAD, out / "quarantine/part-0000003.parquet"),
        "quarantine/part-0000003.parquet should not be there",
    ),
    "row removed": (
        lambda out: _rewrite(out / DATA, lambda t: t.slice(1)),
        f"{DATA} has 95 rows; its shard should have 96",
    ),
    "row twice": (
        lambda out: _rewrite(out / DATA, lambda t: t.take([0, *range(t.num_rows)])),
        f"{DATA} has 97 rows; its shard should have 96",
    ),
    "row in the place of another": (
        lambda out: _rewrite(out / DATA, lambda t: t.take([0, 0, *range(2, t.num_rows)])),
        f"{DATA}: column 'key' is not the input's",
    ),
    "rows swapped": (
        lambda out: _rewrite(out / DATA, lambda t: t.take([1, 0, *range(2, t.num_rows)])),
        f"{DATA}: column 'key' is not the input's",
    ),
    "quarantined row in the place of another": (
        lambda out: _rewrite_plain(out / BAD, lambda t: t.take([0, 0, 2, 3])),
        f"{DATA}: ",
    ),
    "quarantine without its places": (
        lambda out: _rewrite_plain(out / BAD, lambda t: t.drop_columns(["_row_index"])),
        f"{BAD}: column _row_index is missing",
    ),
    "derivative": (
        lambda out: _rewrite(out / DATA, _set("d2_y2_d_b2", 0, lambda v: v + 1)),
        f"{DATA}: verification: the Hessian diagonal of 'y2' differs",
    ),
    "derivative that is no number": (
        lambda out: _rewrite(out / DATA, _set("d_y2_d_b", 95, float("nan"))),
        f"{DATA}: verification: the Jacobian of 'y2' differs",
    ),
    "text passed through": (
        lambda out: _rewrite(out / DATA, _set("tag", 40, "t9")),
        f"{DATA}: column 'tag' is not the input's",
    ),
    "NaN for a number": (
        lambda out: _rewrite(out / DATA, _set("price", 1, 2.5)),
        f"{DATA}: column 'price' is not the input's",
    ),
    "number in a list": (
        lambda out: _rewrite(out / DATA, _set("n", 50, [0.0, 1.0])),
        f"{DATA}: column 'n' is not the input's",
    ),
    "place of a row": (
        lambda out: _rewrite(out / DATA, _set("_row_index", 5, 0)),
        f"{DATA}: column '_row_index' is not the input's",
    ),
    "counts": (
        lambda out: _edit(out / "run/manifest.json", rows__derived=390),
        "run/manifest.json: rows.derived is 390; plan and data files make it 391",
    ),
    "ranges": (
        lambda out: _edit(out / "run/manifest.json", rows__ranges__value=[[0.0] * 3] * 2),
        "run/manifest.json: rows.ranges is",
    ),
    "method": (
        lambda out: _edit(out / "run/manifest.json", method="taylor"),
        "run/manifest.json: method is taylor",
    ),
    "manifest of something else": (
        lambda out: (out / "run/manifest.json").write_text("[1]"),
        "run/manifest.json cannot be read",
    ),
    "manifest gone": (lambda out: (out / "run/manifest.json").unlink(), "run/manifest.json cannot"),
    "plan edited": (
        lambda out: _edit(out / "run/plan.json", settings__derivatives__dtype="float64"),
        "run/plan.json cannot be read: it is not as it was written",
    ),
    "plan cut": (lambda out: (out / "run/plan.json").write_text("{"), "run/plan.json cannot be"),
    "input files of the plan gone": (
        lambda out: next((out / "run").glob("files-*")).unlink(),
        "run/plan.json cannot be read: ",
    ),
    "unpublished": (lambda out: (out / "_SUCCESS").unlink(), "there is no _SUCCESS"),
    "signed otherwise": (lambda out: (out / "_SUCCESS").write_bytes(b"\xff\n"), "_SUCCESS is of"),
}


def _rewrite_plain(path, change):
    pq.write_table(change(pq.ParquetFile(path).read()), path)


@pytest.mark.parametrize("name", HARMS)
def test_harm_is_found_and_named(name, copy):
    harm, wanted = HARMS[name]
    harm(copy / "out")
    findings = _audit(copy, rows=200).findings
    assert any(finding.startswith(wanted) for finding in findings), findings


def test_two_data_files_swapped_are_both_named(copy):
    first, second = (copy / f"out/data/part-000000{n}.parquet" for n in (2, 3))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    findings = _audit(copy, shards=0).findings
    assert "data/part-0000002.parquet holds shard 3 of a plan; here belongs 2" in findings
    assert "data/part-0000003.parquet holds shard 2 of a plan; here belongs 3" in findings


def test_data_file_of_another_plan_is_named(copy, published, configure):
    _derive(copy, configure, "output.mode=overwrite", f"dataset.path={published}/in")
    shutil.copy(copy / "out" / DATA, copy / "kept")
    shutil.rmtree(copy / "out")
    shutil.copytree(published / "out", copy / "out")
    shutil.copy(copy / "kept", copy / "out" / DATA)
    assert _audit(copy, shards=0).findings[0].startswith(f"{DATA} holds shard 1 of a plan")


@pytest.mark.parametrize("change", ["touched", "gone"])
def test_input_that_is_not_as_it_was_is_a_note(change, tmp_path, configure):
    _write(tmp_path)
    _derive(tmp_path, configure)
    if change == "gone":
        shutil.rmtree(tmp_path / "in")
    else:
        Path(tmp_path / "in/x.parquet").touch()
    found = _audit(tmp_path)
    assert found.findings == []
    assert (found.compared, found.derived_again) == (0, 0)
    assert len(found.notes) == 4
    word = "is gone" if change == "gone" else "has changed"
    assert word in found.notes[0]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def build():\n    return lambda x: 3.0 * x**3\n", "network 'python' has changed"),
        ("def built():\n    return None\n", "has no 'build'"),
    ],
)
def test_network_that_is_another_now_is_a_note_and_rows_are_still_compared(
    source, reason, tmp_path, configure, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_network.py").write_text("def build():\n    return lambda x: x**3\n")
    _write(tmp_path)
    _derive(tmp_path, configure, "network.target=own_network:build")
    monkeypatch.delitem(__import__("sys").modules, "own_network")
    (tmp_path / "own_network.py").write_text(source)
    found = _audit(tmp_path)
    assert found.findings == []
    assert (found.compared, found.derived_again) == (4, 0)
    (note,) = found.notes
    assert note.startswith("no rows were derived again: ")
    assert reason in note


def test_network_that_nothing_can_check_is_a_note(tmp_path, configure):
    _write(tmp_path)
    unverifiable = "network.target=tests.run.networks:unverifiable"
    _derive(tmp_path, configure, unverifiable, "derivatives.verify_rows=0")
    found = _audit(tmp_path)
    assert (found.findings, found.compared, found.derived_again) == ([], 4, 0)
    assert "nothing can check" in found.notes[0]


def test_update_under_way_is_no_part_of_what_was_published(copy):
    staged = copy / "out/run/staged/data"
    staged.mkdir(parents=True)
    (copy / "out" / DATA).rename(staged / "part-0000001.parquet")
    assert f"{DATA} is missing" in _audit(copy).findings


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run: there is no run/plan\.json"):
        _audit(tmp_path)

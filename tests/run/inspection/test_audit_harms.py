"""Reading an output back: each harm is found and named."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from .audited import BAD, DATA, audit_of, derive_rows, rewrite, set_entry


def _edit(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parts, last = key.split("__")
        inner = content
        for part in parts:
            inner = inner[part]
        inner[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.slow
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
        (finding,) = audit_of(copy, shards=0).findings[:1]
        assert finding.startswith(f"{name} cannot be read back")
    path.write_bytes(whole)
    assert audit_of(copy, shards=0).findings == []


def test_byte_flipped_in_the_receipt_is_found(copy):
    path = copy / "out" / DATA
    whole = path.read_bytes()
    start = whole.index(b'"rows": {')
    begin, found = whole.rindex(b"{", 0, start), 0
    for at in range(start, start + 300, 13):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        if _object_at(damaged, begin) == _object_at(whole, begin):
            continue  # the last of 17 digits, in which a number is the same
        path.write_bytes(damaged)
        assert any(DATA in finding for finding in audit_of(copy, shards=0).findings), whole[at:][:9]
        found += 1
    assert found > 15


def _object_at(content, begin):
    try:
        return json.JSONDecoder().raw_decode(content[begin:].decode("latin-1"))[0]
    except ValueError:
        return None


@pytest.mark.parametrize("keep", [0, 3, 0.5, -1])
@pytest.mark.parametrize("name", [DATA, BAD])
def test_file_cut_short_is_found(name, keep, copy):
    path = copy / "out" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else keep])
    assert any(name in finding for finding in audit_of(copy).findings)


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
        lambda out: rewrite(out / DATA, lambda t: t.slice(1)),
        f"{DATA} has 95 rows; its shard should have 96",
    ),
    "row twice": (
        lambda out: rewrite(out / DATA, lambda t: t.take([0, *range(t.num_rows)])),
        f"{DATA} has 97 rows; its shard should have 96",
    ),
    "row in the place of another": (
        lambda out: rewrite(out / DATA, lambda t: t.take([0, 0, *range(2, t.num_rows)])),
        f"{DATA}: column 'key' is not the input's",
    ),
    "rows swapped": (
        lambda out: rewrite(out / DATA, lambda t: t.take([1, 0, *range(2, t.num_rows)])),
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
        lambda out: rewrite(out / DATA, set_entry("d2_y2__d2_b", 0, lambda v: v + 1)),
        f"{DATA}: verification: the Hessian diagonal of 'y2' differs",
    ),
    "derivative that is no number": (
        lambda out: rewrite(out / DATA, set_entry("d_y2__d_b", 95, float("nan"))),
        f"{DATA}: verification: the Jacobian of 'y2' differs",
    ),
    "text passed through": (
        lambda out: rewrite(out / DATA, set_entry("tag", 40, "t9")),
        f"{DATA}: column 'tag' is not the input's",
    ),
    "NaN for a number": (
        lambda out: rewrite(out / DATA, set_entry("price", 1, 2.5)),
        f"{DATA}: column 'price' is not the input's",
    ),
    "number in a list": (
        lambda out: rewrite(out / DATA, set_entry("n", 50, [0.0, 1.0])),
        f"{DATA}: column 'n' is not the input's",
    ),
    "place of a row": (
        lambda out: rewrite(out / DATA, set_entry("_row_index", 5, 0)),
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


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", HARMS)
def test_harm_is_found_and_named(name, copy):
    harm, wanted = HARMS[name]
    harm(copy / "out")
    findings = audit_of(copy, rows=200).findings
    assert any(finding.startswith(wanted) for finding in findings), findings


def test_two_data_files_swapped_are_both_named(copy):
    first, second = (copy / f"out/data/part-000000{n}.parquet" for n in (2, 3))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    findings = audit_of(copy, shards=0).findings
    assert "data/part-0000002.parquet holds shard 3 of a plan; here belongs 2" in findings
    assert "data/part-0000003.parquet holds shard 2 of a plan; here belongs 3" in findings


def test_data_file_of_another_plan_is_named(copy, published, configure):
    derive_rows(copy, configure, "output.mode=overwrite", f"dataset.path={published}/in")
    shutil.copy(copy / "out" / DATA, copy / "kept")
    shutil.rmtree(copy / "out")
    shutil.copytree(published / "out", copy / "out")
    shutil.copy(copy / "kept", copy / "out" / DATA)
    assert audit_of(copy, shards=0).findings[0].startswith(f"{DATA} holds shard 1 of a plan")


def test_update_under_way_is_no_part_of_what_was_published(copy):
    staged = copy / "out/run/staged/data"
    staged.mkdir(parents=True)
    (copy / "out" / DATA).rename(staged / "part-0000001.parquet")
    assert f"{DATA} is missing" in audit_of(copy).findings

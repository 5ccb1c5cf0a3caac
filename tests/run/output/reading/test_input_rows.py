"""Rows of an output beside those of its input, against DuckDB's join of the same files."""

import os
import shutil

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.messages.errors import InputError, UsageError
from hyperdiag.run.derive import derive
from tests.run.book import Book

from .conftest import BAD, ROWS

SOURCE = ("output.columns=[desk]", "output.provenance=true")
NEW = ["spot", "v.ol", "rate %", "number", "value", "day"]


def _joined(runs, relation, columns, file="_source_file", row="_row_index"):
    """Return the input's columns of a relation's rows, in its order, as DuckDB joins them."""
    selected = ", ".join(f'i."{name}"' for name in columns)
    return duckdb.sql(f"""
        SELECT {selected} FROM (SELECT *, row_number() OVER () AS nth FROM relation) o
        JOIN {runs.rows} i ON i.filename = o.{file} AND i.file_row_number = o.{row} ORDER BY o.nth
    """).fetchall()


def _rows(table, columns):
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("output.layout=tensor",),
        ("dataset.filter='number == 1'", "dataset.limit=1500"),
    ],
)
def test_rows_have_the_columns_that_were_not_passed_through(runs, overrides):
    output = hyperdiag.Output(runs(*SOURCE, *overrides))
    table = output.table()
    joined = output.joined(table)
    taken = "value" in table.column_names  # by the tensor
    new = [f"{name}_input" if name == "value" and taken else name for name in NEW]
    assert joined.column_names == [*table.column_names, *new]
    assert joined.select(table.column_names).equals(table)
    assert _rows(joined, new) == _joined(runs, table, NEW)
    assert joined.schema.field("day").type == pa.int32()


def test_rows_in_any_order_and_more_than_once_keep_it(runs):
    output = hyperdiag.Output(runs(*SOURCE))
    table = output.table(["_row_index", "_source_file", "a.b"])
    order = np.random.default_rng(2).integers(0, table.num_rows, 500)
    table = table.take(pa.array(order))
    joined = output.joined(table, ["v.ol", "desk"])
    assert joined.column_names == ["_row_index", "_source_file", "a.b", "v.ol", "desk"]
    assert _rows(joined, ["v.ol", "desk"]) == _joined(runs, table, ["v.ol", "desk"])
    none = output.joined(table.slice(0, 0), ["v.ol", "desk"])
    assert (none.num_rows, none.column_names) == (0, joined.column_names)
    assert none.schema == joined.schema


def test_extreme_and_top_rows_are_joined_too(runs):
    output = hyperdiag.Output(runs(*SOURCE))
    extremes = output.extremes()
    joined = output.joined(extremes)
    new = ["spot", "v.ol", "rate %", "desk", "number", "value_input", "day"]
    assert joined.column_names == [*extremes.column_names, *new]
    names = [name.removesuffix("_input") for name in new]
    assert _rows(joined, new) == _joined(runs, extremes, names, "source_file", "row_index")
    points = np.array(joined["point"].to_pylist())
    np.testing.assert_allclose(points[:, 1], joined["v.ol"].to_numpy(), rtol=1e-7)
    top = output.top("a.b", rows=20)
    assert _rows(output.joined(top), NEW) == _joined(runs, top, NEW)


def test_quarantined_rows_have_all_their_columns(runs):
    output = hyperdiag.Output(runs(*SOURCE))
    bad = output.quarantine()
    assert output.joined(bad) is bad
    assert output.joined(bad, ["desk"]) is bad
    # As far as they still are there.
    joined = output.joined(bad.drop_columns(["desk"]))
    assert joined["desk"].to_pylist() == bad["desk"].to_pylist()
    assert joined.num_rows == 3 * BAD


def test_points_of_a_design_are_made_again(runs, configure, tmp_path):
    ranges = "dataset.ranges={a: [0, 1], b: [1, 2], c: [2, 3]}"
    for columns, name in (("all", "whole"), ("none", "out")):
        derive(
            *configure(
                *("network=python", "network.target=tests.run.networks:wavy", "cluster=inline"),
                *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", "dataset.rows=3000", ranges),
                *("derivatives.method=hyperdual", "derivatives.verify_rows=0"),
                *(f"output.columns={columns}", "output.provenance=true"),
                f"output.path={tmp_path}/{name}",
            )
        )
    whole = hyperdiag.Output(tmp_path / "whole").table()
    output = hyperdiag.Output(tmp_path / "out")
    names = ["a", "b", "c"]
    assert output.joined(output.table()).select(names).equals(whole.select(names))
    some = output.table(filter=pc.field("_row_index").isin([1, 2999, 7]))
    right = whole.filter(pc.field("_row_index").isin([1, 2999, 7]))
    assert output.joined(some)["c"].equals(right["c"])
    assert _rows(output.joined(output.extremes()), names)[0] in _rows(whole, names)


def test_rows_that_do_not_say_where_they_come_from_are_refused(runs):
    output = hyperdiag.Output(runs("output.columns=[desk]"))
    with pytest.raises(UsageError, match=r"have no _source_file and _row_index.*provenance=true"):
        output.joined(output.table())
    # Those that were noted, and bad ones, say it in any run.
    assert output.joined(output.extremes(), ["spot"]).num_rows == output.extremes().num_rows
    output = hyperdiag.Output(runs(*SOURCE))
    with pytest.raises(UsageError, match="keep these columns of the output's, too"):
        output.joined(output.table(["a.b", "_row_index"]))


def test_column_row_and_file_that_the_input_does_not_have_are_named(runs):
    output = hyperdiag.Output(runs(*SOURCE))
    table = output.table(["_source_file", "_row_index"]).slice(0, 2)
    with pytest.raises(UsageError, match=r"the input has no column 'dsek' \(closest: 'desk'\)"):
        output.joined(table, ["dsek", "spot"])
    beyond = table.set_column(1, "_row_index", pa.array([0, ROWS]))
    with pytest.raises(UsageError, match=rf"rows\.parquet has no row {ROWS}: it has {ROWS}"):
        output.joined(beyond, ["spot"])
    strange = table.set_column(0, "_source_file", pa.array(["/in/x", "/in/x"]))
    with pytest.raises(UsageError, match="/in/x is no input of this run"):
        output.joined(strange, ["spot"])
    null = table.set_column(0, "_source_file", pa.array([None, "/in/x"]))
    with pytest.raises(UsageError, match="_source_file or _row_index is null in some rows"):
        output.joined(null, ["spot"])


def test_input_that_changed_or_went_is_named(tmp_path, configure):
    book = Book(tmp_path, configure)
    for name in "ab":
        book.write(name, 4)
    book.derive("output.columns=[number]", "output.provenance=true")
    output = hyperdiag.Output(book.out)
    table = output.table()
    assert output.joined(table)["b"].to_pylist() == [1.0] * 8
    book.touch("a")
    with pytest.raises(InputError, match=r"in/a\.parquet has changed since the run was planned"):
        output.joined(table)
    only_b = table.filter(pc.ends_with(table["_source_file"], "b.parquet"))
    assert output.joined(only_b)["a"].to_pylist() == [2.0, 2.5, 3.0, 3.5]
    book.remove("b")
    with pytest.raises(InputError, match=r"in/b\.parquet is gone since the run was planned"):
        output.joined(only_b)


def test_rows_that_were_read_before_an_update_are_refused(tmp_path, configure):
    book = Book(tmp_path, configure)
    for name in "ab":
        book.write(name, 4)
    provenance = ("output.columns=[number]", "output.provenance=true")
    book.derive(*provenance)
    output = hyperdiag.Output(book.out)
    before = output.table()
    book.write("a", 4)
    book.update(*provenance)
    with pytest.raises(InputError, match="out was updated since these rows were read"):
        output.joined(before)
    after = output.joined(output.table())
    assert [2 * a for a in after["a"].to_pylist()] == after["number"].to_pylist()


def test_only_what_is_needed_of_a_file_is_read(runs, tmp_path):
    """All other row groups and columns of the file are damaged."""
    out = runs(*SOURCE)
    output = hyperdiag.Output(out)
    path = runs.folder / "in/day=8/rows.parquet"
    wanted = (pc.field("_row_index") >= 420) & (pc.field("_row_index") < 470)
    table = output.table(
        filter=wanted & pc.ends_with(pc.field("_source_file"), "day=8/rows.parquet")
    )
    assert table.num_rows == 50
    right = _joined(runs, table, ["v.ol"])
    shutil.copy2(path, tmp_path / "kept")
    status, content = path.stat(), bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(4).column(1)
    assert chunk.path_in_schema == "v.ol"
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    end, footer = start + chunk.total_compressed_size, _footer(content)
    content[4:start] = b"\xff" * (start - 4)
    content[end:footer] = b"\xff" * (footer - end)
    try:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert _rows(output.joined(table, ["v.ol"]), ["v.ol"]) == right
        with pytest.raises(InputError, match=r"day=8/rows\.parquet cannot be read"):
            output.joined(output.table(), ["v.ol"])
    finally:
        shutil.copy2(tmp_path / "kept", path)


def _footer(content):
    """Return where the footer of a Parquet file begins."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")

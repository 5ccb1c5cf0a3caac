"""What a notebook reads of an output, against DuckDB on the same files."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.messages.errors import InputError, UsageError
from hyperdiag.run.output import publication
from hyperdiag.run.output.reading import output as output_module
from tests.run.book import Book, Died

from .conftest import BAD, INPUTS, OUTPUTS, ROWS, sql

PLAIN = ("output.columns=[desk]", "output.provenance=true")
ALL = "derivatives.outputs=[value,jacobian,hessian_diag,laplacian,hessian]"


@pytest.fixture
def book(tmp_path, configure):
    book = Book(tmp_path, configure)
    for name in "ab":
        book.write(name, 4, bad=1)
    return book


def test_tables_are_those_that_duckdb_reads(runs):
    out = runs(*PLAIN)
    output = hyperdiag.Output(out)
    by_place = [("_source_file", "ascending"), ("_row_index", "ascending")]
    data = f"SELECT * FROM '{out}/data/*.parquet' ORDER BY _source_file, _row_index"
    table = output.table().sort_by(by_place)
    assert list(map(tuple, zip(*table.to_pydict().values(), strict=True))) == sql(data)
    assert table.equals(hyperdiag.read(str(out)).sort_by(by_place))
    wanted = pc.field("a.b") > 0.5
    some = output.table(["_row_index", "a.b"], filter=wanted)
    right = sql(f"""SELECT _row_index, "a.b" FROM '{out}/data/*.parquet' WHERE "a.b" > 0.5""")
    assert sorted(zip(*some.to_pydict().values(), strict=True)) == sorted(right)
    bad = output.quarantine()
    assert bad.num_rows == 3 * BAD
    assert sorted(bad["_row_index"].to_pylist()) == sorted([*range(BAD)] * 3)
    assert set(bad["_error_code"].to_pylist()) == {"nan"}
    assert bad["desk"].to_pylist() == [
        desk for (desk,) in sql(f"SELECT desk FROM '{out}/quarantine/*.parquet'")
    ]
    assert output.summary().equals(pq.read_table(out / "run/summary.parquet"))
    assert output.extremes().equals(pq.read_table(out / "run/extremes.parquet"))
    assert output.manifest == json.loads((out / "run/manifest.json").read_text())
    assert output.inputs == output.directions == tuple(INPUTS)
    assert output.outputs == tuple(OUTPUTS)
    assert repr(output) == f"Output({str(out)!r})"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_arrays_have_the_numbers_that_duckdb_reads_under_each_name(runs, layout, dtype):
    wrt = "derivatives.wrt=['v.ol',spot]"
    columns = "output.columns=none"  # one has the name of a tensor
    out = runs(f"output.layout={layout}", f"derivatives.dtype={dtype}", ALL, wrt, columns)
    output = hyperdiag.Output(out)
    assert (output.inputs, output.directions) == (tuple(INPUTS), ("v.ol", "spot"))
    escaped = {"p r": "p r", "a.b": "a.b", "s__x": "s_x005F__x005F_x"}
    for o, name in enumerate(OUTPUTS, 1):
        sign = escaped[name]
        numbers = {
            ("value",): (name, f"value[{o}]"),
            ("laplacian",): (f"laplacian_{sign}", f"laplacian[{o}]"),
        }
        for i, direction in enumerate(("v.ol", "spot"), 1):
            numbers["jacobian", direction] = (f"d_{sign}__d_{direction}", f"jacobian[{o}][{i}]")
            diagonal = (f"d2_{sign}__d2_{direction}", f"hessian_diag[{o}][{i}]")
            numbers["hessian_diag", direction] = diagonal
            for j, other in enumerate(("v.ol", "spot"), 1):
                mixed = (f"d2_{sign}__d_{direction}__d_{other}", f"hessian[{o}][{i}][{j}]")
                numbers["hessian", direction, other] = mixed
        for (quantity, *inputs), pair in numbers.items():
            number = f'"{pair[0]}"' if layout == "wide" else pair[1]
            right = duckdb.sql(f"SELECT {number} AS x FROM '{out}/data/*.parquet'").fetchnumpy()
            names = dict(zip(("input", "other_input"), inputs, strict=False))
            part = getattr(output, quantity).sel(output=name, **names)
            assert (part.dims, part.dtype) == (("row",), np.dtype(dtype))
            np.testing.assert_array_equal(part.values, right["x"])
    assert output.hessian.dims == ("row", "output", "input", "other_input")
    assert output.hessian.shape == (3 * (ROWS - BAD), 3, 2, 2)


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_arrays_that_belong_together_are_of_the_rows_that_a_filter_leaves(runs, layout):
    out = runs(*PLAIN, f"output.layout={layout}")
    output = hyperdiag.Output(out)
    some = output.arrays("jacobian", "value", filter=pc.field("desk") == "fx")
    assert [*some] == ["jacobian", "value"]
    ((count,),) = sql(f"SELECT count(*) FROM '{out}/data/*.parquet' WHERE desk = 'fx'")
    assert 0 < count < 3 * (ROWS - BAD)
    assert some["jacobian"].shape == (count, 3, 3)
    number = '"a.b"' if layout == "wide" else "value[2]"
    right = sql(f"SELECT {number} FROM '{out}/data/*.parquet' WHERE desk = 'fx'")
    assert some["value"].sel(output="a.b").values.tolist() == [x for (x,) in right]
    assert [*output.arrays()] == ["value", "jacobian", "hessian_diag"]
    none = output.arrays(filter=pc.field("desk") == "nobody's")
    assert none["hessian_diag"].shape == (0, 3, 3)


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_batches_are_all_rows_in_their_order_and_can_be_unpacked(runs, layout):
    output = hyperdiag.Output(runs(*PLAIN, f"output.layout={layout}"))
    batches = [*output.batches(70)]
    assert max(batch.num_rows for batch in batches) == 70
    assert pa.concat_tables(batches).equals(output.table())
    parts = [output.unpack(batch) for batch in batches]
    for name, whole in output.arrays().items():
        joined = np.concatenate([part[name].values for part in parts])
        np.testing.assert_array_equal(joined, whole.values)
    some = output.batches(70, ["desk"], pc.field("desk") == "fx")
    assert {desk for batch in some for desk in batch["desk"].to_pylist()} == {"fx"}
    assert output.unpack(output.table(["desk"])) == {}


def test_what_was_not_written_is_said_with_what_writes_it(runs):
    output = hyperdiag.Output(runs("derivatives.outputs=[value]", "summary.enabled=false"))
    with pytest.raises(UsageError, match=r"derivatives\.outputs=\[value,jacobian\] writes it"):
        _ = output.jacobian
    with pytest.raises(UsageError, match=r"no quantity 'vlaue' was written \(closest: 'value'\)$"):
        output.arrays("vlaue")
    for read in (output.summary, output.extremes):
        with pytest.raises(UsageError, match=r"kept no statistics: summary\.enabled=true does"):
            read()
    only = hyperdiag.Output(runs("summary.only=true"))
    assert only.table().num_rows == 0
    assert only.summary().num_rows > 0
    for read in (only.arrays, lambda: only.top("a.b")):
        with pytest.raises(UsageError, match=r"the run wrote no rows \(summary\.only=true\)"):
            read()


def test_output_without_bad_rows_has_an_empty_quarantine(book):
    for name in "ab":
        book.write(name, 4)
    book.derive()
    bad = hyperdiag.Output(book.out).quarantine()
    assert bad.num_rows == 0
    assert bad.column_names == ["_error_code", "_error_detail", "_source_file", "_row_index"]


def test_what_is_not_published_is_no_output(book, tmp_path):
    with pytest.raises(UsageError, match="nothing is published in"):
        hyperdiag.Output(tmp_path / "none")
    book.derive()
    output = hyperdiag.Output(book.out)
    (book.out / "run/plan.json").write_text("{}")
    with pytest.raises(InputError, match=r"out: run/plan\.json cannot be read: not a plan"):
        hyperdiag.Output(book.out)
    assert output.table().num_rows == 6  # it is known already


def _seen(output):
    """Return numbers of rows and of quarantined rows, and what is said of both."""
    counts = output.summary().filter(pc.field("statistic") == "count")["value"]
    bad, rows = output.quarantine()["number"].to_pylist(), output.table()["number"].to_pylist()
    said = output.manifest["rows"]
    assert {int(count) for count in counts.to_pylist()} == {len(rows)} == {said["derived"]}
    assert len(bad) == said["read"] - said["derived"]
    assert output.value.shape == (len(rows), 2)
    return sorted(rows), sorted(bad)


def test_output_by_a_relative_path_is_the_same_from_another_folder(book, tmp_path, monkeypatch):
    book.derive()
    monkeypatch.chdir(tmp_path)
    output = hyperdiag.Output("out")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert output.table().num_rows == 6
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hyperdiag.Output("~/out").value.shape == (6, 2)


def test_update_is_seen_whole_by_the_next_call_also_before_its_files_are_in_place(
    book, monkeypatch
):
    book.derive()
    output = hyperdiag.Output(book.out)
    assert _seen(output) == ([1, 2, 3, 5, 6, 7], [0, 4])
    book.write("a", 3, bad=2)
    book.write("c", 2)

    def dies(*arguments):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(publication, "_fold", dies)
        with pytest.raises(Died):
            book.update()
    newest = json.loads(max((book.out / "run/current").iterdir()).read_text())
    assert newest["published"]["folding"] is True
    after = ([5, 6, 7, 10, 11, 12], [4, 8, 9])
    assert _seen(output) == after
    book.update()
    assert _seen(output) == after


def test_output_of_a_release_that_kept_no_listing_is_its_folders(book):
    book.derive()
    for path in (book.out / "run/current").iterdir():
        path.unlink()
    assert _seen(hyperdiag.Output(book.out)) == ([1, 2, 3, 5, 6, 7], [0, 4])


def test_arrays_are_of_one_publication_when_another_comes_meanwhile(book, monkeypatch):
    book.derive()
    output = hyperdiag.Output(book.out)
    unpacked, updates = output_module.named_arrays, []

    def updated_meanwhile(*arguments):
        if not updates:
            updates.append(book.write("a", 2))
            book.update()
        return unpacked(*arguments)

    monkeypatch.setattr(output_module, "named_arrays", updated_meanwhile)
    arrays = output.arrays("value", "jacobian")
    # The second output is the sum of a, half a row's number, and b, which is 1.
    assert sorted(arrays["value"].sel(output="v").values) == [3.5, 4.0, 4.5, 5.0, 5.5]
    assert len(arrays["jacobian"]) == 5


def test_batches_of_an_output_that_is_updated_meanwhile_end_with_an_error(book):
    book.derive()
    batches = hyperdiag.Output(book.out).batches(1)
    next(batches)
    book.write("a", 2)
    book.update()
    with pytest.raises(InputError, match="was updated while it was read: begin again"):
        list(batches)


DERIVED = (
    *("derivatives.outputs=[value]", "output.columns=none", "derived=[propagation,elasticity,top]"),
    "derived.propagation.deviations={spot: 0.1, v.ol: 0.2}",
    "derived.top={count: 2, deviations: {spot: 0.1, v.ol: 0.2}}",
)


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_derived_quantities_are_arrays_too(runs, layout):
    out = runs(*DERIVED, f"output.layout={layout}")
    output = hyperdiag.Output(out)
    arrays = output.arrays("std", "value", "elasticity", "top")
    assert {name: array.dims for name, array in arrays.items()} == {
        "std": ("row", "output"),
        "value": ("row", "output"),
        "elasticity": ("row", "output", "input"),
        "top": ("row", "output", "rank"),
    }
    for array, wide, tensor in (
        (arrays["std"].sel(output="a.b"), "std_a.b", "std[2]"),
        (
            arrays["elasticity"].sel(output="a.b", input="rate %"),
            "elasticity_a.b__by_rate %",
            "elasticity[2][3]",
        ),
        (arrays["top"].sel(output="p r", rank="2"), "top_p r__rank_2", "top[1][2]"),
    ):
        number = f'"{wide}"' if layout == "wide" else tensor
        right = [x for (x,) in sql(f"SELECT {number} FROM '{out}/data/*.parquet'")]
        assert array.values.tolist() == right
    number = '"std_a.b"' if layout == "wide" else "std[2]"
    largest = sql(f"SELECT {number} FROM '{out}/data/*.parquet' ORDER BY 1 DESC LIMIT 4")
    top = output.unpack(output.top("a.b", "std", rows=4))["std"].sel(output="a.b")
    assert top.values.tolist() == [x for (x,) in largest]
    with pytest.raises(UsageError, match="'top' has names, which are neither large nor small"):
        output.top("a.b", "top", input="1")

"""The most extreme of all rows, against DuckDB's ORDER BY on the same files."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.data.filesystem import resolve
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.output.reading.top_rows import top_rows

from .conftest import BAD, ROWS

ALL = "derivatives.outputs=[value,jacobian,hessian_diag,laplacian,hessian]"


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_rows_are_those_that_duckdb_sorts_first_with_all_their_columns(runs, layout, smallest):
    out = runs("output.columns=[desk]", "output.provenance=true", ALL, f"output.layout={layout}")
    output = hyperdiag.Output(out)
    for quantity, names, wide, tensor in (
        ("value", None, "a.b", "value[2]"),
        ("jacobian", "v.ol", "d_a.b__d_v.ol", "jacobian[2][2]"),
        ("hessian_diag", "rate %", "d2_a.b__d2_rate %", "hessian_diag[2][3]"),
        ("hessian", ("spot", "rate %"), "d2_a.b__d_spot__d_rate %", "hessian[2][1][3]"),
        ("laplacian", None, "laplacian_a.b", "laplacian[2]"),
    ):
        table = output.top("a.b", quantity, 7, smallest, input=names)
        number = f'"{wide}"' if layout == "wide" else tensor
        right = duckdb.sql(f"""
            SELECT * FROM '{out}/data/*.parquet'
            ORDER BY {number} {"ASC" if smallest else "DESC"} LIMIT 7
        """)
        assert table.column_names == right.columns
        assert list(zip(*table.to_pydict().values(), strict=True)) == [
            tuple(map(_plain, row)) for row in right.fetchall()
        ]


def _plain(value):
    return [*map(_plain, value)] if isinstance(value, tuple | list) else value


def test_more_rows_than_are_there_are_all_of_them(runs):
    output = hyperdiag.Output(runs("output.columns=[desk]", "output.provenance=true"))
    rows = output.top("p r", rows=10_000)
    assert rows.num_rows == 3 * (ROWS - BAD)
    values = rows["p r"].to_numpy()
    assert (np.diff(values) <= 0).all()


def test_of_equal_rows_those_come_first_that_stand_first(tmp_path):
    rng = np.random.default_rng(3)
    paths = [str(tmp_path / f"{name}.parquet") for name in "abc"]
    for path in paths[:2]:
        numbers = rng.integers(0, 4, 5000).astype(float)
        pq.write_table(pa.table({"x": numbers, "place": range(5000)}), path, row_group_size=999)
    pq.write_table(
        pa.table({"x": pa.array([], pa.float64()), "place": pa.array([], "i8")}), paths[2]
    )
    score = lambda table: table["x"].to_numpy()
    for rows in (1, 50, 3000, 20_000):
        table = top_rows(resolve(str(tmp_path)), paths, "x", score, rows)
        right = duckdb.sql(f"""
            SELECT x, place FROM read_parquet({paths}, filename=true)
            ORDER BY x DESC, filename, place LIMIT {rows}
        """)
        assert list(zip(*table.to_pydict().values(), strict=True)) == right.fetchall()
    assert top_rows(resolve(str(tmp_path)), paths[2:], "x", score, 5).num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.c",), "no output 'a.c' (closest: 'a.b')"),
        (("a.b", "jacobian"), "a number of 'jacobian' has an output and an input: give output=..."),
        (("a.b", "value", 1, False, "spot"), "a number of 'value' has an output: give output=..."),
        (("a.b", "jacobian", 1, False, "sopt"), "no input 'sopt' (closest: 'spot')"),
        (("a.b", "jacobean"), "no quantity 'jacobean' was written (closest: 'jacobian')"),
        (("a.b", "value", 0), "rows=0: take 1 or more"),
    ],
)
def test_number_that_is_not_there_is_said(runs, arguments, said):
    output = hyperdiag.Output(runs("output.columns=[desk]", "output.provenance=true"))
    *arguments, names = (*arguments, None) if len(arguments) < 5 else arguments
    with pytest.raises(UsageError) as caught:
        output.top(*arguments, input=names)
    assert str(caught.value).startswith(said)

"""The last words of a run: the lines that say how to read its output, tried as they are printed."""

import re

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.run.derive import derive
from hyperdiag.run.summary import print_summary

ROWS = 700


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_lines_that_say_how_to_read_an_output_read_it_as_they_are_printed(
    configure, tmp_path, capsys, layout
):
    folder = tmp_path / "O'Neil's büch er"
    folder.mkdir()
    rng = np.random.default_rng(4)
    columns = {name: rng.normal(size=ROWS) for name in ("a", "b", "c")}
    columns["desk"] = rng.choice(["fx", "ö"], ROWS)
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=100)
    manifest = derive(
        *configure(
            *("network=python", "network.target=tests.run.networks:wavy", "cluster=inline"),
            *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", "dataset=parquet"),
            *(f"dataset.path={tmp_path}/rows.parquet", "dataset.shard_rows=200"),
            *("derivatives.method=hyperdual", "derivatives.verify_rows=0"),
            *(f'output.path="{folder}/out"', f"output.layout={layout}"),
        )
    )
    capsys.readouterr()
    print_summary(manifest, str(folder / "out"))
    said = capsys.readouterr().out
    lines = dict(re.findall(r"^    (Python|pandas|polars|DuckDB) +(.+)$", said, re.M))
    assert [*lines] == ["Python", "pandas", "polars", "DuckDB"]
    files = sorted((folder / "out/data").iterdir())
    assert len(files) == manifest.shards > 1
    right = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    assert len(right) == ROWS
    names = {"hyperdiag": hyperdiag, "pandas": pandas, "polars": polars}
    frame = eval(lines["pandas"], names)
    assert [*map(_plain, frame.to_dict("records"))] == right
    assert eval(lines["Python"], names).to_pylist() == right
    assert eval(lines["polars"], names).collect().to_dicts() == right
    relation = duckdb.sql(lines["DuckDB"])
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    assert [*map(_plain, rows)] == right


def _plain(value):
    """Return arrays and tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(each) for each in value]
    return value

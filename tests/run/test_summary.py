"""The last words of a run: the lines that say how to read its output, tried as they are printed."""

import re

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.run.derive import derive
from hyperdiag.run.summary import print_summary

ROWS = 700


@pytest.fixture
def out(configure, tmp_path):
    """Derive into a folder of any name; return it, its rows and its manifest."""

    def derived(name, *overrides):
        rng = np.random.default_rng(4)
        columns = {name: rng.normal(size=ROWS) for name in ("a", "b", "c")}
        columns["desk"] = rng.choice(["fx", "ö"], ROWS)
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=100)
        config, yaml = configure(
            *("network=python", "network.target=tests.run.networks:wavy", "cluster=inline"),
            *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", "dataset=parquet"),
            *(f"dataset.path={tmp_path}/rows.parquet", "dataset.shard_rows=200"),
            *("derivatives.method=hyperdual", "derivatives.verify_rows=0"),
            *(f"output.path={tmp_path}/out", *overrides),
        )
        folder = tmp_path / name
        output = config.output.model_copy(update={"path": str(folder)})
        manifest = derive(config.model_copy(update={"output": output}), yaml)
        files = sorted((folder / "data").iterdir())
        assert len(files) == manifest.shards > 1
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        assert len(rows) == ROWS
        return folder, rows, manifest

    return derived


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("O'Neil's büch er/out", "wide"),
        ("O'Neil's büch er/out", "tensor"),
        ("run [1]", "wide"),
        ("a*b?", "wide"),
        ('[!a-c]"{1,2}"]', "wide"),
        ("back\\slash", "wide"),
        ("line\nof [two]", "wide"),
        ("of:bug:s #7%20 $HOME", "wide"),
    ],
)
def test_lines_that_say_how_to_read_an_output_read_it_as_they_are_printed(
    out, capsys, name, layout
):
    folder, right, manifest = out(name, f"output.layout={layout}")
    # What a pattern would take for it, too.
    for other in ("run 1", "aXXb1", "a*bX", "d1"):
        (folder.parent / other / "data").mkdir(parents=True)
        pq.write_table(pa.table({"a": [0.0]}), folder.parent / other / "data/part.parquet")
    capsys.readouterr()
    print_summary(manifest, str(folder))
    said = capsys.readouterr().out
    lines = dict(re.findall(r"^    (Python|pandas|polars|DuckDB) +(.+)$", said, re.M))
    assert [*lines] == ["Python", "pandas", "polars", "DuckDB"]
    names = {"hyperdiag": hyperdiag, "pandas": pandas, "polars": polars}
    frame = eval(lines["pandas"], names)
    assert [*map(_plain, frame.to_dict("records"))] == right
    assert eval(lines["Python"], names).to_pylist() == right
    assert eval(lines["polars"], names).collect().to_dicts() == right
    by_arrow = lines["DuckDB"].startswith("duckdb.")
    assert by_arrow == (name in ("back\\slash", "line\nof [two]"))
    names |= {"duckdb": duckdb, "pyarrow": pa}
    relation = eval(lines["DuckDB"], names) if by_arrow else duckdb.sql(lines["DuckDB"])
    rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    assert [*map(_plain, rows)] == right


def _plain(value):
    """Return arrays and tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(each) for each in value]
    return value

"""The main job, read by everybody who may want to."""

import json
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from .outcome import said

# In a process that ends without a word: threads of Ray Data outlive `ray.shutdown`, and Ray ends
# the whole process when one of them asks it for something.
READ_WITH_RAY_DATA = """
import os, sys
import numpy as np, ray
ray.init(address=sys.argv[1], log_to_driver=False)
dataset = ray.data.read_parquet(sys.argv[2])
shape = np.shape(np.stack(list(dataset.take(1)[0]["hessian_diag"])))
print(f"{dataset.count()} rows, {shape}", flush=True)
os._exit(0)
"""


@pytest.mark.slow
def test_main_job_is_read_by_every_reader_with_the_right_shapes(hyperdiag, tmp_path, ray_address):
    text = said(hyperdiag("derive", "output.path=out", "output.layout=tensor"))
    assert "100,000 rows read: 100,000 derived, 0 quarantined" in text
    data = str(tmp_path / "out/data")
    table = pq.read_table(data)
    assert table.num_rows == 100_000
    assert str(table.schema.field("jacobian").type).count("fixed_size_list") == 2
    frame = pd.read_parquet(data)
    assert (len(frame), len(frame["value"].iloc[0])) == (100_000, 8)
    lazy = pl.scan_parquet(f"{data}/*.parquet").select("jacobian", "hessian_diag")
    assert lazy.collect_schema()["hessian_diag"] == pl.Array(pl.Float32, (8, 10))
    assert lazy.select(pl.len()).collect().item() == 100_000
    shapes = "len(value), len(jacobian), len(jacobian[1]), len(hessian_diag), len(hessian_diag[8])"
    counted = duckdb.sql(f"SELECT {shapes}, count(*) FROM '{data}/*.parquet' GROUP BY ALL")
    assert counted.fetchall() == [(8, 8, 10, 8, 10, 100_000)]
    read = subprocess.run(
        [sys.executable, "-c", READ_WITH_RAY_DATA, ray_address, data],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "100000 rows, (8, 10)" in read.stdout, read.stderr
    manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
    value = np.stack(table["value"].combine_chunks().flatten().to_numpy().reshape(-1, 8))
    assert manifest["rows"]["ranges"]["value"] == [
        value.min(axis=0).tolist(),
        value.max(axis=0).tolist(),
    ]

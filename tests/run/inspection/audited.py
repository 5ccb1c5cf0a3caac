"""Rows of every kind, derived in four shards, for outputs that are read back."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.sink import RECEIPT
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit

DATA = "data/part-0000001.parquet"
BAD = "quarantine/part-0000001.parquet"
WEIGHTS = np.random.default_rng(1).standard_normal((3, 3))


def table_of(rows=400):
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


def derive_rows(folder, configure, *overrides):
    return derive(
        *configure(
            *("cluster=inline", "network=python", "network.target=tests.run.networks:wavy"),
            *("network.inputs=[a,b,c]", "dataset=parquet", f"dataset.path={folder}/in"),
            *("dataset.shard_rows=100", "derivatives.tile=8", "derivatives.method=hyperdual"),
            *("limits.max_bad_fraction=1", f"output.path={folder}/out", *overrides),
        )
    )


def write_rows(folder, table=None):
    (folder / "in").mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table_of() if table is None else table, folder / "in/x.parquet", row_group_size=50
    )


def audit_of(folder, shards=8, rows=16):
    return audit(str(folder / "out"), None, shards, rows)


def rewrite(path, change):
    """Change a data file's rows and keep its schema, its metadata and so its receipt."""
    with pq.ParquetFile(path) as file:
        table, metadata = file.read(), file.metadata.metadata
    changed = change(table)
    with pq.ParquetWriter(path, table.schema, write_page_checksum=True) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({RECEIPT: metadata[RECEIPT]})


def set_entry(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        at = table.schema.get_field_index(name)
        return table.set_column(
            at, table.schema.field(at), pa.array(values, table.schema.types[at])
        )

    return change

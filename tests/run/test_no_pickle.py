"""Pickles in a dataset do not run: what they are in is passed through, or refused."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from tests.networks.test_no_pickle import Payload


@pytest.fixture(autouse=True)
def _without_types_of_ray():
    """Take from Arrow the types of Ray that another test of this process brought; put them back."""
    name = "ray.data.arrow_tensor"
    schema = pa.schema([_field("c", pa.list_(pa.int64()), name, b"[2]")])
    kind = pa.ipc.read_schema(schema.serialize()).field("c").type
    known = isinstance(kind, pa.ExtensionType)
    if known:
        pa.unregister_extension_type(name)
    yield
    if known:
        pa.register_extension_type(kind)


def _field(name, kind, extension, payload):
    metadata = {"ARROW:extension:name": extension, "ARROW:extension:metadata": payload}
    return pa.field(name, kind, metadata=metadata)


def _schema(kind, payload):
    """Columns a and b, and one that a reader may be tempted to unpickle."""
    plain = [pa.field("a", pa.float64()), pa.field("b", pa.float64())]
    if kind == "pandas":
        described = {"index_columns": [], "columns": [{"name": "c", "pandas_type": "object"}]}
        metadata = {"pandas": json.dumps(described), "pickle": payload}
        return pa.schema([*plain, pa.field("c", pa.binary())], metadata=metadata)
    return pa.schema([*plain, _field("c", pa.list_(pa.float64()), kind, payload)])


@pytest.mark.parametrize(
    ("kind", "cluster"),
    [
        ("pandas", "inline"),
        ("arrow.py_extension_type", "inline"),
        ("ray.data.arrow_pickled_object", "inline"),
        ("ray.data.arrow_tensor", "existing"),  # its type is Ray's, and read by workers of Ray
    ],
)
def test_pickles_in_a_dataset_do_not_run(kind, cluster, configure, tmp_path, ray_address):
    mark = tmp_path / "mark"
    payload = pickle.dumps(Payload(mark))
    schema = _schema(kind, payload)
    odd = [payload, payload] if kind == "pandas" else [[1.0, 2.0], [3.0, 4.0]]
    values = ([1.0, 2.0], [3.0, 4.0], odd)
    columns = [pa.array(each, field.type) for each, field in zip(values, schema, strict=True)]
    table = pa.Table.from_arrays(columns, schema=schema)
    pq.write_table(table, tmp_path / "rows.parquet")
    place = (f"cluster={cluster}", f"cluster.address={ray_address}")
    derive(
        *configure(
            *("network=python", "network.target=tests.run.networks:rectified"),
            *("network.inputs=[a,b]", *place, "derivatives.method=hyperdual"),
            *("derivatives.tile=1", "derivatives.batch=2", "derivatives.verify_rows=0"),
            *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet"),
            *("cluster.workers=1", f"output.path={tmp_path}/out"),
        )
    )
    assert pq.read_table(tmp_path / "out/data")["c"].to_pylist() == odd
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists()  # it would have

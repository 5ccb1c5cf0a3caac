import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from hyperdiag.hyperdual import derivatives
from hyperdiag.networks import build_network

SETTINGS = {"name": "chain", "layers": "Chain(Dense(5,3,elu), Dense(3,2))"}
QUANTITIES = ("value", "jacobian", "hessian_diag")


@pytest.fixture
def cluster(ray_address):
    pytest.importorskip("pandas")
    ray.init(address=ray_address, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_plain_ray_data_writes_the_numbers_of_ours_beside_the_inputs(
    cluster, tmp_path, monkeypatch
):
    from hyperdiag.bench.plain_ray_data import BATCH, Derive, derive_folder  # late: needs pandas

    # Ray Data warns where there is less than a block for each actor.
    monkeypatch.setattr("hyperdiag.bench.plain_ray_data._BLOCK_ROWS", BATCH)
    network = build_network(SETTINGS)
    points = network.typical_points(BATCH + 50).astype(np.float32)
    (tmp_path / "rows").mkdir()
    for number, part in enumerate(np.split(points, [BATCH + 13])):
        table = pa.table(list(part.T), network.inputs)
        pq.write_table(table, tmp_path / f"rows/{number}.parquet")
    derive_folder(str(tmp_path / "rows"), str(tmp_path / "derived"), 2, Derive, SETTINGS)
    derived = pq.read_table(tmp_path / "derived").to_pydict()
    written = np.stack([derived[name] for name in network.inputs], axis=1)
    # Files come in any order.
    ours, theirs = np.lexsort(points.T), np.lexsort(written.T)
    np.testing.assert_array_equal(written[theirs], points[ours])
    bundle = derivatives(network.function, network.n_inputs, "hyperdual")
    for name, expected in zip(QUANTITIES, bundle(points), strict=True):
        expected = np.asarray(expected)[ours].reshape(len(points), -1)
        array = np.array(derived[name])[theirs]
        scale = np.abs(expected).max(axis=0)
        assert (np.abs(array - expected) <= 1e-3 * scale).all(), name

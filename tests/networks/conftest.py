"""Networks derived by the command on real workers, and what their derivatives are held against."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def derive_on_two_workers(invoke, ray_address, tmp_path):
    """Derive points (rows, n) by the command, in several shards.

    Returns value (rows, m), Jacobian and Hessian diagonal (rows, m, n), in the order of the points.
    """

    def run(points, names, *overrides):
        columns = dict(zip(names, points.T, strict=True))
        pq.write_table(
            pa.table({"row": np.arange(len(points)), **columns}), tmp_path / "in.parquet"
        )
        ended = invoke(
            "derive", "dataset=parquet", f"dataset.path={tmp_path}/in.parquet",
            f"output.path={tmp_path}/out", "output.layout=tensor", "dataset.shard_rows=40",
            "derivatives.method=hyperdual", "derivatives.tile=8", "cluster=existing",
            f"cluster.address={ray_address}", "cluster.workers=2", *overrides,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        out = pq.read_table(tmp_path / "out" / "data").sort_by("row")
        assert out["row"].to_pylist() == list(range(len(points)))
        return [np.array(out[name].to_pylist()) for name in ("value", "jacobian", "hessian_diag")]

    return run

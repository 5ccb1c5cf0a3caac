"""A cluster that has no room yet: Ray's own autoscaler starts real nodes when workers wait."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray

from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.run.derive import derive
from tests.ray_head import free_port, start_head
from tests.ray_node import processes, started

# What Ray's autoscaler expects to be named, though such nodes are mere processes here.
_COMMANDS = (
    *("cluster_synced_files", "initialization_commands", "setup_commands"),
    *("head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


@pytest.fixture
def growing(monkeypatch):
    """Start a head without CPUs whose autoscaler may add a node of two CPUs; return its address."""
    folder = Path(tempfile.mkdtemp(prefix="hd-"))  # short, since it holds sockets
    heads = []

    def start(most):
        port = free_port()
        address = f"127.0.0.1:{port}"
        node = {"resources": {"CPU": 2}, "node_config": {}, "min_workers": 0, "max_workers": most}
        head = {"resources": {}, "node_config": {}, "max_workers": 0}
        fake = {"type": "fake_multinode", "gcs_address": address, "launch_multiple": True}
        fake |= {"disable_node_updaters": True, "disable_launch_config_check": True}
        (folder / "autoscaling.json").write_text(
            json.dumps(
                {
                    **{"cluster_name": "test", "max_workers": most, "idle_timeout_minutes": 60},
                    **{"provider": fake, "head_node_type": "ray.head.default"},
                    "available_node_types": {"ray.head.default": head, "small": node},
                    **{"upscaling_speed": 1.0, "auth": {}, "file_mounts": {}},
                    **{key: [] for key in _COMMANDS},
                }
            )
        )
        monkeypatch.setenv("RAY_FAKE_CLUSTER", "1")
        monkeypatch.setenv("AUTOSCALER_UPDATE_INTERVAL_S", "1")
        heads.append(
            started(
                lambda attempt: start_head(
                    *(folder / f"head{attempt}", port, 0, "--include-dashboard=false"),
                    f"--autoscaling-config={folder}/autoscaling.json",
                )
            )
        )
        return address

    yield start
    for head in heads:
        head.kill()
        assert not processes(head.session)
    shutil.rmtree(folder, ignore_errors=True)


def _overrides(address, tmp_path):
    return [
        *("network=chain", "network.layers='Chain(Dense(2,3,tanh), Dense(3,1))'"),
        *("dataset.ranges={x1: [0,1], x2: [0,1]}", "dataset.rows=400", "dataset.shard_rows=100"),
        *("cluster=existing", f"cluster.address={address}", f"output.path={tmp_path}/out"),
    ]


@pytest.mark.chaos
def test_run_on_a_cluster_without_nodes_waits_for_the_one_that_its_autoscaler_adds(
    configure, growing, tmp_path
):
    address = growing(most=1)
    overrides = _overrides(address, tmp_path)
    with pytest.raises(UsageError, match=r"cluster\.min_workers=1 .* the cluster has CPUs for 0"):
        derive(*configure(*overrides, "cluster.workers=2"))
    with pytest.raises(UsageError, match=r"cluster\.autoscales=true needs cluster\.workers"):
        derive(*configure(*overrides, "cluster.autoscales=true"))
    both = ("cluster.workers=2", "cluster.min_workers=2", "cluster.autoscales=true")
    manifest = derive(*configure(*overrides, *both, "cluster.wait_seconds=60"))
    assert manifest.rows.derived == 400
    table = pq.read_table(tmp_path / "out/data")
    assert np.isfinite(table.column("d2_y1__d2_x1").to_numpy()).all()
    ray.init(address, logging_level="ERROR", log_to_driver=False)
    try:
        assert ray.cluster_resources()["CPU"] == 2  # the head has none
    finally:
        ray.shutdown()


@pytest.mark.chaos
def test_autoscaler_that_brings_no_node_ends_the_run_after_wait_seconds(
    configure, growing, tmp_path, monkeypatch
):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path / "cache"))  # so that there is to be timed
    overrides = [
        *(*_overrides(growing(most=0), tmp_path), "cluster.workers=1", "cluster.autoscales=true"),
        "cluster.wait_seconds=3",
    ]
    with pytest.raises(HyperdiagError, match=r"brought no node for a worker in 3 s"):
        derive(*configure(*overrides))
    with pytest.raises(HyperdiagError, match=r"0 workers, fewer than the 1 of cluster\.min_w"):
        derive(*configure(*overrides, "derivatives.method=hyperdual", "derivatives.tile=8"))
    assert not (tmp_path / "out/_SUCCESS").exists()

"""Workers that join late and leave early, as nodes of a real cluster come and go."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.run.derive import derive
from hyperdiag.run.monitoring.heartbeat_listener import HeartbeatListener

from .cluster import Cluster


@pytest.fixture
def one_node():
    cluster = Cluster(1)
    yield cluster
    cluster.close()


@pytest.fixture
def slow_run(configure, tmp_path, one_node):
    """Derive two hundred shards, each of which takes a second or so while there is a marker."""
    (tmp_path / "slow").touch()
    columns = {"x1": np.linspace(-1, 1, 800), "x2": np.arange(800) / 7}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=4)

    def run(*overrides):
        return derive(
            *configure(
                *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet"),
                *("dataset.shard_rows=4", "network=python", "network.n_inputs=2"),
                "network.target=tests.run.networks:slow",
                f"network.kwargs={{marker: '{tmp_path}/slow'}}",
                *("derivatives.method=double_forward", "derivatives.batch=4"),
                *("derivatives.verify_rows=0", f"output.path={tmp_path}/out"),
                *("limits.max_attempts=20", "cluster=existing", "cluster.pin=false"),
                *(f"cluster.address={one_node.address}", *overrides),
            )
        )

    return run


@pytest.mark.chaos
@pytest.mark.parametrize("workers", [2, "null"])
def test_workers_join_when_a_node_comes_and_leave_with_their_node(
    slow_run, one_node, tmp_path, monkeypatch, workers
):
    seen, after_loss = [], []
    original = HeartbeatListener.tick

    def watch(listener, snapshot):
        original(listener, snapshot)
        if not seen:
            one_node.add_node()
        seen.append(snapshot.workers)
        if snapshot.workers == 2 and len(one_node.nodes) == 2:
            one_node.kill_node(one_node.nodes[0])
        elif len(one_node.nodes) == 1 and 2 in seen:
            after_loss.append(snapshot.workers)
            if 1 in after_loss:
                (tmp_path / "slow").unlink(missing_ok=True)

    monkeypatch.setattr(HeartbeatListener, "tick", watch)
    manifest = slow_run(f"cluster.workers={workers}")
    assert manifest.rows.derived == 800
    assert seen[0] == 1
    assert max(seen) == 2
    assert 1 in after_loss


@pytest.mark.chaos
def test_run_without_enough_workers_for_too_long_stops_and_goes_on_when_there_are(
    slow_run, one_node, monkeypatch, tmp_path
):
    original = HeartbeatListener.tick

    def lose_the_node(listener, snapshot):
        original(listener, snapshot)
        (tmp_path / "slow").unlink(missing_ok=True)
        if one_node.nodes and snapshot.rows_read > 40:
            one_node.kill_node(one_node.nodes[0])

    with monkeypatch.context() as patch:
        patch.setattr(HeartbeatListener, "tick", lose_the_node)
        with pytest.raises(HyperdiagError, match=r"0 workers, fewer than the 1 of cluster\.min"):
            slow_run("cluster.wait_seconds=30")
    assert 0 < len(list((tmp_path / "out/data").iterdir())) < 200
    one_node.restore()
    assert slow_run().rows.derived == 800

"""Real nodes on which workers cannot start: each is named and left out, the others do the run."""

import os
from contextlib import closing

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray

from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.run.derive import derive
from hyperdiag.run.workers.ray_actors import WorkerGroup
from tests.chaos.cluster import Cluster
from tests.ray_node import wait_for

pytestmark = pytest.mark.slow
KINDS = ("other build", "without package", "broken device", "deadly")


@pytest.fixture(scope="module")
def cluster():
    """A good node, and one of each kind of bad ones; there is nothing on the head."""
    with closing(Cluster(1)) as cluster:
        for kind in KINDS:  # one by one: a busy machine does not start five at once in time
            cluster.add_node(HYPERDIAG_TEST_NODE=kind)
            wait_for(cluster.nodes[-1].is_up, "a node does not start")
        yield cluster


@pytest.fixture
def run(cluster, configure, tmp_path):
    def run(*overrides):
        return derive(
            *configure(
                *("network=python", "network.n_inputs=2", "dataset.rows=400"),
                *("network.target=tests.run.networks:by_node", "dataset.shard_rows=50"),
                *("dataset.ranges={x1: [0, 1], x2: [0, 1]}", f"output.path={tmp_path}/out"),
                *("cluster=existing", f"cluster.address={cluster.address}", "cluster.pin=false"),
                *overrides,
            )
        )

    return run


FIXED = ("derivatives.method=hyperdual", "derivatives.tile=8")


def test_bad_nodes_are_named_and_left_out_and_the_good_one_does_the_run(
    run, tmp_path, caplog, monkeypatch
):
    # All five are waited for, so that each fault is seen.
    monkeypatch.setattr(WorkerGroup, "least", property(lambda group: len(group.handles)))
    manifest = run(*FIXED)
    assert manifest.rows.derived == 400
    x = np.stack([pq.read_table(tmp_path / "out/data")[name].to_numpy() for name in ("x1", "x2")])
    y = pq.read_table(tmp_path / "out/data")["y2"].to_numpy()
    np.testing.assert_allclose(y, np.tanh(2 * x[0] + 3 * x[1]), rtol=0, atol=1e-6)
    said = [record.getMessage() for record in caplog.records]
    left_out = [message for message in said if "is left out of this run" in message]
    assert len(left_out) == len(KINDS), said
    for words in ("was planned with digest", "a_module_that_no_node_has", "ECC", "workers die"):
        assert sum(words in message for message in left_out) == 1, left_out
    assert all("the node at 127.0." in message for message in left_out)


def test_run_that_needs_more_workers_than_the_good_nodes_have_room_for_ends_naming_the_bad(run):
    with pytest.raises(HyperdiagError) as error:
        run(*FIXED, "cluster.min_workers=3", "cluster.workers=5")
    sentence = str(error.value)
    assert "fewer than the 3 that the run needs (cluster.min_workers)" in sentence
    assert sentence.count("127.0.") >= 2
    assert "\n" not in sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hides a folder from a process")
def test_node_that_does_not_see_the_output_is_named_and_left_out(
    configure, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(WorkerGroup, "least", property(lambda group: len(group.handles)))
    shared = tmp_path / "shared"
    shared.mkdir()
    with closing(Cluster(1)) as cluster:
        cluster.add_node(hidden=shared)
        wait_for(cluster.nodes[-1].is_up, "a node does not start")
        manifest = derive(
            *configure(
                *("network=python", "network.n_inputs=2", "dataset.rows=400"),
                *("network.target=tests.run.networks:norm", "dataset.shard_rows=50"),
                *("dataset.ranges={x1: [0, 1], x2: [0, 1]}", f"output.path={shared}/out"),
                *("cluster=existing", f"cluster.address={cluster.address}", "cluster.pin=false"),
                *FIXED,
            )
        )
    assert manifest.rows.derived == 400
    assert pq.read_table(shared / "out/data").num_rows == 400
    (said,) = [
        record.getMessage()
        for record in caplog.records
        if "is left out of this run" in record.getMessage()
    ]
    assert f"{shared}/out is not the output of this run, seen from here" in said


def test_methods_are_timed_on_another_node_where_one_cannot(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path / "cache"))  # so that there is to be timed
    assert run().rows.derived == 400
    assert not ray.is_initialized()

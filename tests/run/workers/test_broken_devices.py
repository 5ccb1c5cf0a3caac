"""Devices that fail every call: their workers are replaced, and no shard is given up for it."""

from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.run.derive import derive
from hyperdiag.run.workers import ray_actors
from hyperdiag.run.workers.broken_devices import BrokenDevices
from hyperdiag.run.workers.worker_actor import Address
from tests.chaos.cluster import Cluster
from tests.ray_node import wait_for


@pytest.fixture
def run(configure, ray_address, tmp_path):
    def run(*overrides, target="device_breaks"):
        x1 = np.linspace(-1, 1, 600)
        x1[130] = 666.0
        table = pa.table({"x1": x1, "x2": np.arange(600) / 7.0})
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
        manifest = derive(
            *configure(
                *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet"),
                *("network=python", f"network.target=tests.run.networks:{target}"),
                *("network.n_inputs=2", "dataset.shard_rows=50", f"output.path={tmp_path}/out"),
                *("cluster=existing", f"cluster.address={ray_address}", "limits.retry_seconds=0.2"),
                *("derivatives.method=hyperdual", "derivatives.tile=8", *overrides),
            )
        )
        return x1, manifest

    return run


def test_worker_whose_device_fails_from_some_time_on_is_replaced(run, tmp_path, caplog):
    # With a single attempt, a failure that is held against its shard would end the run incomplete.
    marker = tmp_path / "marker"
    x1, manifest = run(f"network.kwargs={{marker: '{marker}'}}", "limits.max_attempts=2")
    assert marker.exists()
    assert manifest.rows.derived == 600
    written = pq.read_table(tmp_path / "out/data").to_pydict()
    np.testing.assert_allclose(written["y1"], np.tanh(x1), rtol=0, atol=1e-6)
    said = [record.getMessage() for record in caplog.records]
    ended = [message for message in said if "a worker is ended, since its device" in message]
    assert len(ended) == 1, said
    assert "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered" in ended[0]
    assert "\n" not in ended[0]


def test_run_whose_every_device_fails_ends_and_says_so(run, tmp_path, caplog):
    with pytest.raises(HyperdiagError, match="the device fails, and 2 workers in a row") as error:
        run("limits.max_attempts=2")
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in str(error.value)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "out/data").iterdir()) == []
    said = [record.getMessage() for record in caplog.records]
    # A third where it has started before the second one failed.
    assert sum("a worker is ended" in message for message in said) in (2, 3)
    assert not any("attempt 1" in message for message in said), said


@pytest.mark.slow
def test_device_beside_others_that_work_is_given_up_and_they_go_on(
    run, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(ray_actors, "_SIZE_CHECK_SECONDS", 0.1)  # so that it would be tried again
    folder = tmp_path / "failures"
    folder.mkdir()
    _, manifest = run(
        *("limits.max_attempts=2", f"network.kwargs={{folder: '{folder}', seconds: 3}}"),
        target="devices_fail_but_for_one",
    )
    assert manifest.rows.derived == 600
    said = [record.getMessage() for record in caplog.records]
    assert sum("a worker is ended" in message for message in said) == 2
    (given_up,) = [message for message in said if "the others on its node go on" in message]
    assert "2 workers in a row" in given_up
    assert not any("left out" in message or "has grown" in message for message in said), said


@pytest.mark.slow
def test_node_on_which_one_worker_after_another_fails_is_left_out(configure, tmp_path, caplog):
    failures = tmp_path / "failures"
    failures.mkdir()
    with closing(Cluster(1)) as cluster:
        cluster.add_node(HYPERDIAG_TEST_NODE="failing device")
        wait_for(cluster.nodes[-1].is_up, "a node does not start")
        manifest = derive(
            *configure(
                *("network=python", "network.target=tests.run.networks:device_fails_on_a_node"),
                *("network.n_inputs=2", f"network.kwargs={{folder: '{failures}'}}"),
                *("dataset.rows=800", "dataset.shard_rows=50", f"output.path={tmp_path}/out"),
                *("dataset.ranges={x1: [0, 1], x2: [1, 2]}", "limits.max_attempts=2"),
                *("cluster=existing", f"cluster.address={cluster.address}", "cluster.pin=false"),
                *("derivatives.method=hyperdual", "derivatives.tile=8", "limits.retry_seconds=0.2"),
            )
        )
    assert manifest.rows.derived == 800
    said = [record.getMessage() for record in caplog.records]
    (left_out,) = [message for message in said if "is left out of this run" in message]
    assert "the node at 127.0." in left_out
    assert "2 workers in a row could not derive a shard with it: RuntimeError: CUDA_ERROR_ECC" in (
        left_out
    )
    assert sum("a worker is ended" in message for message in said) == 2


A, B, C = (Address(node, 1, "", devices) for node, devices in (("n", "0"), ("n", "1"), ("m", "0")))


def test_device_is_broken_after_so_many_workers_in_a_row():
    broken = BrokenDevices(2)
    for address in (A, B):
        broken.record(address)
    assert not broken.at(A)
    broken.forget(B)
    for address in (A, B):
        broken.record(address)
    assert [broken.at(address) for address in (A, B, C)] == [True, False, False]


def test_all_devices_are_broken_after_as_many_workers_as_all_would_take():
    broken = BrokenDevices(2)
    for node in "abc":  # as an autoscaler brings them, one after another
        assert not broken.everywhere(2)
        broken.record(Address(node, 1, ""))
    broken.record(Address("d", 1, ""))
    assert broken.everywhere(2)
    broken.forget(Address("e", 1, ""))
    assert not broken.everywhere(2)

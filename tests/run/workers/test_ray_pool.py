"""Real workers on a real cluster, really killed."""

import re
import socket
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray._private.services import resolve_ip_for_localhost

from hyperdiag.messages.errors import RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.workers import call_size
from hyperdiag.run.workers.shard_queue import ShardQueue

SIMPLE = ["derivatives.method=hyperdual", "derivatives.tile=8"]  # timing them takes its time


@pytest.fixture
def rows(tmp_path):
    def write(x1, row_group_size=50):
        table = pa.table({"x1": np.asarray(x1, float), "x2": np.arange(len(x1)) / 7.0})
        pq.write_table(table, tmp_path / "rows.parquet", row_group_size=row_group_size)
        return [
            *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet", "dataset.shard_rows=50"),
            *("network=python", "network.n_inputs=2", f"output.path={tmp_path}/out"),
        ]

    return write


def _read(tmp_path):
    return pq.read_table(tmp_path / "out/data").to_pydict()


@pytest.fixture
def on_cluster(ray_address):
    return [
        *("cluster=existing", f"cluster.address={ray_address}", "cluster.workers=2"),
        *(*SIMPLE, "limits.retry_seconds=0.2"),
    ]


def test_shard_that_kills_its_worker_once_is_done_by_another(
    configure, rows, on_cluster, tmp_path, caplog
):
    x1 = np.linspace(-1, 1, 400)
    x1[130] = 666.0
    overrides = rows(x1)
    marker = tmp_path / "marker"
    manifest = derive(
        *configure(
            *overrides,
            *on_cluster,
            "network.target=tests.run.networks:killer",
            f"network.kwargs={{marker: '{marker}'}}",
        )
    )
    assert marker.exists()
    assert manifest.rows.derived == 400
    np.testing.assert_allclose(_read(tmp_path)["y1"], np.tanh(x1), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_shard_that_always_kills_its_worker_is_given_up_and_the_others_are_done(
    configure, rows, on_cluster, tmp_path
):
    x1 = np.linspace(-1, 1, 400)
    x1[130] = 666.0
    overrides = [
        *(*rows(x1), *on_cluster, "network.target=tests.run.networks:killer"),
        "limits.max_attempts=2",
    ]
    with pytest.raises(RunIncomplete, match=r"1 of 8 shards failed.*\n.*shard 2 .*worker died"):
        derive(*configure(*overrides))
    assert not (tmp_path / "out/_SUCCESS").exists()
    kept = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert kept == [f"part-{shard:07d}.parquet" for shard in (0, 1, 3, 4, 5, 6, 7)]


@pytest.fixture
def together(monkeypatch):
    """Let workers get small shards of 10 rows together, as a thousand would; return the numbers."""
    monkeypatch.setattr(call_size, "_CALLS_PER_SECOND", 0.1)
    numbers = []

    def take(queue, *arguments):
        shards = _take(queue, *arguments)
        numbers.append(len(shards))
        return shards

    _take = ShardQueue.take
    monkeypatch.setattr(ShardQueue, "take", take)
    return numbers


@pytest.mark.slow
def test_shard_that_fails_takes_none_of_those_with_it_that_a_worker_got_together(
    configure, rows, on_cluster, tmp_path, together
):
    x1 = np.linspace(-1, 1, 600)
    x1[305] = 666.0
    overrides = [*rows(x1, row_group_size=10), *on_cluster, "dataset.shard_rows=10"]
    overrides += ["network.target=tests.run.networks:trusted", "limits.max_attempts=2"]
    overrides += ["network.kwargs={weights: w.npz, api_token: tell-nobody}"]
    with pytest.raises(RunIncomplete, match=r"1 of 60 shards failed.*\n.*shard 30 ") as failed:
        derive(*configure(*overrides))
    assert "tell-nobody" not in str(failed.value)
    assert max(together) > 4
    assert len(list((tmp_path / "out/data").iterdir())) == 59


@pytest.mark.slow
def test_shard_that_kills_its_worker_is_found_among_those_that_it_got_together(
    configure, rows, on_cluster, tmp_path, together, caplog
):
    x1 = np.linspace(-1, 1, 600)
    x1[305] = 666.0
    overrides = [*rows(x1, row_group_size=10), *on_cluster, "dataset.shard_rows=10"]
    overrides += ["network.target=tests.run.networks:killer", "limits.max_attempts=2"]
    with pytest.raises(RunIncomplete, match=r"1 of 60 shards failed.*\n.*shard 30 .*worker died"):
        derive(*configure(*overrides))
    assert max(together) > 4
    assert len(list((tmp_path / "out/data").iterdir())) == 59
    failures = [int(number) for number in re.findall(r"shard (\d+) failed", caplog.text)]
    assert failures.count(30) == 2
    assert len(set(failures)) > 4  # what was under way with it, each tried once more


@pytest.mark.slow
def test_pool_leaves_the_cluster_as_it_found_it(configure, rows, on_cluster, ray_address, tmp_path):
    overrides = [*rows(np.zeros(10)), "network.target=tests.run.networks:rectified", *on_cluster]
    derive(*configure(*overrides))
    assert not ray.is_initialized()
    ray.init(address=ray_address, log_to_driver=False)
    try:
        deadline = time.monotonic() + 30
        while ray.available_resources().get("CPU") != 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_bits_do_not_depend_on_the_cores_of_a_worker(configure, rows, ray_address, tmp_path):
    overrides = [
        *rows(np.linspace(-1, 1, 400)),
        *("network.target=tests.run.networks:rectified", *SIMPLE),
        *("cluster=existing", f"cluster.address={ray_address}"),
    ]
    written = []
    for cores in (1, 2):  # of two: with two workers, or with one
        folder = tmp_path / f"of {cores}"
        manifest = derive(
            *configure(
                *(*overrides, f"output.path='{folder}'", f"cluster.cpus_per_worker={cores}"),
                f"cluster.workers={2 // cores}",
            )
        )
        assert manifest.rows.derived == 400
        written.append({path.name: path.read_bytes() for path in (folder / "data").iterdir()})
    assert len(written[0]) == 8
    assert written[0] == written[1]


def test_more_workers_than_the_run_begins_without_are_refused(configure, rows, ray_address):
    with pytest.raises(UsageError, match=r"cluster\.min_workers=5 with 1 CPU each.*CPUs for 2"):
        derive(
            *configure(
                *(*rows(np.zeros(3)), "network.target=tests.run.networks:rectified"),
                *("cluster=existing", f"cluster.address={ray_address}", "cluster.min_workers=5"),
            )
        )


def test_gpus_that_the_cluster_lacks_are_refused(configure, rows, on_cluster):
    with pytest.raises(UsageError, match="GPUs for 0"):
        derive(
            *configure(
                *(*rows(np.zeros(3)), "network.target=tests.run.networks:rectified"),
                *(*on_cluster, "cluster.gpus_per_worker=2"),
            )
        )


def test_address_that_ray_turns_into_another_is_tried_there(configure, rows):
    """Somebody listens on 127.0.0.1, nobody on the address of this machine that Ray would take."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        if resolve_ip_for_localhost("127.0.0.1") == "127.0.0.1":
            pytest.skip("this machine has no other address")
        began = time.monotonic()
        with pytest.raises(UsageError, match=rf"no Ray cluster at {address} .*refused"):
            derive(
                *configure(
                    *(*rows(np.zeros(3)), "network.target=tests.run.networks:rectified"),
                    *("cluster=existing", f"cluster.address={address}"),
                    *("derivatives.method=hyperdual", "derivatives.tile=8"),
                )
            )
        assert time.monotonic() - began < 10  # Ray asks for forty seconds at least


def test_cluster_that_is_not_there_is_refused(configure, rows):
    with pytest.raises(UsageError, match=r"no Ray cluster at 127\.0\.0\.1:1 .*ray start --head"):
        derive(
            *configure(
                *(*rows(np.zeros(3)), "network.target=tests.run.networks:rectified"),
                *("cluster=existing", "cluster.address=127.0.0.1:1"),
            )
        )

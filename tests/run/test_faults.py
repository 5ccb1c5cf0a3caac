"""What goes wrong while a run is at work: devices without memory, hung workers, full disks."""

import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import Busy, HyperdiagError, OutputError, RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.monitoring.monitor import Monitor

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
NETWORKS = "tests.run.networks"

_WITH_LITTLE_MEMORY = """
import resource, sys
import numpy as np
from hydra import compose, initialize_config_dir
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.config.schema import load_config
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.worker import Worker

with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
    config = load_config(compose("derive", sys.argv[1:]))
worker = Worker(make_plan(config).plan, config.output.path)
warm = Worker(worker.plan, config.output.path)  # threads and compilers have what they need
warm._batch = warm.kernel.at_once = 256
warm.kernel(np.ones((256, 2), np.float32))
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (160 << 20), -1))
worker.kernel(np.ones((8192, 2), np.float32))
"""


@pytest.mark.slow
def test_device_without_memory_for_rows_in_no_tiles_is_named_with_the_mend(tmp_path):
    """The memory of a process is limited for real; XLA's own message is what is acted upon."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", _WITH_LITTLE_MEMORY, "network=python", "cluster=inline"),
            *(f"network.target={NETWORKS}:large", "network.n_inputs=2", "dataset.rows=8192"),
            *("dataset.ranges={x1: [0, 1], x2: [0, 1]}", f"output.path={tmp_path}/out"),
            *("derivatives.method=double_forward", "derivatives.batch=8192"),
            "derivatives.verify_rows=0",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "the device has no memory for 8192 rows at once (" in done.stderr
    assert "Out of memory" in done.stderr  # XLA's own words
    assert "take derivatives.tile=2048" in done.stderr


@pytest.fixture
def rows(tmp_path):
    x1 = np.linspace(-1, 1, 400)
    x1[130] = 666.0
    table = pa.table({"x1": x1, "x2": np.arange(400) / 7.0})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
    return [
        *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet", "dataset.shard_rows=50"),
        *("network=python", "network.n_inputs=2", f"output.path={tmp_path}/out"),
        *("derivatives.method=double_forward", "derivatives.tile=8", "limits.retry_seconds=0.2"),
    ]


@pytest.fixture
def on_cluster(ray_address):
    return ["cluster=existing", f"cluster.address={ray_address}", "cluster.workers=2"]


def _kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "out/data").iterdir())


@pytest.mark.slow
def test_worker_that_hangs_is_ended_and_its_shard_done_by_another(
    configure, rows, on_cluster, tmp_path, caplog
):
    marker = tmp_path / "marker"
    kwargs = [f"network.target={NETWORKS}:sleeper", f"network.kwargs={{marker: '{marker}'}}"]
    manifest = derive(*configure(*rows, *on_cluster, *kwargs, "limits.shard_seconds=3"))
    assert marker.exists()
    assert manifest.rows.derived == 400
    assert list((tmp_path / "out/run/scratch").iterdir()) == []  # what it had under way is gone
    assert any(
        "was ended (limits.shard_seconds=3 is" in record.message for record in caplog.records
    )


@pytest.mark.slow
def test_workers_that_hang_at_their_start_end_the_run_with_the_mend(configure, rows, on_cluster):
    kwargs = [f"network.target={NETWORKS}:asleep", "network.kwargs={seconds: 60.0}"]
    with pytest.raises(HyperdiagError, match=r"a worker cannot start: .*limits\.start_seconds"):
        derive(*configure(*rows, *on_cluster, *kwargs, "limits.start_seconds=3"))


def _workers():
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("ray::WorkerActor" in word for word in process.info["cmdline"] or [])
        and process.environ().get("RAY_AUTH_TOKEN") == os.environ["RAY_AUTH_TOKEN"]
    ]


@pytest.mark.slow
def test_worker_that_is_stopped_without_dying_is_ended_and_replaced(
    configure, rows, on_cluster, tmp_path, monkeypatch
):
    """SIGSTOP: it neither works nor dies, and listens to nobody."""
    stopped = []
    original = Monitor.tick

    def stop_one(monitor):
        if not stopped:
            stopped.extend([w for w in _workers() if not w.name().endswith("start")][:1])
            stopped[0].send_signal(signal.SIGSTOP)
        original(monitor)

    monkeypatch.setattr(Monitor, "tick", stop_one)
    target = f"network.target={NETWORKS}:rectified"
    manifest = derive(*configure(*rows, *on_cluster, target, "limits.shard_seconds=3"))
    assert manifest.rows.derived == 400
    assert psutil.wait_procs(stopped, timeout=20)[1] == []


def test_when_every_shard_fails_the_run_stops_after_some_and_says_why(
    configure, rows, tmp_path, monkeypatch
):
    """Eight shards of four hundred rows: the input goes away while the run is at work."""
    overrides = [*rows, "cluster=inline", f"network.target={NETWORKS}:rectified"]
    overrides += ["dataset.shard_rows=10", "limits.retry_seconds=0"]
    table = pq.read_table(tmp_path / "rows.parquet")
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=10)
    original = Monitor.tick

    def remove(monitor):
        (tmp_path / "rows.parquet").unlink(missing_ok=True)
        original(monitor)

    monkeypatch.setattr(Monitor, "tick", remove)
    with pytest.raises(RunIncomplete, match=r"10 of 40 shards failed .*stopped there; 1 are done"):
        derive(*configure(*overrides))
    assert len(_kept(tmp_path)) == 1
    monkeypatch.setattr(Monitor, "tick", original)


@pytest.mark.slow
def test_damaged_file_of_many_shards_fails_alone_and_the_other_files_are_done(book):
    for name in ("a", "d"):
        book.write(name, 24)
        path = book.folder / f"{name}.parquet"
        whole = path.read_bytes()
        rows = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # before the footer
        path.write_bytes(b"\xff" * rows + whole[rows:])
    fresh = ("output.mode=overwrite", "limits.retry_seconds=0", "limits.max_attempts=1")
    with pytest.raises(RunIncomplete, match=r"24 of 30 shards failed; the others are kept"):
        book.derive(*fresh)
    assert len(list((book.out / "data").iterdir())) == 6
    # Now that nothing else is left, they are not tried one and all again.
    with pytest.raises(RunIncomplete, match=r"13 of 30 shards failed .*stopped there; 6 are done"):
        book.derive(*fresh[1:])


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small filesystem is not allowed here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("cluster", ["inline", pytest.param("on_cluster", marks=pytest.mark.slow)])
def test_full_disk_stops_the_run_with_the_path_and_a_mend_and_it_goes_on_after(
    configure, small_disk, on_cluster, cluster
):
    overrides = [
        *("dataset.rows=20000", "dataset.shard_rows=500", f"output.path={small_disk}/out"),
        *(
            "network=chain",
            "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}",
        ),
        *("derivatives.method=hyperdual", "derivatives.tile=64"),
        *(["cluster=inline"] if cluster == "inline" else on_cluster),
    ]
    with pytest.raises(OutputError, match=r"cannot write .*disk/out/.*Free space.*same command"):
        derive(*configure(*overrides))
    kept = {path.name: path.stat().st_mtime_ns for path in (small_disk / "out/data").iterdir()}
    assert 0 < len(kept) < 40
    assert all(pq.read_table(small_disk / "out/data" / name).num_rows == 500 for name in kept)
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    manifest = derive(*configure(*overrides))
    assert manifest.rows.derived == 20000
    now = {name: (small_disk / "out/data" / name).stat().st_mtime_ns for name in kept}
    assert now == kept  # what was finished was not done again
    assert list((small_disk / "out/run/scratch").iterdir()) == []


def test_disk_that_is_full_from_the_start_is_a_usage_error(configure, small_disk):
    (small_disk / "ballast").write_bytes(bytes((2 << 20) - 4096))
    overrides = ("network=chain", "dataset.rows=10", f"output.path={small_disk}/out")
    method = ("derivatives.method=hyperdual", "derivatives.tile=8", "cluster=inline")
    with pytest.raises(UsageError, match="cannot write"):
        derive(*configure(*overrides, BOX, *method))


@pytest.mark.slow
def test_permission_denied_names_the_place_and_the_run_goes_on_after_the_mend(tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    # Permissions do not hold for root, unless it gives that privilege up.
    unprivileged = ["setpriv", "--bounding-set=-dac_override"] if os.getuid() == 0 else []
    overrides = [
        *("network=chain", BOX, "dataset.rows=100", f"output.path={tmp_path}/out"),
        *("cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=8"),
    ]

    def run(job):
        return subprocess.run(
            [*unprivileged, sys.executable, "-m", "hyperdiag", job, *overrides],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    denied = run("derive")
    assert denied.returncode == 2, denied.stderr
    assert run("plan").stderr == denied.stderr
    assert f"cannot write {tmp_path}/out" in denied.stderr
    assert "Permission denied" in denied.stderr
    assert "Traceback" not in denied.stderr
    (tmp_path / "out").chmod(0o777)
    assert run("derive").returncode == 0


def test_two_runs_at_once_on_one_output_are_one_run_and_a_refusal(configure, rows, tmp_path):
    overrides = [*rows, "cluster=inline", f"network.target={NETWORKS}:rectified"]
    refused = []
    original = Monitor.tick

    def second(monitor):
        if not refused:
            with pytest.raises(Busy, match=r"another run is at work .*process \d+ on") as error:
                derive(*configure(*overrides))
            refused.append(error)
        original(monitor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "tick", second)
        assert derive(*configure(*overrides)).rows.derived == 400
    assert len(refused) == 1

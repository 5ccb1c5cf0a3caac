"""What is worked round in Ray: signal handlers, command lines, its folder, what it listens on."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray
from hydra import compose, initialize_config_dir
from ray._private import node
from ray._private import utils as ray_utils
from ray.exceptions import RayError

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.ray_cluster import join
from hyperdiag.run.cluster.ray_thread import RayThread
from hyperdiag.run.cluster.ray_workarounds import (
    LONGEST_FOLDER,
    hear_sigterm,
    masked_entrypoint,
    no_word_of_the_thread,
    read_authentication_anew,
    waiting_in_steps,
)
from hyperdiag.run.derive import derive
from hyperdiag.run.monitoring.monitor import Monitor


@pytest.fixture(scope="module")
def local_run():
    """What was seen of a run with a Ray of its own, when its worker had done a shard.

    Attributes:
        folder: of its temporary files, by now without any.
        made: (path, mode) of what was in the folder.
        sockets: all there were.
        hosts: that its processes listened on, an entry for each port.
        handler: of SIGTERM.
    """
    seen = SimpleNamespace()
    children, listening = _children(), _listening([psutil.Process()])

    def look(monitor):
        if not hasattr(seen, "hosts"):
            seen.made = [(path, path.stat().st_mode & 0o777) for path in seen.folder.iterdir()]
            seen.sockets = list(seen.folder.rglob("sockets/*"))
            ours = [child for child in _children() if child not in children]
            ours += [each for child in ours for each in child.children(recursive=True)]
            names = [" ".join(process.cmdline()) for process in ours]
            assert any("WorkerActor" in name for name in names), names
            seen.hosts = [host for host, _ in _listening([psutil.Process(), *ours]) - listening]
            seen.handler = signal.getsignal(signal.SIGTERM)
            seen.variables = {name: os.environ.get(name) for name in _AUTHENTICATION}
            seen.commands = " ".join(names)
            address = ray.get_runtime_context().gcs_address
            token = seen.variables["RAY_AUTH_TOKEN"]
            seen.answers = [
                _ask_store(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token),
                _ask_store(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
                _ask_store(address, RAY_AUTH_MODE="disabled"),
            ]
        tick(monitor)

    tick = Monitor.tick
    with tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp") as folder:
        # As long a path as may be.
        seen.folder = Path(folder, "t" * (LONGEST_FOLDER - len(f"{folder}//hd-12345678")))
        seen.folder.mkdir()
        overrides = (
            *("network=python", "network.n_inputs=2", "network.outputs=[u,v]"),
            *("network.target=tests.run.networks:rectified", "dataset.rows=40"),
            *("dataset.shard_rows=10", "dataset.ranges={x1: [0, 1], x2: [0, 1]}"),
            *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.verify_rows=0"),
            *("cluster=local", "cluster.workers=1", f"output.path={folder}/out"),
        )
        with pytest.MonkeyPatch.context() as patch:
            # As where nobody has said how to authenticate; and no home but this one.
            for name in _AUTHENTICATION:
                patch.delenv(name, raising=False)
            seen.home = Path(folder, "home")
            patch.setenv("HOME", str(seen.home))
            read_authentication_anew()
            patch.setattr(tempfile, "tempdir", str(seen.folder))
            patch.setattr(Monitor, "tick", look)
            with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
                config = load_config(compose("derive", list(overrides)))
            assert derive(config, "").rows.derived == 40
        read_authentication_anew()
        seen.left = list(seen.folder.iterdir())
        yield seen


_AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


# Who may ask Ray's control store may run anything on the cluster.
_ASK = """
import sys
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).internal_kv_keys(b"", None))
"""


def _ask_store(address, **variables):
    """Return whether the control store at an address answers."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, address],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def _children():
    return psutil.Process().children()


def _listening(processes):
    """Return (host, port) of all that processes listen on."""
    return {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.slow
def test_local_run_listens_on_loopback_alone(local_run):
    assert len(local_run.hosts) >= 5  # driver, control store, node, agent, worker
    assert set(local_run.hosts) == {"127.0.0.1"}


@pytest.mark.slow
def test_ray_of_our_own_asks_for_a_token_that_nobody_else_has(local_run):
    assert local_run.variables["RAY_AUTH_MODE"] == "token"
    assert len(local_run.variables["RAY_AUTH_TOKEN"]) == 64
    assert local_run.answers == [True, False, False]
    assert local_run.variables["RAY_AUTH_TOKEN"] not in local_run.commands
    assert not local_run.home.exists()  # Ray would leave one there


@pytest.mark.slow
def test_folder_of_a_ray_of_our_own_is_nobody_elses_to_enter(local_run):
    ((path, mode),) = local_run.made
    assert mode == 0o700
    assert len(str(path)) == LONGEST_FOLDER
    assert local_run.sockets
    assert all(socket.is_relative_to(path) for socket in local_run.sockets)
    assert local_run.left == []


@pytest.mark.slow
def test_start_of_ray_leaves_the_handler_of_signals_alone(local_run):
    assert isinstance(local_run.handler.__self__, StopSignals)


def test_sigterm_is_heard_by_python_alone_once_ray_has_started(ray_address, capfd):
    """Ray's own handler prints a stack, calls Python's, and aborts three seconds later."""
    numbers = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    thread = RayThread()
    try:
        with no_word_of_the_thread():
            thread.call(lambda: ray.init(ray_address, log_to_driver=False), 60, "no Ray")
        hear_sigterm()
        capfd.readouterr()
        signal.raise_signal(signal.SIGTERM)
        assert numbers == [signal.SIGTERM]
        assert signal.alarm(0) == 0
        assert capfd.readouterr().err == ""
    finally:
        signal.alarm(0)
        thread.call(ray.shutdown, 60, "no end")
        thread.end()
        signal.signal(signal.SIGTERM, before)


def test_wait_for_the_port_of_a_gcs_lets_other_threads_run(tmp_path):
    """Of one that never says its port."""
    ticks, ended = [time.monotonic()], threading.Event()

    def tick():
        while not ended.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        with waiting_in_steps(), pytest.raises(RuntimeError, match="Timed out"):
            node.wait_for_persisted_port(str(tmp_path), "a" * 56, "gcs_server", timeout_ms=2000)
    finally:
        ended.set()
        thread.join()
    assert ticks[-1] - ticks[0] > 1.5
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 1


def test_command_line_that_ray_shows_is_masked(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["hyperdiag", "notify.url=http://x/y", "a_token=zq1zq"])
    original = ray_utils.get_entrypoint_name
    with masked_entrypoint():
        assert ray_utils.get_entrypoint_name() == "hyperdiag notify.url=*** a_token=***"
    assert ray_utils.get_entrypoint_name is original


@pytest.mark.slow
def test_what_ray_says_of_a_worker_that_died_is_a_line_of_the_log(
    ray_address, configure, capfd, caplog
):
    class Sleeper:  # in here: workers do not find this file
        def process(self):
            return os.getpid()

        def sleep(self):
            time.sleep(600)

    caplog.set_level("DEBUG", "hyperdiag")
    config, _ = configure("cluster=existing", f"cluster.address='{ray_address}'")
    join(config.cluster, [])
    try:
        actor = ray.remote(Sleeper).options(num_cpus=1, max_restarts=0).remote()
        process = ray.get(actor.process.remote())
        call = actor.sleep.remote()
        os.kill(process, signal.SIGKILL)
        with pytest.raises(RayError):
            ray.get(call)
        said = lambda: "Ray: A worker died or was killed" in caplog.text
        deadline = time.monotonic() + 60
        while not said() and time.monotonic() < deadline:
            time.sleep(0.1)
        logging.getLogger("ray").error("something of its own")
    finally:
        ray.shutdown()
    assert said()
    assert "Ray: something of its own" in caplog.text
    assert {record.levelname for record in caplog.records if "Ray: " in record.message} == {
        *("DEBUG", "WARNING"),
    }
    out, err = capfd.readouterr()
    assert "raylet" not in out + err
    assert "\x1b[" not in out + err

"""What is worked round in Ray: signal handlers, command lines, and what it listens on."""

import os
import signal
import subprocess
import sys
import time

import psutil
from ray._private import utils as ray_utils

from hyperdiag.process.signals import StopSignals
from hyperdiag.run.cluster.ray_workarounds import masked_entrypoint, own_signal_handler


def test_handler_that_ray_would_replace_stays():
    with StopSignals():
        ours = signal.getsignal(signal.SIGTERM)
        with own_signal_handler():
            ray_utils.set_sigterm_handler(lambda number, frame: sys.exit(number))
        assert signal.getsignal(signal.SIGTERM) == ours
        ray_utils.set_sigterm_handler(signal.SIG_IGN)  # as before, outside of the block
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_command_line_that_ray_shows_is_masked(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["hyperdiag", "notify.url=http://x/y", "a_token=zq1zq"])
    original = ray_utils.get_entrypoint_name
    with masked_entrypoint():
        assert ray_utils.get_entrypoint_name() == "hyperdiag notify.url=*** a_token=***"
    assert ray_utils.get_entrypoint_name is original


def test_local_run_listens_on_loopback_alone(tmp_path):
    marker = tmp_path / "slow"
    marker.touch()
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "hyperdiag", "derive", "network=python", "network.n_inputs=2"),
            *("network.target=tests.run.networks:slow", f"network.kwargs={{marker: '{marker}'}}"),
            *(
                "dataset.rows=40",
                "dataset.shard_rows=10",
                "derivatives.batch=10",
                "dataset.ranges={x1: [0, 1], x2: [0, 1]}",
            ),
            *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.verify_rows=0"),
            *("cluster.workers=1", "output.path=out"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        listening = _listening(run)
        marker.unlink()
        assert run.wait(120) == 0
    finally:
        run.kill()
    assert len(listening) >= 5  # driver, control store, node, agent, worker
    assert {host.removeprefix("::ffff:") for host in listening} == {"127.0.0.1"}


def _listening(run):
    """Return the addresses that a run's processes listen on, once a worker is among them."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert run.poll() is None, "the run ended early"
        names, found = [], []
        for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]:
            try:
                names.append(" ".join(process.cmdline()))
                connections = process.net_connections("inet")
            except psutil.Error:
                continue
            found += [one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN]
        if any("WorkerActor.derive" in name for name in names):
            return found
        time.sleep(0.2)
    raise AssertionError("no worker is at work")

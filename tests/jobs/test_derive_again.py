"""The command a second time: after it ended, after it was killed, and while it is at work."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest

from .outcome import data_files, said
from .slow_network import slow_run, wait_for_data

SMALL = ("dataset.rows=20000", "network=chain", "dataset.shard_rows=2000")
BOX = "dataset.ranges={x1: [-1, 1], x2: [-1, 1], x3: [-1, 1], x4: [-1, 1], x5: [-1, 1]}"


def test_identical_command_finds_everything_done(invoke, tmp_path):
    command = ("derive", *SMALL, BOX, "cluster=inline", "output.path=out")
    said(invoke(*command))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/data").iterdir()}
    assert "everything is done already" in said(invoke(*command))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out/data").iterdir()} == before


@pytest.mark.slow
def test_changed_configuration_over_the_same_output_refuses_and_names_it(invoke, tmp_path):
    command = ("derive", *SMALL, BOX, "cluster=inline", "output.path=out")
    said(invoke(*command))
    before = data_files(tmp_path / "out")
    text = said(invoke(*command, "dataset.seed=7"), code=2)
    assert "dataset.seed was 0, now is 7" in text
    assert "output.mode=overwrite" in text
    assert data_files(tmp_path / "out") == before
    said(invoke(*command, "dataset.seed=7", "output.mode=overwrite"))
    assert data_files(tmp_path / "out") != before


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.chaos),
    ],
)
def test_command_after_a_kill_does_only_what_is_missing(
    hyperdiag, invoke, tmp_path, monkeypatch, number, code
):
    temporary = Path(tempfile.mkdtemp(prefix="k-"))  # short, since Ray keeps sockets in it
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = ["derive", *slow_run(tmp_path, shards=24)]
    victim = subprocess.Popen(
        [sys.executable, "-m", "hyperdiag", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_data(victim, tmp_path / "out", 3)
    children = psutil.Process(victim.pid).children(recursive=True)
    victim.send_signal(number)
    sent = time.monotonic()
    _, complaint = victim.communicate(timeout=30)
    assert victim.returncode == code, complaint
    if number != signal.SIGKILL:
        assert time.monotonic() - sent < 3
        assert "the same command goes on from there" in complaint
    # Of a killed run, a process that outlives it ends what it started, and removes its files.
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    deadline = time.monotonic() + 30
    while list(temporary.iterdir()):
        assert time.monotonic() < deadline, list(temporary.iterdir())
        time.sleep(0.1)
    assert not (tmp_path / "out/_SUCCESS").exists()
    data = tmp_path / "out/data"
    kept = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    assert 3 <= len(kept) < 24
    (tmp_path / "marker").unlink()
    killed = number == signal.SIGKILL
    text = said(hyperdiag(*command) if killed else invoke(*command, "cluster=inline"))
    assert "of them done before" in text
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(data.iterdir())) == 24
    assert ds.dataset(data).count_rows() == 192
    assert (tmp_path / "out/_SUCCESS").exists()


def test_second_run_on_one_output_refuses_naming_the_first(invoke, tmp_path):
    command = ["derive", *slow_run(tmp_path, shards=80), "cluster=inline"]
    first = subprocess.Popen(
        [sys.executable, "-m", "hyperdiag", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_data(first, tmp_path / "out", 1)
        text = said(invoke(*command), code=75)
        assert (
            f"another run is at work in output.path {tmp_path}/out (process {first.pid} on" in text
        )
        done = len(list((tmp_path / "out/data").iterdir()))
        wait_for_data(first, tmp_path / "out", done + 2)  # the first goes on unharmed
    finally:
        first.terminate()
        first.communicate(timeout=30)

"""Ctrl-C at any moment of any command: one sentence, and exit code 130."""

import os
import subprocess
import sys

import pytest

from hyperdiag.run.derive import derive

# Sends SIGINT when the process does a thing for the first time that Python tells its auditors of;
# by way of a callback of the garbage collector, Python drops what the handler raises.
AT_A_MOMENT = """
import gc, os, signal, sys

moment = os.environ.pop("MOMENT").split()
dropped = os.environ.pop("DROPPED", None)

def interrupt(*_):
    gc.callbacks[:] = [one for one in gc.callbacks if one is not interrupt]
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10):
        pass

def hook(event, arguments):
    if moment and event == moment[0] and moment[-1] in f"{event} {arguments}":
        moment.clear()
        if dropped:
            gc.callbacks.append(interrupt)
            gc.collect()
        else:
            interrupt()

sys.addaudithook(hook)
"""
BOX = "dataset.ranges={x1: [-1, 1], x2: [-1, 1], x3: [-1, 1], x4: [-1, 1], x5: [-1, 1]}"
STOPPED = "hyperdiag: stopped by SIGINT"
MINE = ["network=python", "network.target=mine:build", "network.n_inputs=5"]
SUBMIT = ["submit", "network=chain", BOX, "submit.address=http://127.0.0.1:1"]


@pytest.fixture
def interrupted(tmp_path):
    """Run a command that is interrupted at a moment; return what it printed where."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(AT_A_MOMENT)

    def run(moment, *arguments, **environment):
        paths = [str(site), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        done = subprocess.run(
            [sys.executable, "-m", "hyperdiag", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "MOMENT": moment,
                **environment,
            },
            check=False,
        )
        assert done.returncode == 130, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("moment", "command"),
    [
        ("import pyarrow.compute", ["status", "output.path=out"]),  # while its own imports are on
        ("open mine.py", ["networks", *MINE]),
        ("socket.connect", SUBMIT),  # before anything was sent
    ],
)
def test_interrupted_command_says_one_sentence(moment, command, interrupted, tmp_path):
    (tmp_path / "mine.py").write_text("def build():\n    return lambda x: x\n")
    assert interrupted(moment, *command) == ("", f"{STOPPED}\n")


@pytest.mark.slow
def test_interrupt_of_verify_that_python_drops_ends_it_all_the_same(
    interrupted, configure, tmp_path
):
    derive(*configure("network=chain", BOX, "cluster=inline", f"output.path={tmp_path}/out"))
    # The network is built once all files are read back, and before any is compared.
    said, errors = interrupted(
        "open networks/chain/__pycache__/_build.", "verify", "output.path=out", DROPPED="yes"
    )
    assert said == ""
    assert errors.splitlines()[1:] == [f"{STOPPED}; nothing was written"]
    assert "reading 13 data files back" in errors

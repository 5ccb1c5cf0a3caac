"""The command `hyperdiag status`, while a run is at work and after it was killed."""

import json
import signal
import subprocess
import sys

import pytest

from .slow_network import slow_run, wait_for_data


def _status(invoke, *arguments, code=0):
    done = invoke("status", "output.path=out", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("number", "state"), [(signal.SIGKILL, "killed"), (15, "stopped")])
def test_status_of_a_run_at_work_and_after_its_end(number, state, invoke, tmp_path):
    command = ["derive", *slow_run(tmp_path, shards=80), "cluster=inline"]
    victim = subprocess.Popen(
        [sys.executable, "-m", "hyperdiag", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_data(victim, tmp_path / "out", 2)
        at_work = json.loads(_status(invoke, "format=json"))
        assert victim.poll() is None
    finally:
        victim.send_signal(number)
        victim.communicate(timeout=30)
    assert at_work["state"] == "running"
    assert 2 <= at_work["shards"]["done"] < at_work["shards"]["planned"] == 80
    assert at_work["rows"]["read"] == 8 * at_work["shards"]["done"]
    after = json.loads(_status(invoke, "format=json"))
    assert after["state"] == state
    assert at_work["shards"]["done"] <= after["shards"]["done"] < 80
    words = {"killed": "the last run died", "stopped": "the last run was stopped"}
    text = _status(invoke)
    assert f"{words[state]}; the same command goes on" in text
    assert f"{after['shards']['done']} of 80 done" in text


def test_status_of_no_run_ends_with_a_message_and_exit_code_2(invoke):
    done = invoke("status", "output.path=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "output.path nowhere holds no run: there is no such folder" in done.stderr

"""The command `hyperdiag status`, while a run is at work and after it was killed."""

import json
import signal
import subprocess
import sys
import time

import pytest

BOX = "dataset.ranges={a: [-1, 1], b: [-1, 1]}"
SLOW = """
import time
import jax, jax.numpy as jnp

def build(seconds):
    def wait(x):
        time.sleep(seconds)
        return x
    @jax.custom_jvp
    def slow(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(wait, shape, x, vmap_method="expand_dims")
    slow.defjvp(lambda primals, tangents: (slow(*primals), *tangents))
    return lambda x: jnp.tanh(slow(x))
"""


def _status(hyperdiag, *arguments, code=0):
    done = hyperdiag("status", "output.path=out", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize(("number", "state"), [(signal.SIGKILL, "killed"), (15, "stopped")])
def test_status_of_a_run_at_work_and_after_its_end(number, state, hyperdiag, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [
        *("derive", "network=python", "network.target=slow:build", "network.inputs=[a,b]"),
        *("network.kwargs={seconds: 0.2}", BOX, "dataset.rows=640", "dataset.shard_rows=8"),
        *("derivatives.verify_rows=0", "derivatives.method=hyperdual", "derivatives.tile=8"),
        *("derivatives.batch=8", "cluster=inline", "output.path=out"),
    ]
    victim = subprocess.Popen(
        [sys.executable, "-m", "hyperdiag", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        data = tmp_path / "out/data"
        deadline = time.monotonic() + 90
        while not data.exists() or len(list(data.iterdir())) < 2:
            assert victim.poll() is None, victim.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = json.loads(_status(hyperdiag, "format=json"))
        assert victim.poll() is None
    finally:
        victim.send_signal(number)
        victim.communicate(timeout=30)
    assert found["state"] == "running"
    assert 2 <= found["shards"]["done"] < found["shards"]["planned"] == 80
    assert found["rows"]["read"] == 8 * found["shards"]["done"]
    after = json.loads(_status(hyperdiag, "format=json"))
    assert after["state"] == state
    assert found["shards"]["done"] <= after["shards"]["done"] < 80
    words = {"killed": "the last run died", "stopped": "the last run was stopped"}
    text = _status(hyperdiag)
    assert f"{words[state]}; the same command goes on" in text
    assert f"{after['shards']['done']} of 80 done" in text


def test_status_of_no_run_ends_with_a_message_and_exit_code_2(hyperdiag):
    done = hyperdiag("status", "output.path=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "output.path nowhere holds no run: there is no such folder" in done.stderr

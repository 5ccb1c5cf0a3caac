"""The command `hyperdiag plan`: what it prints, how it exits, and that it leaves no trace."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .slow_network import slow_run

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
RUN = ("network=chain", BOX, "dataset.rows=2000", "dataset.shard_rows=500", "output.path=out")
INLINE = (*RUN, "cluster=inline")

# The names and types of everything in the JSON, in order.
COUNTS = dict.fromkeys(
    ("shards", "rows", "bytes_in", "rows_derived", "rows_quarantined", "bytes_out"), int
)
KEYS = {
    "plan": str,
    "network": str,
    "method": {
        "method": str,
        "tile": int,
        "batch": int,
        "dtype": str,
        "device": str,
        "precision": str,
    },
    "input": {
        **{"path": type(None), "files": int, "bytes": int, "rows": int},
        **{"columns": list, "bad_files": list},
    },
    "output": {
        **{"path": str, "state": str, "problems": list, "changes": list},
        **{"shards_done": int, "rows_done": int},
    },
    "work": COUNTS,
    "probe": {
        **{"rows": int, "seconds": float, "workers": int, "rows_per_s": float},
        **{"rows_per_s_per_worker": float, "worker_bytes": int, "quarantined": dict},
        "failures": list,
    },
    "seconds": dict.fromkeys(("start", "end", "exit", "launch", "planning"), float),
    "times": list,
    "currency": str,
    "notes": list,
}
TIME = {"workers": int, "configured": bool, "seconds": float, "worker_hours": float, "cost": float}


def _check(found, keys):
    assert list(found) == list(keys)
    for key, kind in keys.items():
        if isinstance(kind, dict):
            _check(found[key], kind)
        else:
            assert isinstance(found[key], kind), key


def _left(folder):
    """Return the names of files, but for the lease's, which have numbers."""
    names = (path.name for path in folder.rglob("*") if path.parent.name != "current")
    return sorted(names)


@pytest.mark.slow
def test_plan_as_json_has_these_keys(hyperdiag, tmp_path):
    done = hyperdiag(
        "plan", *INLINE, "format=json", "cost.per_worker_hour=0.5", "cost.currency=CHF"
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    _check(found, KEYS)
    for one in found["times"]:
        _check(one, TIME)
    assert found["currency"] == "CHF"
    # Python, imports and configuration: longer than nothing, shorter than all of it.
    assert 0.3 < found["seconds"]["launch"] < 60
    assert _left(tmp_path) == []


@pytest.mark.slow
def test_plan_with_workers_is_a_table_and_leaves_no_trace(hyperdiag, tmp_path):
    scratch = Path(tempfile.mkdtemp(prefix="hd-"))  # short, since Ray has its sockets below
    environment = {**os.environ, "TMPDIR": str(scratch), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "hyperdiag", "plan", *RUN, "cluster.workers=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    by_name = {line[0]: " ".join(line[1:]) for line in lines if line}
    assert ["would", "be", "made"] in lines
    assert by_name["to"].startswith("do 2,000 rows in 4 shards, about")
    assert "2,000 rows in" in by_name["probe"]
    assert "with 2 workers" in by_name["probe"]
    assert by_name["memory"].endswith("MB for each worker")
    assert [number for number in by_name if number.isdigit()] == ["1", "2", "8", "32"]
    assert by_name["2"].endswith("as measured")
    assert by_name["8"].endswith("estimated, at the same rate for each")
    assert _left(tmp_path) == []
    assert [path.name for path in scratch.iterdir() if path.name.startswith("hd-")] == []
    shutil.rmtree(scratch)


@pytest.mark.slow
def test_plan_of_what_derive_would_refuse_says_so_as_derive_does(invoke, tmp_path):
    (tmp_path / "task.yaml").write_text("defaults: [derive, _self_]")
    assert invoke("derive", *INLINE).returncode == 0
    before = _left(tmp_path)
    other = (*INLINE, "dataset.seed=7")
    refused, told = invoke("derive", *other), invoke("plan", *other, "format=json")
    assert (told.returncode, told.stderr) == (refused.returncode, refused.stderr)
    assert told.returncode == 2
    output = json.loads(told.stdout)["output"]
    assert output["state"] == "refused"
    assert f"hyperdiag: {output['problems'][0]}\n" == refused.stderr
    told = invoke("plan", "--config-dir=.", "--config-name=task", *INLINE)
    assert (told.returncode, told.stderr) == (0, "")
    assert "is finished already: nothing would be done" in told.stdout
    assert _left(tmp_path) == before


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "wrong",
    [
        ["derivatives.wrt=[Qq]", "dataset.ranges={q: [3, 1]}"],
        ["output.layuot=wide", "cluster.wrokers=2"],
    ],
)
def test_plan_of_a_wrong_configuration_complains_as_derive_does(invoke, wrong):
    refused, told = invoke("derive", *wrong), invoke("plan", *wrong)
    assert (told.returncode, told.stderr) == (2, refused.stderr)
    assert told.stdout == ""


def test_keys_of_plan_are_its_own_and_checked(invoke):
    for key in ("format=json", "cost.currency=EUR"):
        assert f"unknown key '{key.partition('=')[0]}'" in invoke("derive", key).stderr
    done = invoke("plan", "format=yaml", "cost.per_worker_hour=-1")
    assert done.returncode == 2
    assert "format must be one of text, json" in done.stderr
    assert "cost.per_worker_hour must be greater than or equal to 0" in done.stderr


@pytest.mark.slow
def test_plan_that_is_stopped_leaves_no_trace(tmp_path):
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    work.mkdir()
    scratch.mkdir()
    command = ["plan", *slow_run(work, shards=80), "cluster=inline"]
    victim = subprocess.Popen(
        [sys.executable, "-B", "-m", "hyperdiag", *command],
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    deadline = time.monotonic() + 90
    while not list(scratch.glob("hd-*/output/run/scratch")):
        assert victim.poll() is None, victim.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    victim.send_signal(signal.SIGTERM)
    said = victim.communicate(timeout=30)[1]
    assert victim.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; nothing was written" in said
    assert _left(work) == ["marker", "slow.py"]
    assert list(scratch.iterdir()) == []

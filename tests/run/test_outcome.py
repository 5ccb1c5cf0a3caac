"""What others are told of runs that end well, badly, and by a signal."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import Busy, OutputError, RunIncomplete, UsageError
from hyperdiag.run.derive import derive

# Writes down what it is told.
KEEP = "import sys; open('told.json', 'wb').write(sys.stdin.buffer.read())"
RUN = (
    *("network=python", "network.target=tests.run.networks:rectified", "network.inputs=[a,b]"),
    *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.batch=2"),
    *("derivatives.verify_rows=0", "cluster=inline", "dataset=parquet", "output.path=out"),
)


@pytest.fixture
def run(configure, tmp_path, monkeypatch):
    """Run in a folder of its own; return what its hook was told, and what `derive` returned."""
    monkeypatch.chdir(tmp_path)
    bad = [None, float("nan"), float("inf"), 1.0, 2.0]
    pq.write_table(pa.table({"a": bad, "b": [1.0] * 5}), "rows.parquet")

    def done(*overrides, raises=None):
        config, text = configure(*RUN, "dataset.path=rows.parquet", *overrides)
        command = [sys.executable, "-c", KEEP]
        hook = config.notify.model_copy(update={"command": command})
        config = config.model_copy(update={"notify": hook})
        path = tmp_path / "told.json"
        path.unlink(missing_ok=True)
        result = None
        if raises:
            with pytest.raises(raises):
                derive(config, text)
        else:
            result = derive(config, text)
        return json.loads(path.read_bytes()) if path.exists() else None, result

    return done


def test_success_is_told_with_counts_and_the_manifest_s_summary(run, tmp_path):
    summary, manifest = run("limits.max_bad_fraction=1", "run.date=2026-11-23")
    assert summary["state"] == "done"
    assert (summary["exit_code"], summary["error"], summary["date"]) == (0, None, "2026-11-23")
    assert summary["run"] == manifest.plan
    assert summary["output"] == str(tmp_path / "out")
    counts = (summary["rows_planned"], summary["rows_read"], summary["rows_derived"])
    assert counts == (5, 5, 2)
    assert summary["quarantined"] == {"infinite": 1, "nan": 1, "null": 1}
    assert summary["manifest"]["finished"] == manifest.finished
    again, _ = run("limits.max_bad_fraction=1", "run.date=2026-11-23")
    assert (again["state"], again["rows_derived"]) == ("done", 2)


def test_run_with_too_many_bad_rows_is_told_as_incomplete(run):
    summary, _ = run(raises=RunIncomplete)
    assert (summary["state"], summary["exit_code"]) == ("incomplete", 1)
    assert summary["error"].startswith("3 of 5 rows are bad")
    assert summary["quarantined"] == {"infinite": 1, "nan": 1, "null": 1}
    assert "manifest" not in summary


def test_refusal_is_told_with_its_sentence_without_credentials(run):
    summary, _ = run("dataset.path='gopher://AK:SE@b/x'", raises=UsageError)
    assert (summary["state"], summary["exit_code"]) == ("refused", 2)
    assert "gopher://***@b/x" in summary["error"]
    assert "AK:SE" not in json.dumps(summary)


def test_output_that_cannot_be_written_is_told_as_a_failure(run, monkeypatch):
    def fail(*_):
        raise OutputError("disk full")

    monkeypatch.setattr("hyperdiag.run.output.ledger.Ledger.publish", fail)
    summary, _ = run("limits.max_bad_fraction=1", raises=OutputError)
    assert (summary["state"], summary["exit_code"], summary["error"]) == ("failed", 1, "disk full")


@pytest.mark.parametrize("on", [["success", "failure"], ["busy"]])
def test_run_that_another_kept_waiting_is_told_to_those_who_ask_for_it(run, monkeypatch, on):
    def fail(*_):
        raise Busy("another run is at work in output.path out")

    monkeypatch.setattr("hyperdiag.run.output.ledger.Ledger.open", fail)
    summary, _ = run(f"notify.on={on}", raises=Busy)
    if on == ["busy"]:
        assert (summary["state"], summary["exit_code"]) == ("busy", 75)
    else:
        assert summary is None


@pytest.mark.parametrize(("on", "heard"), [("success", False), ("failure", True)])
def test_hook_is_called_only_for_what_it_asked_for(run, on, heard):
    summary, _ = run(f"notify.on=[{on}]", raises=RunIncomplete)
    assert (summary is not None) == heard


@pytest.mark.slow
def test_stopped_run_tells_and_ends_soon_though_nobody_answers(tmp_path):
    marker = tmp_path / "slow"
    marker.touch()
    x1 = [0.1] * 100
    pq.write_table(pa.table({"x1": x1, "x2": x1}), tmp_path / "rows.parquet", row_group_size=2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and is mute
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hyperdiag", "derive", *RUN, "cluster=local"),
                *("network.inputs=[x1,x2]", "network.target=tests.run.networks:slow"),
                *(f"network.kwargs={{marker: '{marker}'}}", "dataset.path=rows.parquet"),
                *("dataset.shard_rows=2", "cluster.workers=1", f"notify.url={url}"),
                # A shell, that needs next to none of the little time there is.
                'notify.command=["sh","-c","cat > told.json"]',
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        # Of three, the driver has heard of the first.
        while len(list(tmp_path.glob("out/data/*.parquet"))) < 3:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        took = time.monotonic() - began
    assert process.returncode == 128 + signal.SIGTERM, said
    assert took < 9  # a mute server alone would take ten; Ray grants three, on a quiet machine
    summary = json.loads((tmp_path / "told.json").read_bytes())
    assert (summary["state"], summary["exit_code"], summary["error"]) == ("stopped", 143, "SIGTERM")
    assert 0 < summary["shards_done"] < summary["shards_planned"] == 50
    assert "stopped by SIGTERM" in said
    assert "no answer from 127.0.0.1" in said


def test_failing_hook_leaves_output_and_exit_code_alone(hyperdiag, tmp_path):
    pq.write_table(pa.table({"a": [1.0], "b": [2.0]}), tmp_path / "rows.parquet")
    done = hyperdiag(
        *("derive", *RUN, "dataset.path=rows.parquet", "log.format=json", "notify.seconds=1"),
        *("notify.url=http://127.0.0.1:9/zqWEBHOOKzq", "notify.command=[zqPROGRAMzq,zqARGzq]"),
    )
    assert done.returncode == 0
    assert (tmp_path / "out/_SUCCESS").exists()
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["run"] for line in lines} == {json.loads(_read(tmp_path, "plan"))["digest"]}
    said = [line["message"] for line in lines if line["level"] == "warning"]
    assert sorted(line.partition(":")[0] for line in said) == ["notify.command", "notify.url"]
    (shard,) = (line for line in lines if "shard" in line)
    assert (shard["shard"], shard["rows_derived"]) == (0, 1)
    kept = "".join(_read(tmp_path, name) for name in ("plan", "config", "manifest"))
    assert "zqWEBHOOKzq" not in kept + done.stderr
    assert "zqARGzq" not in kept + done.stderr


def _read(folder, name):
    (path,) = (folder / "out/run").glob(f"{name}.*")
    return path.read_text()

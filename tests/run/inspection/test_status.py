"""What an output folder says of its run, at every stage of it."""

import fcntl
import json
import shutil
import signal
import socket
import threading
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.data.filesystem import resolve
from hyperdiag.messages.errors import Busy, RunIncomplete, UsageError
from hyperdiag.process.signals import Stopped
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection import status as status_module
from hyperdiag.run.inspection.status import ShardCounts, status
from hyperdiag.run.inspection.status_table import print_status
from hyperdiag.run.output import publication
from hyperdiag.run.output.heartbeat import Heartbeat, HeartbeatRecord, read_heartbeat
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.lock import Lock
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers import worker as worker_module
from hyperdiag.run.workers.inline_pool import InlinePool

# The keys of the JSON, in this order.
COUNTS = ["plan", "network", "shards", "rows"]
KEYS = {
    "": [
        *("output", "state", *COUNTS, "rate", "failed", "cause"),
        *("update", "update_published", "manifest"),
    ],
    "shards": ["planned", "done"],
    "rows": ["planned", "read", "derived", "filtered", "quarantined"],
    "rate": ["rows_done", "rows_per_s", "workers", "updated"],
    "update": COUNTS,
}


@pytest.fixture
def run(tmp_path, configure):
    """Derive 400 rows in four shards, nine of them bad."""
    x = np.random.default_rng(0).standard_normal((400, 3))
    x[np.arange(7, 90, 10), 0] = np.nan
    _write(tmp_path, "x", x)

    def derived(*overrides):
        return derive(*configure(*_overrides(tmp_path, *overrides)))

    return derived


def _write(folder, name, x):
    (folder / "in").mkdir(exist_ok=True)
    table = pa.table({name: x[:, i] for i, name in enumerate("abc")})
    pq.write_table(table, folder / f"in/{name}.parquet", row_group_size=100)


def _overrides(folder, *more):
    return [
        *("cluster=inline", "network=python", "network.target=tests.run.networks:wavy"),
        *("network.inputs=[a,b,c]", "dataset=parquet", f"dataset.path={folder}/in"),
        *("dataset.shard_rows=100", "derivatives.tile=8", "derivatives.method=hyperdual"),
        *("limits.max_attempts=1", "limits.retry_seconds=0", f"output.path={folder}/out", *more),
    ]


def _fail(monkeypatch, failure, shards):
    """Let a worker fail at some shards."""
    right = worker_module.Worker.derive

    def derive_or_fail(self, shard):
        if shard.id in shards:
            raise failure
        return right(self, shard)

    monkeypatch.setattr(worker_module.Worker, "derive", derive_or_fail)


def _status(folder):
    """Return the status of the output, having checked that it is JSON and left no trace."""
    before = _state(folder)
    report = status(str(folder / "out"))
    assert _state(folder) == before
    values = report.to_json()
    assert json.loads(json.dumps(values)) == values
    for part in (values, values["update"] or {}):
        for key, keys in KEYS.items():
            if part.get(key):
                assert list(part[key]) == keys
    assert list(values) == KEYS[""]
    return report


def _state(folder):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (folder, *folder.rglob("*"))
    }


def _printed(report, capsys):
    print_status(report, report.output)
    return capsys.readouterr().out


def test_published_run_shows_its_manifest(run, tmp_path, capsys):
    manifest = run()
    report = _status(tmp_path)
    assert report.state == "published"
    assert report.counts.shards == ShardCounts(planned=4, done=4)
    assert report.counts.rows.read == report.counts.rows.planned == 400
    assert report.counts.rows.quarantined == {"nan": 9}
    assert report.manifest == manifest
    assert (report.failed, report.rate, report.update) == ((), None, None)
    assert "400 rows read: 391 derived, 9 quarantined (9 nan)" in _printed(report, capsys)


def test_status_without_journal_and_in_a_folder_that_cannot_be_written_is_the_same(run, tmp_path):
    run()
    wanted = _status(tmp_path)
    shutil.rmtree(tmp_path / "out/run/journal")
    for path in (tmp_path / "out").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert _status(tmp_path) == wanted


def test_planned_run_that_has_not_begun_has_nothing_done(run, tmp_path, configure):
    ledger = Ledger(f"{tmp_path}/out", make_plan(configure(*_overrides(tmp_path))[0]).plan)
    ledger.open("resume", "")
    report = _status(tmp_path)
    assert (report.state, report.counts.shards.done) == ("running", 0)
    ledger.close()
    report = _status(tmp_path)
    assert report.state == "killed"
    assert report.cause.startswith("it left no heartbeat that says more: ")


@pytest.mark.slow
def test_failed_shards_are_named_with_their_cause(run, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        _fail(patch, OSError("[red]disk[/red] on fire"), {1, 3})
        with pytest.raises(RunIncomplete):
            run()
    report = _status(tmp_path)
    assert (report.state, report.manifest) == ("incomplete", None)
    assert report.counts.shards == ShardCounts(planned=4, done=2)
    assert [shard for shard, _ in report.failed] == [1, 3]
    text = _printed(report, capsys)
    assert "the last run ended incomplete; the same command does what is missing" in text
    assert "2 of 4 done" in text
    assert "shard 3: " in text
    assert "[red]disk[/red] on fire" in text
    run()
    assert (_status(tmp_path).state, _status(tmp_path).failed) == ("published", ())


def test_run_with_too_many_bad_rows_says_so(run, tmp_path, capsys):
    with pytest.raises(RunIncomplete):
        run("limits.max_bad_fraction=0.01")
    report = _status(tmp_path)
    assert (report.state, report.counts.shards.done) == ("incomplete", 4)
    text = _printed(report, capsys)
    assert "9 of 400 rows are bad (9 nan), more than" in text
    assert "quarantined  9 nan" in text


def test_run_that_begins_shows_nothing_of_the_one_before_it(
    run, tmp_path, configure, capsys, monkeypatch
):
    """Before its first heartbeat, that of the run before is there still."""
    _fail(monkeypatch, OSError("odd"), {3})
    with pytest.raises(RunIncomplete):
        run()
    before = _status(tmp_path)
    assert (before.state, len(before.failed)) == ("incomplete", 1)
    assert before.cause
    ledger = Ledger(f"{tmp_path}/out", make_plan(configure(*_overrides(tmp_path))[0]).plan)
    ledger.open("resume", "")
    for signature in ("", f"process 999999999 on {socket.gethostname()}, since 2026-11-28Z"):
        (tmp_path / "out/run/lock").write_text(signature)
        report = _status(tmp_path)
        assert (report.state, report.failed, report.cause, report.rate) == (
            "running",
            (),
            None,
            None,
        )
        assert "odd" not in _printed(report, capsys)
    # It ends before its first heartbeat: SIGKILL, or SIGTERM.
    ledger.close()
    report = _status(tmp_path)
    assert (report.state, report.failed, report.counts.shards.done) == ("killed", (), 3)
    text = _printed(report, capsys)
    assert "the last run died; the same command goes on" in text
    assert "it left no heartbeat that says more: it ended before the first one" in text


def test_run_that_begins_shows_no_rate_of_one_that_was_killed(run, tmp_path, monkeypatch):
    _fail(monkeypatch, Stopped(9), {2})
    monkeypatch.setattr(Heartbeat, "stop", lambda self, state, **content: self._end.set())
    with pytest.raises(Stopped):
        run()
    path = tmp_path / "out/run/progress.json"
    record = json.loads(path.read_text()) | {"process": 999999999, "rows_per_s": 50, "workers": 2}
    path.write_text(json.dumps(record | {"rows_done": 200}))
    lock = Lock(resolve(f"{tmp_path}/out"), "out")
    lock.take()
    try:
        report = _status(tmp_path)
    finally:
        lock.release()
    assert (report.state, report.rate) == ("running", None)


def test_run_that_has_not_written_its_plan_yet_is_to_be_asked_again(tmp_path):
    (tmp_path / "out/run").mkdir(parents=True)
    lock = Lock(resolve(f"{tmp_path}/out"), "out")
    lock.take()
    try:
        with pytest.raises(Busy, match="a run begins there, and has not written its plan yet"):
            status(f"{tmp_path}/out")
    finally:
        lock.release()
    with pytest.raises(UsageError, match="holds no run"):
        status(f"{tmp_path}/out")


def test_stopped_run_says_so(run, tmp_path, capsys, monkeypatch):
    _fail(monkeypatch, Stopped(15), {2})
    with pytest.raises(Stopped):
        run()
    report = _status(tmp_path)
    assert (report.state, report.counts.shards.done) == ("stopped", 2)
    assert "the last run was stopped; the same command goes on" in _printed(report, capsys)


def test_run_of_whose_signal_ray_made_an_error_was_stopped_without_a_cause(
    run, tmp_path, monkeypatch
):
    def outcomes(self, shards):
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped as stopped:
            raise SystemError("returned a result with an exception set") from stopped
        yield None

    monkeypatch.setattr(InlinePool, "outcomes", outcomes)
    with pytest.raises(Stopped):
        run()
    report = _status(tmp_path)
    assert (report.state, report.cause) == ("stopped", None)


def test_killed_run_keeps_what_is_done_so_far(run, tmp_path, capsys, monkeypatch):
    _fail(monkeypatch, Stopped(9), {2})
    # Who is killed has no last word.
    monkeypatch.setattr(Heartbeat, "stop", lambda self, state, **content: self._end.set())
    with pytest.raises(Stopped):
        run()
    report = _status(tmp_path)
    assert (report.state, report.counts.shards.done, report.rate) == ("killed", 2, None)
    assert "the last run died; the same command goes on" in _printed(report, capsys)


def test_run_at_work_tells_its_rate(run, tmp_path, capsys):
    run()
    (tmp_path / "out/_SUCCESS").unlink()
    place = resolve(f"{tmp_path}/out")
    heartbeat = Heartbeat(place)
    heartbeat.update(rows_done=200, rows_per_s=50, workers=2, failed=[[3, "odd"]])
    heartbeat.start()
    lock = Lock(place, "out")
    lock.take()
    try:
        report = _status(tmp_path)
    finally:
        heartbeat.stop("stopped")
        lock.release()
    assert report.state == "running"
    assert (report.rate.rows_done, report.rate.rows_per_s, report.rate.workers) == (200, 50, 2)
    text = _printed(report, capsys)
    assert "a run is at work" in text
    assert "50 rows/s with 2 workers; 4.0 s left" in text
    assert "shard 3: odd" in text


def test_published_run_with_a_file_gone_is_not_called_whole(run, tmp_path, capsys):
    run()
    (tmp_path / "out/data/part-0000002.parquet").unlink()
    report = _status(tmp_path)
    assert report.counts.shards.done == 3
    assert "files of the run are gone or damaged" in _printed(report, capsys)


def test_published_run_whose_manifest_is_damaged_can_still_be_looked_at(run, tmp_path):
    run()
    (tmp_path / "out/run/manifest.json").write_text("{")
    report = _status(tmp_path)
    assert (report.state, report.manifest) == ("incomplete", None)


@pytest.mark.slow
def test_interrupted_update_is_counted_beside_what_is_published(run, tmp_path, capsys, monkeypatch):
    run()
    (tmp_path / "out/data/part-0000001.parquet").unlink()
    _write(tmp_path, "y", np.random.default_rng(1).standard_normal((300, 3)))
    with monkeypatch.context() as patch:
        _fail(patch, Stopped(15), {5})
        with pytest.raises(Stopped):
            run("output.mode=update")
    report = _status(tmp_path)
    assert report.state == "stopped"
    assert report.counts.shards == ShardCounts(planned=4, done=3)
    assert report.update.shards == ShardCounts(planned=7, done=5)
    assert report.update.rows.read == 500
    assert report.manifest.rows.read == 400
    text = _printed(report, capsys)
    assert "not published yet" in text
    assert "5 of 7 done" in text
    scan, looks = status_module.scan_output, []

    def published_meanwhile(*arguments):
        if not looks:
            run("output.mode=update")
        looks.append(1)
        return scan(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(status_module, "scan_output", published_meanwhile)
        report = status(str(tmp_path / "out"))
    assert report == _status(tmp_path)
    assert (report.state, report.update) == ("published", None)
    assert report.counts.shards == ShardCounts(planned=7, done=7)


@pytest.mark.slow
def test_update_that_died_while_its_files_were_put_into_place_is_said_to_be_published(
    run, tmp_path, capsys, monkeypatch
):
    run()
    _write(tmp_path, "y", np.random.default_rng(1).standard_normal((300, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(publication, "_copy", Mock(side_effect=Stopped(15)))
        with pytest.raises(Stopped):
            run("output.mode=update")
    report = _status(tmp_path)
    assert report.update_published
    assert report.update.shards == ShardCounts(planned=7, done=7)
    assert hyperdiag.read(f"{tmp_path}/out").num_rows == 700 - 9  # bad ones
    assert "published (hyperdiag.read returns it)" in " ".join(_printed(report, capsys).split())
    run("output.mode=update")
    report = _status(tmp_path)
    assert (report.state, report.update, report.update_published) == ("published", None, False)


def test_run_begins_while_somebody_asks_how_far_it_is(run, tmp_path):
    run()
    with (tmp_path / "out/run/lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (asking, fcntl.LOCK_UN)).start()
        lock = Lock(resolve(f"{tmp_path}/out"), "out")
        lock.take()
    lock.release()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"state": "running", "updated": "soon"}'],
    ids=["empty", "without keys", "list", "no text", "no time"],
)
def test_damaged_heartbeat_counts_as_none(content, run, tmp_path):
    run()
    (tmp_path / "out/_SUCCESS").unlink()
    (tmp_path / "out/run/progress.json").write_bytes(content)
    found = _status(tmp_path)
    assert (found.state, found.failed) == ("killed", ())
    assert "or that is damaged" in found.cause


def test_heartbeat_is_read_as_it_was_written_and_without_what_an_early_one_lacked(tmp_path):
    place = resolve(str(tmp_path))
    (tmp_path / "run/scratch").mkdir(parents=True)
    pulse = Heartbeat(place)
    pulse.update(shards=4, rows=400, shards_done=1)
    pulse.start()
    pulse.stop("incomplete", failed=((3, "odd"),), cause="a disk")
    content = json.loads((tmp_path / "run/progress.json").read_text())
    assert content["failed"] == [[3, "odd"]]
    record = read_heartbeat(place)
    assert (record.state, record.failed, record.cause) == ("incomplete", ((3, "odd"),), "a disk")
    assert record.to_json() == HeartbeatRecord.from_json(content).to_json()
    # What release 0.1.0 writes before its workers begin.
    early = ["state", "host", "process", "started", "interval_seconds", "updated"]
    record = HeartbeatRecord.from_json({key: content[key] for key in early})
    assert (record.rows_done, record.workers, record.failed) == (None, None, ())


@pytest.mark.parametrize("harm", ["nothing there", "damaged"])
def test_folder_without_a_plan_is_refused(harm, run, tmp_path):
    if harm == "damaged":
        run()
        (tmp_path / "out/run/plan.json").write_text("{}")
    wanted = "its plan cannot be read" if harm == "damaged" else "there is no such folder"
    with pytest.raises(UsageError, match=wanted):
        status_module.status(str(tmp_path / "out"))

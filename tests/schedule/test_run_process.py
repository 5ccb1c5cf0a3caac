"""The process of a run, whose command is a program here that ends as it is told to."""

import os
import signal
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from hyperdiag.process.exit_codes import TRY_AGAIN
from hyperdiag.schedule import run_process
from hyperdiag.schedule.history import History
from hyperdiag.schedule.run_process import do_run
from hyperdiag.schedule.run_spec import Job, RunSpec
from hyperdiag.schedule.state_folder import LOGS, make_state_folder
from hyperdiag.submission.server import ServerUnavailable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
# In the place of a scheduled run: ends with the next of the codes in a file, or the last.
COMMAND = """
import json, pathlib, sys
path = pathlib.Path(json.load(sys.stdin)[0])
code, *rest = path.read_text().split()
if rest:
    path.write_text(" ".join(rest))
print("tried")
sys.exit(int(code))
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    (tmp_path / "fake/hyperdiag/jobs").mkdir(parents=True)
    (tmp_path / "fake/hyperdiag/__init__.py").write_text("")
    (tmp_path / "fake/hyperdiag/jobs/__init__.py").write_text("")
    (tmp_path / "fake/hyperdiag/jobs/_scheduled.py").write_text(COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setattr(run_process, "_BUSY_SECONDS", 0.05)
    monkeypatch.setattr(run_process, "_AWAY_SECONDS", 0.05)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    folder = tmp_path / "state"
    make_state_folder(folder)
    history = History(folder)
    history.enter("nightly", [NOON], "all", 60, NOON)
    codes = tmp_path / "codes"

    def do(*these, deadline=60.0, job=None, keep_logs=100):
        codes.write_text(" ".join(map(str, these)))
        log = folder / LOGS / "nightly/20261123T120000Z.log"
        second = int(NOON.timestamp())
        spec = RunSpec(
            *(str(folder), "nightly", second, 1, [str(codes)], "the command", job),
            *(str(log), keep_logs, deadline),
        )
        code = do_run(spec)
        return code, history.find("nightly", second, 1), log.read_text()

    yield SimpleNamespace(do=do, folder=folder, history=history)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_run_that_another_kept_waiting_is_tried_again_and_is_no_failure(state):
    code, run, log = state.do(75, 75, 0)
    assert (code, run.state, run.code, run.reason, run.tries) == (0, "ended", 0, None, 1)
    assert log.count("tried\n") == 3
    assert log.count("# another run is at work on the output; tried again in ") == 2


@pytest.mark.parametrize("code", [1, 2, 137])
def test_run_that_fails_is_not_tried_again(state, code):
    assert state.do(75, code, 0)[:2] == (code, state.history.latest("nightly", 1)[0])
    assert state.history.latest("nightly", 1)[0].code == code


def test_run_that_is_kept_waiting_all_its_time_ends_with_75(state):
    began = time.monotonic()
    code, run, log = state.do(75, deadline=1.0)
    assert 0.5 < time.monotonic() - began < 30
    assert (code, run.state, run.code) == (TRY_AGAIN, "ended", 75)
    assert run.reason == "another run is at work on the output, all its time"
    assert log.count("tried\n") > 2


def test_run_that_is_stopped_while_it_waits_is_gone_on_with(state, monkeypatch):
    monkeypatch.setattr(run_process, "_BUSY_SECONDS", 60.0)
    noted = []

    def note(history, run, reason):
        noted.append(reason)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(History, "note", note)
    code, run, _ = state.do(75, deadline=6000.0)
    assert noted == ["another run is at work on the output; it is tried again"]
    assert (code, run.state, run.code) == (143, "stopped", None)


def test_job_that_another_kept_waiting_is_tried_again_without_asking_how_it_ended(
    state, monkeypatch
):
    asked = []

    def job_state(*job):
        asked.append(job)
        if len(asked) == 1:
            raise ServerUnavailable("away")
        return "FAILED"

    monkeypatch.setattr("hyperdiag.submission.server.state", job_state)
    job = Job("http://host:8265", "nightly-20261123T120000Z")
    code, run, log = state.do(75, 1, 75, 1, 0, job=job)
    # 75 is the job's own word; 1 may be that of a command whose server went away.
    assert (code, run.code, log.count("tried\n")) == (1, 1, 4)
    assert asked == [job, job]


def test_logs_of_a_time_to_come_are_removed_before_those_of_now(state):
    folder = state.folder / LOGS / "nightly"
    folder.mkdir()
    now = time.time()
    for name, seconds in (("old", -200), ("new", -100), ("ahead", 400 * 86400)):
        (folder / f"{name}.log").touch()
        os.utime(folder / f"{name}.log", (now, now + seconds))
    state.do(0, keep_logs=3)
    assert {path.stem for path in folder.iterdir()} == {"old", "new", "20261123T120000Z"}

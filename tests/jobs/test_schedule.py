"""The command `hyperdiag schedule`, as a user types it."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.jobs.schedule import main
from tests.schedule.nightly import Nightly, finished, wait

YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"


@pytest.fixture
def nightly(tmp_path):
    return Nightly(tmp_path, "cron: 30 2 * * *", "missed: all")


@pytest.fixture
def schedule(nightly, monkeypatch, capfd):
    """Run the command in this process; return its exit code and what was said where."""

    def run(*arguments):
        before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        command = nightly.command(*arguments)
        monkeypatch.setattr("sys.argv", ["hyperdiag schedule", *command[4:]])
        monkeypatch.chdir(nightly.folder)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert {each: signal.getsignal(each) for each in before} == before
        said = capfd.readouterr()
        return stopped.value.code, said.out, said.err

    return run


@pytest.mark.slow
def test_list_shows_entries_with_their_next_tick_and_writes_nothing(nightly, schedule):
    code, said, _ = schedule("action=list")
    assert code == 0
    assert "no scheduler is at work" in said
    code, said, _ = schedule("action=list", "format=json")
    found = json.loads(said)
    (entry,) = found["entries"]
    assert (entry["name"], entry["due"], entry["missed"]) == ("grow", "30 2 * * * UTC", "all")
    now = datetime.now(UTC)
    coming = datetime.fromisoformat(entry["next"])
    assert now < coming <= now + timedelta(days=1)
    assert (coming.hour, coming.minute, coming.second) == (2, 30, 0)
    assert (found["serving"], found["runs"]) == (False, [])
    assert not nightly.state.exists()


@pytest.mark.slow
def test_run_by_hand_is_that_of_its_day_and_can_be_repeated(nightly, schedule):
    nightly.grow()
    code, _, errors = schedule("action=run", "entry=grow", f"date={YESTERDAY}")
    assert code == 0, errors
    assert nightly.derived() == nightly.expected
    nightly.grow()
    assert schedule("action=run", "entry=grow", f"date={YESTERDAY}T02:30")[0] == 0
    assert nightly.derived() == nightly.expected
    code, said, _ = schedule("action=list", "format=json")
    runs = json.loads(said)["runs"]
    assert [run["attempt"] for run in runs] == [2, 1]
    for run in runs:
        assert (run["tick"], run["state"], run["code"]) == (f"{YESTERDAY}T02:30:00Z", "ended", 0)
        assert run["by_hand"]
        assert run["seconds"] > 0
        with open(run["log"], encoding="utf-8") as log:  # noqa: PTH123
            assert f"run.date={YESTERDAY}\n" in log.readline()
    said = schedule("action=list")[1]
    assert f"{YESTERDAY}T02:30:00Z (2)  done " in said


@pytest.mark.slow
def test_run_that_fails_shows_the_end_of_its_log_and_no_secret_is_kept(nightly, schedule):
    secret = "hunter2"
    nightly.entry(
        "cron: 30 2 * * *",
        "overrides:",
        "  - dataset=parquet",
        f"  - dataset.path='s4://user:{secret}@host/in?secret_key={secret}'",
    )
    code, said, errors = schedule("action=run", "entry=grow")
    assert code == 1
    assert "cannot open s4://***@host" in errors
    assert "ended, exit code 2; see " in errors
    said += errors + "".join(schedule("action=list", "format=json")[1:])
    kept = b"".join(path.read_bytes() for path in nightly.state.rglob("*") if path.is_file())
    assert b"s4://***@host" in kept
    assert secret not in said
    assert secret.encode() not in kept


@pytest.mark.one_in(8)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["action=stop"], "action must be one of serve, list, run"),
        (["action=run"], "entry is required: entry=..."),
        (["action=run", "entry=grw"], "no schedule entry 'grw' (closest: 'grow')"),
        (["action=run", "entry=grow", "date=2999-01-01"], "which is to come"),
        (["schedule.state=/proc/no", "action=run", "entry=grow"], "schedule.state /proc/no cannot"),
        (["schedule.state=/proc/no"], "schedule.state /proc/no cannot be used"),
        (["schedule.keep_logs=0"], "schedule.keep_logs must be greater than 0"),
    ],
)
def test_command_that_cannot_be_ends_with_a_message_and_exit_code_2(arguments, message, schedule):
    code, _, errors = schedule(*arguments)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors


def test_state_that_others_may_write_to_is_refused(nightly, schedule):
    nightly.state.mkdir()
    nightly.state.chmod(0o770)
    code, _, errors = schedule()
    assert code == 2
    assert f"others may write to it; chmod go-w {nightly.state}" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another's")
def test_state_of_another_user_is_refused_though_nobody_else_may_write_to_it(nightly, schedule):
    nightly.state.mkdir(mode=0o700)
    os.chown(nightly.state, 12345, -1)
    code, _, errors = schedule()
    assert code == 2
    assert f"schedule.state {nightly.state} cannot be used: " in errors
    assert "it belongs to user 12345" in errors
    assert "give a folder of your own" in errors
    assert list(nightly.state.rglob("*")) == []


def test_what_derive_would_refuse_is_found_before_anything_is_due(nightly, schedule):
    nightly.entry(
        "cron: 61 2 * * *",
        "timezone: Europe/Atlantis",
        "overrides: [dataset=parquet]",
    )
    other = nightly.folder / "conf/schedule/other.yaml"
    other.write_text("every: 1h\noverrides: [netwrok=chain, dataset=parqet, dataset.limit=1]")
    third = nightly.folder / "conf/schedule/third.yaml"
    third.write_text("every: 1h\noverrides: [dataset=parquet, derivatives.dtype=float16]")
    code, _, errors = schedule()
    assert code == 2
    for part in (
        "grow.yaml: timezone must be of the IANA database",
        "grow.yaml: cron '61 2 * * *': Error validating expression '61'",
        "other.yaml: overrides: dataset=parqet: no such dataset (closest: 'parquet')",
        "third.yaml: overrides: derivatives.dtype must be one of float32, float64",
        "third.yaml: overrides: dataset.path is required",
    ):
        assert f"schedule entry {nightly.folder}/conf/schedule/{part}" in errors
    assert not nightly.state.exists()


@pytest.mark.slow
def test_one_scheduler_keeps_a_state_and_reads_its_entries_again_when_told(nightly):
    with nightly.scheduler() as scheduler:
        wait(lambda: "grow: 30 2 * * * UTC, next at" in nightly.log(), why=nightly.log)
        second = finished(nightly.command(), cwd=nightly.folder)
        assert second.returncode == 2
        assert f"another scheduler is at work on schedule.state {nightly.state}" in second.stderr
        assert f"(process {scheduler.pid}, since " in second.stderr
        other = nightly.folder / "conf/schedule/other.yaml"
        other.write_text("every: 1x")
        os.kill(scheduler.pid, signal.SIGHUP)
        wait(lambda: "entries are kept as they were: " in nightly.log(), why=nightly.log)
        other.write_text("every: 1h")
        os.kill(scheduler.pid, signal.SIGHUP)
        wait(lambda: "other: every 1h, next at" in nightly.log(), why=nightly.log)
        scheduler.terminate()
        assert scheduler.wait(60) == 0
    assert "stopped by SIGTERM" in nightly.log()
    assert nightly.state.stat().st_mode & 0o777 == 0o700


def test_scheduler_does_without_ray():
    # A scheduler is always there, and so is what it imports.
    done = subprocess.run(
        [sys.executable, "-c", "import sys, hyperdiag.jobs.schedule; print('ray' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "False\n"

"""The systemd units, judged by systemd's own tools, and the Airflow file, compiled and called."""

import datetime
import json
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.process.exit_codes import USAGE

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("hyperdiag-nightly.*"))
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here"
)


def _analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def units(tmp_path):
    """Copies of the units that name a command which is there."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/hyperdiag/bin/hyperdiag", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@needs_systemd
def test_units_are_sound(units):
    done = _analyze("verify", "--man=no", *sorted(units.glob("hyperdiag-nightly.*")))
    ours = [line for line in done.stderr.splitlines() if "hyperdiag" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_fault_in_a_unit_is_found(units):
    service = units / "hyperdiag-nightly.service"
    service.write_text(service.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    done = _analyze("verify", "--man=no", service)
    assert "ProtectHomes" in done.stderr


@needs_systemd
def test_service_is_hardened(units):
    # systemd rates from 0 (safe) to 10 (unsafe); a service that says nothing of it has 9.6.
    service = units / "hyperdiag-nightly.service"
    done = _analyze("security", "--offline=yes", "--json=short", "--threshold=20", service)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)


@needs_systemd
def test_timer_strikes_every_day():
    (timer,) = [unit for unit in UNITS if unit.suffix == ".timer"]
    (calendar,) = [
        line.partition("=")[2]
        for line in timer.read_text().splitlines()
        if line.startswith("OnCalendar=")
    ]
    done = _analyze("calendar", "--iterations=3", calendar)
    assert done.returncode == 0, done.stderr
    strikes = [line for line in done.stdout.splitlines() if "02:30:00 UTC" in line]
    assert len(strikes) >= 3


def test_task_of_the_service_is_a_valid_configuration():
    with initialize_config_dir(str(DEPLOY / "systemd"), version_base="1.3"):
        ours = f"hydra.searchpath=[file://{CONFIG_DIR.resolve()}]"
        config = load_config(compose("task", [ours]))
    assert (config.cluster.name, config.output.mode) == ("local", "update")


class AirflowFailException(Exception):
    """Stands for Airflow's, which forbids retries."""


@pytest.fixture
def airflow(monkeypatch):
    """The tasks of the Airflow file, the arguments of its DAG, and the commands that it runs.

    Airflow is not installed with hyperdiag: these stand for what the file takes from it.
    """
    asked, tasks, commands, codes, pauses = {}, {}, [], [], []

    def dag(**arguments):
        asked.update(arguments)
        return lambda function: function

    def task(**_):
        def decorated(function):
            tasks[function.__name__] = function
            return lambda: None

        return decorated

    modules = {name: types.ModuleType(name) for name in ("airflow", "airflow.sdk")}
    modules["airflow.exceptions"] = types.ModuleType("airflow.exceptions")
    modules["airflow.sdk"].dag, modules["airflow.sdk"].task = dag, task
    modules["airflow.exceptions"].AirflowFailException = AirflowFailException
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("HYPERDIAG_JOB_SERVER", "http://head:8265")

    def run(words, check):
        commands.append(words)
        return types.SimpleNamespace(returncode=codes.pop(0) if codes else 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(time, "sleep", pauses.append)
    source = (DEPLOY / "airflow/hyperdiag_nightly.py").read_text()
    exec(compile(source, "hyperdiag_nightly.py", "exec"), {})
    return types.SimpleNamespace(
        derive=tasks["derive"], asked=asked, commands=commands, codes=codes, pauses=pauses
    )


def test_airflow_task_submits_the_run_of_its_day(airflow):
    assert airflow.asked["max_active_runs"] == 1
    assert airflow.asked["catchup"] is True
    assert airflow.asked["start_date"].tzinfo is datetime.UTC
    airflow.derive(ds="2026-11-23")
    (words,) = airflow.commands
    assert words[:2] == ["hyperdiag", "submit"]
    # What the command is told makes a run of that day.
    derive = [word for word in words[2:] if not word.startswith("submit.")]
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        config = load_config(compose("derive", derive))
    assert config.dataset.path.endswith("/date=2026-11-23")
    assert config.output.path.endswith("/date=2026-11-23")


def test_airflow_task_that_another_run_keeps_waiting_tries_again_and_takes_no_retry(airflow):
    airflow.codes[:] = [75, 75, 0]
    airflow.derive(ds="2026-11-23")
    assert len(airflow.commands) == 3
    assert airflow.pauses == [300, 300]


@pytest.mark.parametrize(
    ("code", "error"), [(1, subprocess.CalledProcessError), (2, AirflowFailException)]
)
def test_airflow_task_that_fails_is_retried_where_that_can_help(airflow, code, error):
    airflow.codes[:] = [75, code]
    with pytest.raises(error):
        airflow.derive(ds="2026-11-23")
    assert len(airflow.commands) == 2


def test_service_is_tried_again_where_that_can_help_alone():
    (service,) = [unit for unit in UNITS if unit.suffix == ".service"]
    lines = service.read_text().splitlines()
    assert "Restart=on-failure" in lines
    (prevented,) = [line for line in lines if line.startswith("RestartPreventExitStatus=")]
    codes = prevented.partition("=")[2].split()
    assert codes == [str(USAGE)]  # and so 75 is tried again, as 1 is

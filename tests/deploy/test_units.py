"""The systemd units, judged by systemd's own tools, and the Airflow file, compiled and called."""

import datetime
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR

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


def test_airflow_task_submits_the_run_of_its_day(monkeypatch):
    # Airflow is not installed with hyperdiag: these stand for its decorators.
    asked, tasks = {}, {}

    def dag(**arguments):
        asked.update(arguments)
        return lambda function: function

    def task(**_):
        def decorated(function):
            tasks[function.__name__] = function
            return lambda: None

        return decorated

    sdk = types.ModuleType("airflow.sdk")
    sdk.dag, sdk.task = dag, task
    monkeypatch.setitem(sys.modules, "airflow", types.ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    monkeypatch.setenv("HYPERDIAG_JOB_SERVER", "http://head:8265")
    source = (DEPLOY / "airflow/hyperdiag_nightly.py").read_text()
    exec(compile(source, "hyperdiag_nightly.py", "exec"), {})
    assert asked["max_active_runs"] == 1
    assert asked["catchup"] is True
    assert asked["start_date"].tzinfo is datetime.UTC
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda words, check: commands.append((words, check)))
    tasks["derive"](ds="2026-11-23")
    ((words, check),) = commands
    assert check
    assert words[:2] == ["hyperdiag", "submit"]
    # What the command is told makes a run of that day.
    derive = [word for word in words[2:] if not word.startswith("submit.")]
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        config = load_config(compose("derive", derive))
    assert config.dataset.path.endswith("/date=2026-11-23")
    assert config.output.path.endswith("/date=2026-11-23")

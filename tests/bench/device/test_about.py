import subprocess
import sys
from types import SimpleNamespace

import jax

from hyperdiag.bench.device import about as module
from hyperdiag.bench.device.about import about_device, memory

ACCOUNT = {"bytes_in_use": 3, "peak_bytes_in_use": 5, "bytes_limit": 7, "num_allocs": 2}


def test_about_names_device_and_versions():
    about = about_device()
    assert about["platform"] == "cpu"
    assert about["driver"] is None
    assert about["versions"]["jax"] == jax.__version__
    assert about["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_about_has_the_driver_that_its_own_program_names(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 580.1; echo 580.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert module._driver() == "580.1"
    program.write_text("#!/bin/sh\necho failed; exit 9\n")
    assert module._driver() is None
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module._driver() is None


def test_about_waits_for_no_driver_that_hangs(monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    assert module._driver() is None


def test_memory_is_the_device_s_account_where_it_keeps_one(monkeypatch):
    assert memory()["bytes_in_use"] is None  # a CPU
    device = SimpleNamespace(memory_stats=lambda: ACCOUNT)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    account = memory()
    assert account.pop("process_peak") > 10e6
    assert account == {"bytes_in_use": 3, "peak_bytes_in_use": 5, "bytes_limit": 7}

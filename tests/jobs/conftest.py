import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hyperdiag.jobs.__main__ import main


@pytest.fixture
def invoke(tmp_path, monkeypatch, capfd):
    """Run the command as `hyperdiag` does, in this process: its imports are there already.

    What a process has of its own, as signals, threads and memory, is tested with `hyperdiag`.
    """

    def run(*arguments, cwd=tmp_path):
        capfd.readouterr()
        with monkeypatch.context() as patch, _as_found(Path(cwd)):
            patch.chdir(cwd)
            patch.setenv("COLUMNS", "200")
            patch.setattr("sys.argv", ["hyperdiag", *map(str, arguments)])
            with pytest.raises(SystemExit) as stopped:
                main()
        code = stopped.value.code or 0
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run


@contextlib.contextmanager
def _as_found(folder):
    """Leave signals, environment, path and modules as they were, but for what is imported of ours.

    Modules of the folder go: the next test's may have the same names.
    """
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    environment, path = dict(os.environ), [*sys.path]
    try:
        yield
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        for name, module in [*sys.modules.items()]:
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]

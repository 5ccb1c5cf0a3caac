"""A Ray of a run's own whose raylet or GCS is stopped, or killed, at the start, middle or end."""

import json
import os
import signal
import time

import psutil
import pytest

from hyperdiag.process.reaper import writing_into
from tests.ray_node import kill_all, processes, send

from .signals_at_random import resume, started
from .subject import check_output, make_subject

_LIMIT_SECONDS = 120.0
# Ray has so long to start and to answer; its end has twenty seconds.
_DEADLINES = ("cluster.start_seconds=40", "cluster.answer_seconds=15", "cluster.wait_seconds=20")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_subject(tmp_path_factory.mktemp("tiny"), 1, 12_000, 1000, "inline")


class _Held:
    """A run with a Ray of its own, one of whose processes is struck at a moment."""

    def __init__(self, subject, folder):
        self.output, self.folder = folder / "out", folder
        self.shards = subject.shards
        self.command = [
            *(*subject.command, f"output.path={self.output}", "cluster=local", *_DEADLINES),
            f'notify.command=["sh","-c","cat > {folder}/told"]',
        ]

    def run(self, victim, moment, act):
        """Run until it ends; return its exit code and what it said."""
        driver, said = started(self.command, self.folder)
        try:
            deadline = time.monotonic() + _LIMIT_SECONDS
            struck = False
            while driver.poll() is None:
                assert time.monotonic() < deadline, f"no end\n{said.read_text()}"
                if not struck and self._files() >= moment:
                    names = [each for each in processes(driver.pid) if _name(each) == victim]
                    struck = any(act(each) for each in names)
                time.sleep(0.01)
            assert struck
            self._check_nothing_left(driver.pid)
            return driver.returncode, said.read_text()
        finally:
            kill_all(driver.pid)

    def _files(self):
        data = self.output / "data"
        return len([*data.iterdir()]) if data.exists() else 0

    def _check_nothing_left(self, session):
        deadline = time.monotonic() + 10
        while [each for each in processes(session) if each.pid != session]:
            assert time.monotonic() < deadline, processes(session)
            time.sleep(0.1)
        assert writing_into(os.fspath(self.folder)) == []

    @property
    def told(self):
        return json.loads((self.folder / "told").read_text())

    @property
    def heartbeat(self):
        return json.loads((self.output / "run/progress.json").read_text())


def _name(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def held(tiny, short_folder):
    return _Held(tiny, short_folder)


def _stop(process):
    return send(process, signal.SIGSTOP)


def _kill(process):
    return send(process, signal.SIGKILL)


@pytest.mark.chaos
@pytest.mark.parametrize("act", [_stop, _kill])
@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
@pytest.mark.parametrize("moment", [0, 4, 12])
def test_ray_that_is_held_or_killed_ends_in_time_with_a_sentence_and_nothing_is_lost(
    held, tiny, victim, moment, act
):
    began = time.monotonic()
    code, said = held.run(victim, moment, act)
    seconds = time.monotonic() - began
    last = said.strip().splitlines()[-1][:150]
    print(f"{act.__name__} {victim} at {moment}: {code}, {seconds:.0f} s: {last}")
    assert code == (0 if moment == held.shards else code) in (0, 1)
    assert (held.output / "_SUCCESS").exists() == (code == 0)
    assert (held.told["exit_code"], held.heartbeat["state"]) == (
        code,
        "done" if code == 0 else "incomplete",
    )
    if code:
        assert "Ray" in held.told["error"] or "workers" in held.told["error"], held.told
        assert held.heartbeat["cause"] == held.told["error"]
        assert "Traceback" not in said
        resume(held.command, held.folder)
    check_output(tiny, held.output)


@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_ray_that_is_stopped_for_a_while_and_continued_does_the_run(held, tiny, victim):
    def pause(process):
        _stop(process)
        time.sleep(3)
        return send(process, signal.SIGCONT)

    code, said = held.run(victim, 4, pause)
    assert code == 0, said
    check_output(tiny, held.output)

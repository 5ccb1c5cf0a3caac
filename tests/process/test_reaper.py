"""Processes that belong together by the files that they write, and their end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperdiag.process.reaper import Reaper, kill_writing_into, writing_into


def _start(code, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('on', flush=True)\nimport time; time.sleep(60)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    assert process.stdout.readline() == b"on\n"
    return process


def test_those_who_write_below_a_folder_are_killed_whoever_their_parent_is_and_no_others(tmp_path):
    folder, beside = tmp_path / "ray", tmp_path / "rays"
    (folder / "logs").mkdir(parents=True)
    beside.mkdir()
    log = folder / "logs/log"
    log.touch()
    writer = _start(f"f = open({str(log)!r}, 'a')")
    reader = _start(f"f = open({str(log)!r})")
    neighbour = _start(f"f = open({str(beside / 'log')!r}, 'w')")
    # Its parent is dead at once, and it is stopped, so that it heeds nobody.
    with log.open("a") as file:
        orphan = int(
            subprocess.run(
                ["sh", "-c", "sleep 60 >&3 & echo $!"],
                stdout=subprocess.PIPE,
                check=True,
                preexec_fn=lambda: os.dup2(file.fileno(), 3),
                pass_fds=[3],
            ).stdout
        )
    os.kill(orphan, signal.SIGSTOP)
    try:
        assert set(writing_into(str(folder))) == {writer.pid, orphan}
        assert kill_writing_into(str(folder), 10) == []
        assert writer.wait(10) == -9
        time.sleep(0.1)
        assert reader.poll() is neighbour.poll() is None
    finally:
        for process in (writer, reader, neighbour):
            process.kill()
            process.wait()


_KILLED = """
import os, signal, subprocess, sys
from hyperdiag.process.reaper import Reaper

reaper = Reaper(sys.argv[1])
child = subprocess.Popen(["sleep", "60"], stdout=open(f"{sys.argv[1]}/log", "w"))
child.send_signal(signal.SIGSTOP)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_started_ends_with_it_and_its_folder_is_removed(tmp_path):
    folder = tmp_path / "ray"
    folder.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder)], stdout=subprocess.PIPE, text=True
    )
    child = int(driver.stdout.readline())
    assert driver.wait(10) == -9
    deadline = time.monotonic() + 10
    while folder.exists() or Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_reaper_that_is_told_to_end_has_killed_the_others_and_not_the_process_that_told_it(
    tmp_path,
):
    folder = tmp_path / "ray"
    folder.mkdir()
    writer = _start(f"f = open({str(folder / 'log')!r}, 'a')")
    with (folder / "own").open("w"):
        reaper = Reaper(str(folder))
        reaper.end()
    assert writer.wait(10) == -9
    assert folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(reaper._process.pid, 0)

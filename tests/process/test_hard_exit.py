"""The end of a process that would not end by itself."""

import signal
import subprocess
import sys
import time

import pytest

# A mutex that is locked twice: the second call waits for ever, whatever signals come.
_COMPILED = """
import ctypes
from hyperdiag.jobs._stopping import ending_when_stopped
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
with ending_when_stopped(print):
    print("on", flush=True)
    libc.pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_that_comes_while_compiled_code_hangs_ends_the_process_within_three_seconds(number):
    process = subprocess.Popen(
        [sys.executable, "-c", _COMPILED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "on\n"
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert 2 < time.monotonic() - began < 3
    assert process.returncode == 128 + number
    assert out == ""
    assert errors == (
        f"hyperdiag: stopped by {number.name} where it stood, in compiled code that heeds no "
        "signal\n"
    )

"""The process of a scheduled run takes its command from its input."""

import json
import subprocess
import sys

from tests.jobs.outcome import said


def test_command_is_taken_from_the_input():
    words = ["networks", "network=chain", "network.layers='Chain(Dense(2, 1))'"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hyperdiag.jobs._scheduled"],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "2 inputs, 1 output" in said(done)

"""SIGTERM and SIGINT at random moments of a run: its exit code, its processes, its output.

`make chaos` sends HYPERDIAG_CHAOS_SIGNALS of them (200) from the seed HYPERDIAG_CHAOS_SEED (0) on,
a quarter to runs without Ray.
"""

import os
import shutil
import time

import pytest

from .signals_at_random import resume, strike
from .subject import check_output, make_subject

_FIRST = int(os.environ.get("HYPERDIAG_CHAOS_SEED", "0"))
_SIGNALS = int(os.environ.get("HYPERDIAG_CHAOS_SIGNALS", "200"))
# Not each signalled run is resumed by itself: the next one goes on from what it left.
_UNTIL_RESUMED = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_subject(tmp_path_factory.mktemp("tiny"), 1, 12_000, 1000, "inline")


@pytest.mark.chaos
@pytest.mark.parametrize("cluster", ["local", "inline"])
def test_signal_at_any_moment_ends_a_run_in_order_and_the_same_command_goes_on(
    tiny, short_folder, cluster
):
    output = short_folder / "out"
    command = [*tiny.command, f"cluster={cluster}", f"output.path={output}"]
    command += ["cluster.workers=1"] if cluster == "local" else []
    began = time.monotonic()
    resume(command, short_folder)
    longest = time.monotonic() - began
    check_output(tiny, output)
    shutil.rmtree(output)
    number = _SIGNALS // 4 * (3 if cluster == "local" else 1)
    for count, seed in enumerate(range(_FIRST, _FIRST + number), 1):
        when = strike(command, short_folder, seed, longest)
        print(cluster, when)
        if count % _UNTIL_RESUMED == 0 or count == number:
            resume(command, short_folder)
            check_output(tiny, output)
            shutil.rmtree(output)
    assert [path for path in short_folder.iterdir() if path.name.startswith("hd-")] == []

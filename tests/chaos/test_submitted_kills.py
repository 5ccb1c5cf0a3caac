"""A submitted run whose node, or whose driver, is lost in the middle."""

import contextlib
import os
import signal

import psutil
import pytest

from hyperdiag.submission.server import state
from tests.jobs.cluster_site import ended

pytestmark = pytest.mark.chaos


def _is_driver(process, folder):
    """Whether a process, which has a session of its own, is a job's on the cluster in a folder."""
    with contextlib.suppress(psutil.Error):
        return "hyperdiag.jobs._submitted" in process.cmdline() and process.cwd().startswith(
            str(folder)
        )
    return False


def test_submitted_run_outlives_one_of_its_nodes(site, submit_cluster):
    site.marker.touch()  # not to its end
    follower = site.start(*site.run(), "output.path=out")
    site.wait_for_data("out")
    submit_cluster.kill_node(submit_cluster.nodes[0])
    before = len(site.data("out"))
    site.wait_for_data("out", least=3)
    site.marker.unlink()
    code, out, said = ended(follower)
    assert code == 0, said + out
    site.derive(*site.run(), "output.path=local")
    assert site.data("out") == site.data("local")
    assert before < len(site.data("out"))


def test_submitted_run_whose_driver_is_killed_exits_with_137_and_goes_on(site, submit_cluster):
    site.marker.touch()
    run = [*site.run(), "output.path=out", f"submit.id=killed-{os.getpid()}"]
    follower = site.start(*run)
    site.wait_for_data("out")
    drivers = [one for one in psutil.process_iter() if _is_driver(one, submit_cluster.folder)]
    assert len(drivers) == 1
    drivers[0].send_signal(signal.SIGKILL)
    code, out, said = ended(follower)
    assert code == 137, said + out
    assert state(site.server, f"killed-{os.getpid()}") == "FAILED"
    site.marker.unlink()
    code, out, said = site.submit(*site.run(), "output.path=out")
    assert code == 0, said + out
    assert "of them done before" in out
    site.derive(*site.run(), "output.path=local")
    assert site.data("out") == site.data("local")

"""Schedulers that are killed at random, and one that has its runs done by a job server."""

import os
import random
import signal
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest
from ray.job_submission import JobSubmissionClient

from tests.ray_head import free_port, job_server, start_head
from tests.schedule.nightly import CHAIN, RUN, Nightly, Watch, kill_all, overlaps, wait

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("HYPERDIAG_CHAOS_SEED", "1"))
EVERY = 3


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_nothing_is_derived_twice_however_often_its_processes_are_killed(missed, tmp_path):
    chance = random.Random(f"{SEED} {missed}")
    nightly = Nightly(tmp_path, f"every: {EVERY}s", f"missed: {missed}", "grace_seconds: 5")
    stamps = {}
    with Watch(nightly) as watch:
        for _ in range(6):
            with nightly.scheduler() as scheduler:
                nightly.grow()
                wait(lambda: nightly.processes(RUN), why=nightly.log)
                time.sleep(chance.uniform(0, 4))
                below = scheduler.children(recursive=True)
                how = chance.choice(["alone", "all", "attempt", "stop"])
                if how == "alone":
                    scheduler.kill()
                elif how == "all":
                    kill_all(scheduler, *below)
                elif how == "attempt":
                    kill_all(*[p for p in below if "hyperdiag.schedule.run_process" in p.cmdline()])
                    time.sleep(1)
                    scheduler.kill()
                else:
                    scheduler.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
                scheduler.wait(60)
                if how == "alone":  # what goes on without it is its own affair
                    gone = lambda: not nightly.processes("hyperdiag.schedule.run_process")
                    wait(gone, why=nightly.log)
            if (nightly.out / "_SUCCESS").exists():
                found = nightly.stamps()
                assert stamps.items() <= found.items()
                stamps = found
            time.sleep(chance.uniform(0, 2 * EVERY))
        began = time.time()
        with nightly.scheduler() as scheduler:
            wait(
                lambda: any(run["started"] > began for run in nightly.ended()),
                seconds=240,
                why=nightly.log,
            )
            wait(lambda: nightly.derived() == nightly.expected, seconds=240, why=nightly.log)
            scheduler.terminate()
            scheduler.wait(60)
    runs = nightly.history()
    done = [run for run in runs if run["state"] == "ended"]
    assert watch.most == 1
    assert stamps.items() <= nightly.stamps().items()
    assert {run["code"] for run in done} == {0}
    assert overlaps(done) == []
    ticks = [run["tick"] for run in runs]
    assert ticks == list(range(ticks[0], ticks[-1] + 1, EVERY))
    if missed == "all":
        assert not [run for run in runs if run["state"] == "skipped"]


@contextmanager
def _job_server(folder, port):
    node = start_head(folder / "head", free_port(), 2, *job_server(port))
    try:
        wait(node.is_up, seconds=120)
        yield JobSubmissionClient(f"http://127.0.0.1:{port}")
    finally:
        node.kill()


def test_job_server_is_given_each_tick_once_though_it_is_late_and_the_scheduler_dies(
    tmp_path, short_folder
):
    port = free_port()
    network = (*CHAIN, f"submit.python={sys.executable}")
    keys = ("every: 15s", "missed: latest", f"address: http://127.0.0.1:{port}")
    nightly = Nightly(tmp_path, *keys, network=network)
    nightly.grow()
    logs = lambda: "".join(path.read_text() for path in nightly.state.rglob("*.log"))
    with ExitStack() as stack:
        with nightly.scheduler() as scheduler:
            # As long as there is no server, the run is under way: it may have been submitted.
            wait(lambda: "has ended is not known: " in logs(), seconds=120, why=nightly.log)
            client = stack.enter_context(_job_server(short_folder, port))
            wait(client.list_jobs, seconds=120, why=logs)
            kill_all(scheduler, *scheduler.children(recursive=True))
        (first,) = [run for run in nightly.history() if run["tries"]]
        assert (first["state"], first["code"]) == ("running", None)
        nightly.grow()
        with nightly.scheduler() as scheduler:
            wait(lambda: len(nightly.ended()) >= 2, seconds=180, why=nightly.log)
            jobs = len(client.list_jobs())
            wait(lambda: len(client.list_jobs()) > jobs, seconds=120, why=nightly.log)
            scheduler.terminate()
            assert scheduler.wait(60) == 128 + signal.SIGTERM
        # It ends without the scheduler where that takes long.
        last = lambda: [run for run in nightly.history() if run["tries"]][-1]
        wait(lambda: last()["state"] != "running", seconds=120, why=nightly.log)
        stopped = last()
        assert (stopped["state"], stopped["tries"]) == ("stopped", 1)
        with nightly.scheduler() as scheduler:
            again = lambda: nightly.find(stopped["tick"])["state"] == "ended"
            wait(again, seconds=180, why=nightly.log)
            scheduler.terminate()
            scheduler.wait(60)
        runs = nightly.history()
        assert nightly.find(first["tick"])["tries"] == 2
        tried = [run for run in runs if run["tries"]]
        names = [time.strftime("grow-%Y%m%dT%H%M%SZ", time.gmtime(r["tick"])) for r in tried]
        submitted = {job.submission_id for job in client.list_jobs()}
        done = [run for run in tried if run["state"] == "ended"]
        # What was told to stop before it could submit has no job.
        assert {n for n, run in zip(names, tried, strict=True) if run in done} <= submitted
        assert submitted <= set(names)
        assert {run["code"] for run in done} == {0}
        assert overlaps(done) == []
        assert nightly.derived() == nightly.expected

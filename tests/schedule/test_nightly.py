"""A folder that grows a file between ticks, and a scheduler that dies."""

import signal
import time

import pytest

from .nightly import RUN, Nightly, Watch, kill_all, overlaps, wait

EVERY = 2


def _gaps(runs):
    ticks = sorted(run["tick"] for run in runs)
    return set(range(ticks[0], ticks[-1] + 1, EVERY)) ^ set(ticks)


@pytest.mark.slow
def test_growing_folder_is_derived_once_though_the_scheduler_dies_and_misses_ticks(tmp_path):
    nightly = Nightly(tmp_path, f"every: {EVERY}s", "missed: latest")
    nightly.grow()
    with Watch(nightly) as watch:
        with nightly.scheduler() as scheduler:
            wait(lambda: nightly.ended(), why=nightly.log)
            early = nightly.stamps()
            nightly.grow()
            (derive,) = wait(lambda: nightly.processes(RUN))
            # What every user of the machine may read has no override, with whatever is in it.
            assert nightly.processes(str(nightly.out)) == []
            (running,) = [run for run in nightly.history() if run["state"] == "running"]
            scheduler.kill()
            scheduler.wait(60)
            assert derive.is_running()
            # The run goes on by itself and writes down what became of it; the next waits for it.
            with nightly.scheduler() as scheduler:
                wait(lambda: nightly.find(running["tick"])["state"] == "ended", why=nightly.log)
                scheduler.terminate()
                scheduler.wait(60)
        assert nightly.find(running["tick"])["tries"] == 1
        nightly.grow()
        died = time.time()
        time.sleep(2 * EVERY + 0.5)  # two ticks that nobody sees
        with nightly.scheduler() as scheduler:
            wait(lambda: nightly.derived() == nightly.expected, why=nightly.log)
            wait(lambda: nightly.ended()[-1]["tick"] > died, why=nightly.log)
            scheduler.terminate()
            assert scheduler.wait(60) in (0, 128 + signal.SIGTERM)
    runs = nightly.history()
    assert watch.most == 1
    assert len(watch.seen) <= sum(run["tries"] for run in runs)
    # Unchanged files were not touched.
    assert early
    assert early.items() <= nightly.stamps().items()
    # Every tick is accounted for, none twice, those without a scheduler included.
    assert _gaps(runs) == set()
    assert {run["attempt"] for run in runs} == {1}
    missed = [run for run in runs if died < run["tick"] < died + 2 * EVERY]
    assert len(missed) == 2
    assert {run["state"] for run in missed[:-1]} == {"skipped"}
    assert {run["reason"] for run in missed[:-1]} == {"a later tick took its place"}
    done = [run for run in runs if run["state"] == "ended"]
    assert {run["code"] for run in done} == {0}
    assert overlaps(done) == []
    assert {run["state"] for run in runs[: runs.index(done[-1])]} == {"ended", "skipped"}


@pytest.mark.chaos
def test_run_whose_processes_all_die_is_gone_on_with_under_its_own_name(tmp_path):
    marker = tmp_path / "slow"
    marker.touch()
    slow = (
        *("network=python", "network.target=tests.run.networks:slow", "network.inputs=[a,b]"),
        *(f"network.kwargs={{marker: {marker}}}", "derivatives.tile=1", "derivatives.batch=2"),
    )
    nightly = Nightly(tmp_path, "every: 1s", "missed: skip", network=slow)
    nightly.grow(rows=400)  # 200 shards, each of a fifth of a second
    attempts = lambda: nightly.processes("hyperdiag.schedule.run_process")
    shards = lambda: len(list(nightly.out.rglob("part-*.parquet")))
    with nightly.scheduler() as scheduler:
        wait(lambda: shards() >= 2, why=nightly.log)
        scheduler.kill()
        scheduler.wait(60)
        with nightly.scheduler() as scheduler:
            # The one left behind is at work, so the one that shall go on with it waits.
            wait(lambda: len(attempts()) == 2, why=nightly.log)
            time.sleep(1)
            assert len(nightly.processes(RUN)) == 1
            left = [*attempts(), *nightly.processes(RUN)]
            kill_all(scheduler, *left)
    first = nightly.history()[0]
    assert (first["state"], first["tries"]) == ("running", 1)
    # In order, it is told to stop, and is resumed.
    before = shards()
    with nightly.scheduler() as scheduler:
        wait(lambda: shards() >= before + 2, why=nightly.log)
        scheduler.terminate()
        assert scheduler.wait(60) == 128 + signal.SIGTERM
    stopped = nightly.history()[0]
    assert (stopped["state"], stopped["tries"]) == ("stopped", 2)
    marker.unlink()
    with nightly.scheduler() as scheduler:
        wait(lambda: nightly.ended(), why=nightly.log)
        scheduler.terminate()
        scheduler.wait(60)
    runs = nightly.history()
    assert (runs[0]["tick"], runs[0]["code"], runs[0]["tries"]) == (first["tick"], 0, 3)
    assert nightly.derived() == nightly.expected
    # All that time it was the one under way.
    rest = [run for run in runs[1:] if run["tick"] < runs[0]["ended"]]
    assert rest
    assert {run["state"] for run in rest} == {"skipped"}

import datetime
import os
import subprocess
from dataclasses import replace

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.messages.errors import Busy, OutputError
from hyperdiag.process import file_lock
from hyperdiag.run.output import fence as fence_module
from hyperdiag.run.output import lease as lease_module
from hyperdiag.run.output.current import Current, Published
from hyperdiag.run.output.fence import Fence, current_of
from hyperdiag.run.output.lease import Lease
from hyperdiag.run.output.lock import Lock, is_locked


@pytest.fixture
def output(tmp_path):
    (tmp_path / "run").mkdir()
    return resolve(str(tmp_path))


@pytest.fixture
def holds(output):
    """Let a run hold the output, as if it had written so; return what it is."""

    def hold(**fields):
        lease = Lease(output, "out")
        lease.take(0, nobody_else_here=True)
        lease._end.set()
        lease._thread.join()
        lease._end.clear()
        holder = replace(lease._current.holder, run="of another", **fields)
        lease._file.swap(Current(1, holder).to_bytes(), lease._version)
        return lease

    return hold


def test_output_is_held_by_one_run_and_free_after_it(output):
    first, second = Lock(output, "out"), Lock(output, "out")
    assert not is_locked(output)
    first.take()
    assert is_locked(output)
    with pytest.raises(Busy, match=rf"output\.path out \(process {os.getpid()} on .*wait_seconds"):
        second.take()
    first.lease.check()
    first.release()
    assert not is_locked(output)
    second.take()
    assert current_of(output).number == 2
    second.release()


def test_worker_sees_the_output_of_its_run_or_says_that_it_is_another(
    output, tmp_path, monkeypatch
):
    monkeypatch.setattr(fence_module, "_LOOK_SECONDS", (0.01,))
    lease = Lease(output, "out")
    lease.take(0, nobody_else_here=True)
    lease.fence(str(tmp_path)).check_seen()
    for path, run in ((str(tmp_path), "another"), (f"{tmp_path}/elsewhere", lease.run)):
        with pytest.raises(OutputError, match="is not the output of this run, seen from here"):
            Fence(path, run).check_seen()
    lease.release()


def test_run_that_lost_its_lease_publishes_nothing_and_its_workers_show_nothing(
    output, tmp_path, holds
):
    lost = holds()
    with pytest.raises(Busy, match="has taken out over meanwhile"):
        lost.confirm()
    with pytest.raises(Busy):
        lost.check()
    with pytest.raises(Busy):
        lost.publish(Published("0" * 16, "run/listing.parquet"))
    with pytest.raises(Busy):
        lost.fence(str(tmp_path)).guard()()
    lost.release()
    assert current_of(output).published is None
    assert current_of(output).holder.run == "of another"
    Fence(str(tmp_path), "of another").guard()()


def test_dead_run_of_this_machine_is_no_run(output, holds):
    ended = subprocess.Popen(["true"])
    ended.wait()
    holds(process=ended.pid)
    assert not is_locked(output)
    lease = Lease(output, "out")
    lease.take(0, nobody_else_here=True)
    lease.release()


def test_process_number_that_is_anothers_by_now_is_no_run(output, holds):
    holds(process=1, ticks="3")
    lease = Lease(output, "out")
    lease.take(0, nobody_else_here=False)
    lease.release()


@pytest.mark.parametrize("ahead", [-7200, -30, 0, 30, 7200], ids=str)
def test_lease_of_another_machine_lapses_whatever_its_clock_says(output, holds, ahead, monkeypatch):
    seconds = 0.6
    monkeypatch.setattr(lease_module, "_LOOK_SECONDS", 0.05)
    now = datetime.datetime.now(datetime.UTC)
    renewed = now + datetime.timedelta(seconds=ahead)
    holds(machine="elsewhere", renewed=renewed, seconds=seconds)
    lease = Lease(output, "out")
    if ahead == 0:  # it may well be alive; else it is watched for as long as a lease lasts
        with pytest.raises(Busy, match=r"should it be dead, the output is free 0\.6 s after"):
            lease.take(0, nobody_else_here=False)
    lease.take(5, nobody_else_here=False)
    assert current_of(output).number == 2
    lease.release()


def test_where_there_are_no_file_locks_the_lease_decides(output, monkeypatch):
    def refuse(file, kind):
        raise file_lock.NoFileLocks("no locks")

    monkeypatch.setattr(file_lock, "_flocked", refuse)
    first, second = Lock(output, "out"), Lock(output, "out")
    first.take()
    assert is_locked(output)
    with pytest.raises(Busy):
        second.take()
    first.release()
    second.take()
    second.release()
    assert not is_locked(output)


def test_published_is_kept_from_one_run_to_the_next(output):
    published = Published("1" * 16, "run/listing-1.parquet")
    for number in (1, 2):
        lease = Lease(output, "out")
        lease.take(0, nobody_else_here=True)
        assert current_of(output).number == number
        assert lease.published == (published if number == 2 else None)
        lease.publish(published)
        lease.release()
    assert current_of(output) == Current(2, None, published)

import pytest

from hyperdiag.data.shard import Shard
from hyperdiag.run.workers.call import Call
from hyperdiag.run.workers.free_workers import FreeWorkers
from hyperdiag.run.workers.worker_handle import WorkerHandle


@pytest.fixture
def workers():
    return [WorkerHandle(actor=None) for _ in range(3)]


@pytest.fixture
def free(workers):
    free = FreeWorkers(2)
    for handle in workers:
        free.update(handle)
    return free


def _give(free, handle, alone=False):
    call = Call([Shard(0, None, 0, 0, 0, 1)], alone, 0.0)
    handle.calls.append(call)
    free.update(handle)
    return call


def _answer(free, handle, call):
    handle.calls.remove(call)
    free.update(handle)


def test_least_busy_worker_is_next_until_all_have_enough(free, workers):
    given = []
    while handle := free.least_busy():
        _give(free, handle)
        given.append(workers.index(handle))
    assert given == [0, 1, 2, 0, 1, 2]
    _answer(free, workers[1], workers[1].calls[0])
    assert free.least_busy() is workers[1]
    _answer(free, workers[2], workers[2].calls[0])
    _answer(free, workers[2], workers[2].calls[0])
    assert free.least_busy() is workers[2]


def test_worker_with_a_shard_that_is_tried_alone_gets_nothing_beside_it(free, workers):
    call = _give(free, workers[0], alone=True)
    for handle in workers[1:]:
        _give(free, handle)
        _give(free, handle)
    assert free.least_busy() is None
    _answer(free, workers[0], call)
    assert free.least_busy() is workers[0]


def test_worker_that_runs_dry_gets_nothing_until_all_it_has_is_done(free, workers):
    for handle in workers[1:]:
        free.remove(handle)
    first, second = _give(free, workers[0]), _give(free, workers[0])
    free.run_dry(workers[0])
    assert free.running_dry == 1
    _answer(free, workers[0], first)
    assert free.least_busy() is None
    _answer(free, workers[0], second)
    assert free.least_busy() is workers[0]
    assert free.running_dry == 0


def test_worker_that_is_no_more_is_forgotten(free, workers):
    _give(free, workers[0])
    free.run_dry(workers[0])
    for handle in workers:
        free.remove(handle)
    assert free.least_busy() is None
    assert free.running_dry == 0

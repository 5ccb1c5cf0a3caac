import pytest

from hyperdiag.data.shard import Shard
from hyperdiag.run.workers.call import Call
from hyperdiag.run.workers.questions import seconds_between, to_ask
from hyperdiag.run.workers.worker_handle import WorkerHandle


@pytest.fixture
def busy():
    """Make workers that have had a shard under way since second 0."""

    def make(workers):
        handles = [WorkerHandle(actor=None) for _ in range(workers)]
        for handle in handles:
            handle.calls = [Call([Shard(0, None, 0, 0, 0, 1)], False, 0.0)]
        return handles

    return make


def _answered(handles):
    for handle in handles:
        handle.answering = False


def test_few_workers_are_asked_twice_a_second(busy):
    handles = busy(2)
    for now in (0.5, 1.0, 1.5):
        asked = to_ask(handles, now)
        assert asked == handles
        _answered(asked)
    assert to_ask(handles, 1.6) == []


def test_three_thousand_workers_are_asked_in_turn_a_hundred_a_second(busy):
    handles = busy(3000)
    assert seconds_between(3000) == 30
    assert to_ask(handles, 29.0) == []
    asked = []
    for tick in range(60):
        some = to_ask(handles, 30.0 + tick / 2)
        assert len(some) <= 50
        _answered(some)
        asked += some
    assert len(asked) == len(set(map(id, asked))) == 3000


def test_who_has_not_answered_or_has_nothing_to_do_is_not_asked(busy):
    handles = busy(3)
    handles[0].calls.clear()
    handles[1].answering = True
    assert to_ask(handles, 5.0) == [handles[2]]
    assert to_ask(handles, 9.0) == []

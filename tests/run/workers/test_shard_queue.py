import pytest

from hyperdiag.data.shard import Shard
from hyperdiag.run.workers import shard_queue
from hyperdiag.run.workers.shard_queue import ShardQueue

A, B, C = (Shard(number, None, 0, 0, 0, 1) for number in range(3))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(shard_queue, "time", clock)
    return clock


def test_take_gives_shards_in_order_and_says_when_there_are_no_more():
    queue = ShardQueue(iter([A, B]), 3)
    assert not queue.empty
    assert [queue.take([]), queue.take([A]), queue.take([A, B])] == [A, B, None]
    assert queue.empty


def test_failed_shard_comes_back_until_it_was_tried_enough():
    queue = ShardQueue([A, B], 2)
    queue.take([])
    assert queue.failed(A, "no", worker_died=False) is None
    assert [queue.take([]), queue.take([B])] == [A, B]
    given_up = queue.failed(A, "no again", worker_died=False)
    assert (given_up.shard, given_up.attempts, given_up.cause) == (A, 2, "no again")
    assert queue.take([]) is None
    assert queue.empty


def test_failed_shard_rests_four_times_longer_each_time_and_a_minute_at_most(clock):
    queue = ShardQueue([A], 9, pause=2)
    queue.take([])
    pauses = []
    for _ in range(5):
        queue.failed(A, "no", worker_died=False)
        assert not queue.empty
        began = clock.now
        while queue.take([]) is None:
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [2, 8, 32, 60, 60]


def test_while_all_fails_no_new_shard_is_tried(clock):
    queue = ShardQueue([Shard(n, None, 0, 0, 0, 1) for n in range(20)], 9, pause=2)
    taken = []
    while (shard := queue.take([])) is not None:
        taken.append(shard.id)
        queue.failed(shard, "the store is down", worker_died=False)
    assert taken == list(range(8))
    clock.now += 2
    first = queue.take([])
    assert first.id == 0
    queue.succeeded(first)
    assert [queue.take([]).id for _ in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_shard_whose_worker_died_is_tried_alone():
    queue = ShardQueue([A, B, C], 3)
    queue.take([])
    queue.failed(A, "died", worker_died=True)
    assert queue.take([B]) is None  # this worker must run dry first
    assert queue.take([]) == A  # an idle one takes the suspect
    assert queue.take([A]) is None  # and nothing beside it
    assert queue.take([]) == B  # others go on


def test_suspect_that_rests_does_not_hold_the_others_up(clock):
    queue = ShardQueue([A, B], 3, pause=2)
    queue.take([])
    queue.failed(A, "died", worker_died=True)
    assert queue.take([]) == B
    clock.now += 2
    assert queue.take([B]) is None
    assert queue.take([]) == A


def test_suspect_that_fails_otherwise_stays_a_suspect():
    queue = ShardQueue([A, B], 5)
    queue.take([])
    queue.failed(A, "died", worker_died=True)
    queue.take([])
    queue.failed(A, "an error", worker_died=False)
    assert queue.take([B]) is None
    assert queue.take([]) == A

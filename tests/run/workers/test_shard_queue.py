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
    assert [queue.take(True), queue.take(False), queue.take(False)] == [[A], [B], []]
    assert queue.empty


def test_failed_shard_comes_back_until_it_was_tried_enough():
    queue = ShardQueue([A, B], 2)
    queue.take(True)
    assert queue.failed(A, "no", worker_died=False) is None
    assert [queue.take(True), queue.take(False)] == [[A], [B]]
    given_up = queue.failed(A, "no again", worker_died=False)
    assert (given_up.shard, given_up.attempts, given_up.cause) == (A, 2, "no again")
    assert queue.take(True) == []
    assert queue.empty


def test_failed_shard_rests_four_times_longer_each_time_and_a_minute_at_most(clock):
    queue = ShardQueue([A], 9, pause=2)
    queue.take([])
    pauses = []
    for _ in range(5):
        queue.failed(A, "no", worker_died=False)
        assert not queue.empty
        began = clock.now
        while not queue.take(True):
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [2, 8, 32, 60, 60]


def test_while_all_fails_no_new_shard_is_tried(clock):
    queue = ShardQueue([Shard(n, None, 0, 0, 0, 1) for n in range(20)], 9, pause=2)
    taken = []
    while shards := queue.take(True):
        (shard,) = shards
        taken.append(shard.id)
        queue.failed(shard, "the store is down", worker_died=False)
    assert taken == list(range(8))
    clock.now += 2
    (first,) = queue.take(True)
    assert first.id == 0
    queue.succeeded(first)
    assert [queue.take(True)[0].id for _ in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_shard_whose_worker_died_is_for_an_idle_worker_and_the_others_go_on():
    queue = ShardQueue([A, B, C], 3)
    assert queue.take(True, rows=9, most=2) == [A, B]
    queue.failed(A, "died", worker_died=True)
    queue.failed(B, "died", worker_died=True)
    assert queue.is_suspect(A)
    assert not queue.is_suspect(C)
    assert queue.suspects_due == 2
    assert queue.take(False) == [C]  # a busy one gets something else
    assert queue.take(True, rows=9, most=2) == [A]  # and an idle one no more than the suspect
    queue.succeeded(A)
    assert not queue.is_suspect(A)
    assert queue.suspects_due == 1


def test_suspect_that_rests_does_not_hold_the_others_up(clock):
    queue = ShardQueue([A, B], 3, pause=2)
    queue.take(True)
    queue.failed(A, "died", worker_died=True)
    assert queue.suspects_due == 0
    assert queue.take(True) == [B]
    clock.now += 2
    assert queue.take(False) == []
    assert queue.take(True) == [A]


def test_shard_that_rests_long_does_not_hold_up_one_that_rests_less_long(clock):
    queue = ShardQueue([A, B], 9, pause=2)
    queue.take(True)
    for _ in range(2):
        queue.failed(A, "no", worker_died=False)
        clock.now += 9
        queue.take(True)
    queue.failed(A, "no", worker_died=False)  # 32 seconds
    queue.take(True)
    queue.failed(B, "no", worker_died=False)  # 2 seconds
    clock.now += 2
    assert queue.take(True) == [B]


def test_suspect_that_fails_otherwise_stays_a_suspect():
    queue = ShardQueue([A, B], 5)
    queue.take(True)
    queue.failed(A, "died", worker_died=True)
    queue.take(True)
    queue.failed(A, "an error", worker_died=False)
    assert queue.take(False) == [B]
    assert queue.take(True) == [A]


def test_small_shards_are_taken_together_up_to_so_many_rows():
    sizes = [5, 5, 5, 90, 5, 5]
    queue = ShardQueue([Shard(n, None, 0, 0, 0, rows) for n, rows in enumerate(sizes)], 3)
    assert queue.untried == 6
    taken = []
    while shards := queue.take(False, rows=10, most=32):
        taken.append([shard.id for shard in shards])
    assert taken == [[0, 1], [2], [3], [4, 5]]
    assert queue.untried == 0


def test_shard_that_failed_is_taken_by_itself():
    queue = ShardQueue([A, B, C], 3)
    assert queue.take(False, rows=2, most=2) == [A, B]
    for shard in (A, B):
        queue.failed(shard, "no", worker_died=False)
    assert [queue.take(False, rows=9, most=9) for _ in range(3)] == [[A], [B], [C]]


def test_shards_whose_number_is_not_known_count_as_none_left():
    assert ShardQueue(iter([A, B]), 3).untried == 2
    assert ShardQueue((shard for shard in (A, B)), 3).untried == 0


def test_failures_of_devices_are_no_attempts_as_often_as_there_are_attempts_less_one():
    queue = ShardQueue([A], 3)
    queue.take(True)
    for _ in range(4):
        assert queue.failed(A, "CUDA_ERROR", worker_died=False, of_device=True) is None
        assert queue.is_suspect(A)
        assert queue.take(True) == [A]
    given_up = queue.failed(A, "CUDA_ERROR", worker_died=False, of_device=True)
    assert (given_up.shard, given_up.attempts) == (A, 3)


def test_shard_that_is_put_back_was_not_tried(clock):
    queue = ShardQueue([A, B], 1, pause=2)
    queue.take(True)
    for _ in range(9):
        queue.put_back(A, "its worker's device failed")
        assert queue.take(True) in ([B], [])
        clock.now += 2
        assert queue.take(False) == [A]
    assert not queue.is_suspect(A)
    assert queue.retries == 9


def test_worker_of_which_nothing_is_known_gets_what_failed_only_where_there_is_nothing_else():
    queue = ShardQueue([A, B, C], 5)
    queue.take(True)
    queue.failed(A, "CUDA_ERROR", worker_died=False, of_device=True)
    assert queue.take(True, unproven=True) == [B]
    queue.failed(B, "CUDA_ERROR", worker_died=False, of_device=True)
    assert queue.take(True) == [A]
    queue.failed(A, "CUDA_ERROR", worker_died=False, of_device=True)
    assert [queue.take(True, unproven=True) for _ in range(4)] == [[C], [B], [A], []]

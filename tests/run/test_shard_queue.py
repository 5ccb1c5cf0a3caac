from pipeline.data.shard import Shard
from pipeline.run.shard_queue import ShardQueue

A, B, C = (Shard(number, None, 0, 0, 0, 1) for number in range(3))


def test_take_gives_shards_in_order():
    queue = ShardQueue([A, B], 3)
    assert [queue.take([]), queue.take([A]), queue.take([A, B])] == [A, B, None]


def test_failed_shard_comes_back_until_it_was_tried_enough():
    queue = ShardQueue([A, B], 2)
    queue.take([])
    assert queue.failed(A, "no", worker_died=False) is None
    assert [queue.take([]), queue.take([B])] == [B, A]
    given_up = queue.failed(A, "no again", worker_died=False)
    assert (given_up.shard, given_up.attempts, given_up.cause) == (A, 2, "no again")
    assert queue.take([]) is None


def test_shard_whose_worker_died_is_tried_alone():
    queue = ShardQueue([A, B, C], 3)
    queue.take([])
    queue.failed(A, "died", worker_died=True)
    assert queue.take([B]) is None  # this worker must run dry first
    assert queue.take([]) == A  # an idle one takes the suspect
    assert queue.take([A]) is None  # and nothing beside it
    assert queue.take([]) == B  # others go on


def test_suspect_that_fails_otherwise_stays_a_suspect():
    queue = ShardQueue([A, B], 5)
    queue.take([])
    queue.failed(A, "died", worker_died=True)
    queue.take([])
    queue.failed(A, "an error", worker_died=False)
    assert queue.take([B]) is None
    assert queue.take([]) == A

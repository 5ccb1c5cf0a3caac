import pytest

from pipeline.data.shard import Shard
from pipeline.run.deadline import Deadline


def _shard(rows):
    return Shard(0, None, 0, 0, 0, rows)


def test_before_anything_is_done_a_shard_may_take_an_hour():
    assert Deadline(None).seconds(_shard(10)) == 3600


def test_deadline_is_ten_times_the_slowest_for_as_many_rows():
    deadline = Deadline(None)
    deadline.observe(_shard(1000), 20)
    deadline.observe(_shard(1000), 5)
    assert deadline.seconds(_shard(1000)) == pytest.approx(200)
    assert deadline.seconds(_shard(5000)) == pytest.approx(1000)


def test_short_shards_have_a_minute():
    deadline = Deadline(None)
    deadline.observe(_shard(1000), 0.1)
    assert deadline.seconds(_shard(10)) == 60


def test_configured_deadline_holds_for_all():
    deadline = Deadline(7.5)
    deadline.observe(_shard(10), 100)
    assert deadline.seconds(_shard(10**6)) == 7.5

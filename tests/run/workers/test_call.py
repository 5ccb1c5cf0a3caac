from hyperdiag.data.shard import Shard
from hyperdiag.run.workers.call import Call

SHARDS = [Shard(number, None, 0, 0, 0, 100) for number in (7, 8, 9)]


def test_rows_read_and_shards_begun_are_progress_and_nothing_else_is():
    call = Call(SHARDS, False, began=10.0)
    course = [
        (11.0, {}, 10.0),
        (12.0, {7: 0}, 10.0),
        (13.0, {7: 60}, 13.0),
        (14.0, {7: 60, 3: 99}, 13.0),  # 3 is another call's
        (15.0, {}, 13.0),  # between two shards
        (16.0, {8: 0}, 16.0),
        (17.0, {8: 0}, 16.0),
        (18.0, {9: 10}, 18.0),
        (19.0, {9: 10}, 18.0),
    ]
    for now, under_way, since in course:
        assert call.quiet_since(under_way, now) == since, now
    assert call.rows == 300

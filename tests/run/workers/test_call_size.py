import pytest

from hyperdiag.run.output.receipt import STAGES, Receipt, Tally
from hyperdiag.run.workers.call_size import CallSize


def _receipt(rows, seconds):
    return Receipt(0, Tally(rows, rows), dict.fromkeys(STAGES, seconds / len(STAGES)))


@pytest.fixture
def size():
    """Of shards of 1,000 rows in a second and a half."""
    size = CallSize()
    for _ in range(10):
        size.observe(_receipt(1000, 1.5))
    return size


def test_before_anything_is_known_a_call_has_one_shard():
    assert CallSize().rows(3000) == 0


def test_few_workers_get_one_shard_with_a_call(size):
    assert size.rows(10) < 1000
    assert size.rows(300) < 1000


def test_three_thousand_workers_make_no_more_than_250_calls_a_second(size):
    shards = size.rows(3000) // 1000
    assert shards == 8
    assert 3000 / (1.5 * shards) <= 250


def test_shards_of_some_milliseconds_are_given_together_to_few_workers_too():
    size = CallSize()
    size.observe(_receipt(10, 0.002))
    assert 10 / (size.rows(10) / 10 * 0.002) == pytest.approx(250)


def test_size_follows_shards_that_become_larger(size):
    before = size.rows(3000)
    for _ in range(500):
        size.observe(_receipt(1000, 15.0))
    assert size.rows(3000) == pytest.approx(before / 10, rel=0.05)


@pytest.mark.parametrize(
    ("workers", "left", "most"), [(10, 10**6, 32), (10, 100, 5), (10, 19, 1), (10, 0, 1), (0, 9, 4)]
)
def test_the_last_shards_are_divided_among_all(workers, left, most):
    assert CallSize.shards(workers, left) == most

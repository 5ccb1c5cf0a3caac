import threading

import pytest

from hyperdiag.data import threads
from hyperdiag.data.threads import each


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000, 10_000])
def test_each_yields_results_in_order(count):
    assert list(each(lambda item: item * 2, iter(range(count)))) == list(range(0, 2 * count, 2))


def test_few_items_are_under_way_at_once_each():
    barrier = threading.Barrier(threads._THREADS, timeout=60)
    assert len(list(each(lambda item: barrier.wait(), range(threads._THREADS)))) == 16


def test_items_are_taken_as_results_are(monkeypatch):
    monkeypatch.setattr(threads, "_AT_ONCE", 8)
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = each(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) == 8


def test_what_fails_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(each(lambda item: 1 // (item - 50), range(100)))

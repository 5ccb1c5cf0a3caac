"""Turns on a device, in threads."""

import threading
import time

import pytest

from hyperdiag.run.workers.turns import Turns


def waiting(turns, count):
    """Wait until so many threads wait for a turn."""
    until = time.monotonic() + 10
    while len(turns._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_shard_that_began_first_has_the_next_turn_whoever_asked_first():
    turns, had = Turns(1), []

    def ask(shard):
        with turns.turn(shard):
            had.append(shard)

    with turns.turn(0):
        threads = [threading.Thread(target=ask, args=(shard,)) for shard in (3, 1, 2, 1)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            waiting(turns, number)
        assert had == []
    for thread in threads:
        thread.join(10)
    assert had == [1, 1, 2, 3]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_have_turns_at_once_than_may_and_all_have_theirs(most):
    turns, lock = Turns(most), threading.Lock()
    now, largest, done = 0, 0, 0

    def work(shard):
        nonlocal now, largest, done
        for _ in range(50):
            with turns.turn(shard):
                with lock:
                    now += 1
                    largest = max(largest, now)
                time.sleep(0.0002)
                with lock:
                    now -= 1
                    done += 1

    threads = [threading.Thread(target=work, args=(shard,)) for shard in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (done, largest) == (300, most)


def test_turn_ends_with_an_error_in_it():
    turns = Turns(1)
    with pytest.raises(ValueError, match="broken"), turns.turn(0):
        raise ValueError("broken")
    with turns.turn(1):
        pass

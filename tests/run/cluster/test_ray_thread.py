"""Calls in another thread: their results, their errors, their deadlines, signals meanwhile."""

import signal
import threading
import time

import pytest

from hyperdiag.process.signals import Stopped, StopSignals
from hyperdiag.run.cluster.ray_thread import RayHangs, RayThread


@pytest.fixture
def thread():
    thread = RayThread()
    yield thread
    thread.end()


def test_calls_are_made_in_one_thread_that_is_not_the_callers(thread):
    first, second = (thread.call(threading.get_ident, 10, "") for _ in range(2))
    assert first == second != threading.get_ident()


def test_error_of_a_call_is_raised_where_it_was_asked_for_and_the_next_call_is_made(thread):
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0, 10, "")
    assert thread.call(lambda: 3, 10, "") == 3


def test_call_that_does_not_come_back_ends_with_the_complaint_and_no_other_is_made(thread):
    ended = threading.Event()
    began = time.monotonic()
    with pytest.raises(RayHangs, match="hangs"):
        thread.call(lambda: ended.wait(60), 0.2, "it hangs")
    with pytest.raises(RayHangs, match="still"):
        thread.call(lambda: 3, 60, "still")
    assert time.monotonic() - began < 10
    assert thread.hangs
    ended.set()


def test_generator_yields_and_returns_what_it_would_where_it_is_called(thread):
    def steps():
        yield
        yield
        return threading.get_ident()

    assert list(thread.each(iter("abc"), 10, "")) == ["a", "b", "c"]
    assert thread.result_of(steps(), 10, "") == thread.call(threading.get_ident, 10, "")


def test_each_step_of_a_generator_has_the_deadline_and_not_all_together(thread):
    def steps():
        for _ in range(5):
            time.sleep(0.3)
            yield
        time.sleep(60)

    number = 0
    with pytest.raises(RayHangs, match="hangs"):
        for number, _ in enumerate(thread.each(steps(), 1, "it hangs"), 1):  # noqa: B007
            pass
    assert number == 5


def test_signal_ends_the_wait_for_a_call_at_once(thread):
    ended = threading.Event()
    main = threading.main_thread().ident
    threading.Timer(0.2, signal.pthread_kill, [main, signal.SIGTERM]).start()
    began = time.monotonic()
    with pytest.raises(Stopped), StopSignals():
        thread.call(lambda: ended.wait(60), 60, "")
    assert time.monotonic() - began < 10
    ended.set()

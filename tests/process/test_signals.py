"""Signals as an exception: nested, dropped, turned into others, and off the main thread."""

import contextlib
import gc
import signal
import threading
import time

import pytest

from hyperdiag.process import signals as signals_module
from hyperdiag.process.signals import Stopped, StopSignals

INTERRUPT = signal.SIGINT


@pytest.fixture(autouse=True)
def _handlers():
    """The handlers afterwards must be those before."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, INTERRUPT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, INTERRUPT)] == before


def _interrupt():
    signal.raise_signal(INTERRUPT)


def _in_two_blocks(inside, after=_interrupt):
    with StopSignals("outer"):
        try:
            with StopSignals("inner"):
                inside()
        finally:
            after()


def test_signal_inside_another_block_is_told_by_the_inner_and_ends_both():
    with pytest.raises(Stopped) as stopped:
        _in_two_blocks(_interrupt, lambda: None)
    assert (stopped.value.number, stopped.value.left) == (INTERRUPT, "inner")


def test_second_signal_does_not_interrupt_what_the_outer_block_has_to_close():
    closed = []
    with pytest.raises(Stopped) as stopped:
        _in_two_blocks(
            lambda: signal.raise_signal(signal.SIGTERM),
            lambda: (_interrupt(), closed.append("whole")),
        )
    assert (stopped.value.number, closed) == (signal.SIGTERM, ["whole"])


def test_signal_after_an_inner_block_is_told_by_the_outer():
    with pytest.raises(Stopped) as stopped:
        _in_two_blocks(lambda: None)
    assert stopped.value.left == "outer"


def _dropped_stop():
    """Stop in a callback, of which Python drops what is raised."""

    def callback(phase, info):
        gc.callbacks.remove(callback)
        _interrupt()

    gc.callbacks.append(callback)
    gc.collect()


def _stopped_in_a_callback_then_waiting():
    with StopSignals():
        _dropped_stop()
        time.sleep(20)


def test_what_python_drops_in_a_callback_is_raised_again_and_not_printed(capsys):
    began = time.monotonic()
    with pytest.raises(Stopped):
        _stopped_in_a_callback_then_waiting()
    assert time.monotonic() - began < 10
    assert capsys.readouterr().err == ""


def test_stop_is_raised_again_though_one_signal_comes_right_before_a_call_that_waits(monkeypatch):
    # Such a signal is handled after the wait; here it is not sent at all, which looks the same.
    sent, really = [], signal.pthread_kill

    def send(thread, number):
        sent.append(number)
        if len(sent) > 1:
            really(thread, number)

    monkeypatch.setattr("signal.pthread_kill", send)
    began = time.monotonic()
    with pytest.raises(Stopped):
        _stopped_in_a_callback_then_waiting()
    assert sent == [INTERRUPT, INTERRUPT]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_second_signal_while_the_first_is_dropped_loses_neither(monkeypatch, when):
    really = signals_module._SignalAgain.send

    def send(self, number):
        monkeypatch.undo()
        if when == "before":
            signal.raise_signal(signal.SIGTERM)
        really(self, number)
        if when == "after":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(signals_module._SignalAgain, "send", send)
    began = time.monotonic()
    with pytest.raises(Stopped):
        _stopped_in_a_callback_then_waiting()
    assert time.monotonic() - began < 10


def test_signal_while_a_block_ends_is_raised_once_it_has_ended(monkeypatch):
    really = signals_module._SignalAgain.end

    def end(self):
        _interrupt()
        really(self)

    monkeypatch.setattr(signals_module._SignalAgain, "end", end)
    went_on = []
    with pytest.raises(Stopped) as stopped:
        _in_two_blocks(lambda: None, lambda: went_on.append("closing"))
    assert (went_on, stopped.value.left) == (["closing"], "inner")


def test_closing_down_after_a_check_is_not_interrupted_though_the_stop_was_dropped():
    closed = []

    def work():
        with StopSignals() as signals:
            try:
                _dropped_stop()
                signals.check()
            finally:
                time.sleep(0.3)
                closed.append("whole")

    with pytest.raises(Stopped):
        work()
    assert closed == ["whole"]


def test_no_thread_is_left():
    before = threading.active_count()
    with pytest.raises(Stopped):
        _stopped_in_a_callback_then_waiting()
    assert threading.active_count() == before


def test_what_python_drops_of_others_is_reported_as_before(monkeypatch):
    dropped = []
    monkeypatch.setattr(
        "sys.unraisablehook", lambda unraisable: dropped.append(str(unraisable.exc_value))
    )

    class Odd:
        def __del__(self):
            raise OSError("odd")

    with StopSignals():
        Odd()
    assert dropped == ["odd"]


def _swallow():
    with contextlib.suppress(BaseException):
        _interrupt()


def _turn_into_another():
    try:
        _interrupt()
    except BaseException as error:
        raise OSError("gone") from error


@pytest.mark.parametrize("library", [_swallow, _turn_into_another])
def test_signal_of_which_a_library_makes_something_else_ends_the_block_as_a_signal(library):
    with pytest.raises(Stopped), StopSignals():
        library()


def test_block_in_another_thread_leaves_the_signals_alone():
    results = []

    def work():
        try:
            with StopSignals() as signals:
                signals.check()
            results.append("done")
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == ["done"]

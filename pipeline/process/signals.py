"""SIGTERM and SIGINT as an exception that ends a run in order."""

import queue
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

_KEPT = "finished shards are kept, and the same command goes on from there"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Set once the handler of a signal got to run; `ending_when_deaf` clears it.
handled = threading.Event()
# Between the tries to raise once more what Python dropped, from wherever the block has got to.
_AGAIN_SECONDS = 0.05


class Stopped(BaseException):
    """A signal asked the command to stop.

    Args:
        number: of the signal.
        left: what it leaves behind, as a person is to hear it.
    """

    def __init__(self, number: int, left: str = _KEPT):
        super().__init__(signal.Signals(number).name)
        self.number, self.left = number, left


class StopSignals:
    """Turns SIGTERM and SIGINT into `Stopped`, as long as the block lasts.

    Blocks may be nested: the inner one handles the signals. In a thread that is not the main one,
    where Python calls no handler, the block does nothing.

    Args:
        left: what a stopped command leaves behind, as a person is to hear it.

    Attributes:
        stopped: the exception that was raised; None until a signal came.
    """

    def __init__(self, left: str = _KEPT) -> None:
        self.stopped: Stopped | None = None
        self._left = left
        self._active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "StopSignals":
        if self._active:
            self._again = _SignalAgain()
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            self._report = sys.unraisablehook
            sys.unraisablehook = self._dropped
            self._listen()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._active:
            self._leave()
        # A library swallowed it, or made another exception of it, as Ray's compiled code does; or
        # it came while the block ended.
        if self.stopped and error is not self.stopped:
            raise self.stopped from error

    def _leave(self) -> None:
        self._again.end()
        sys.unraisablehook = self._report
        for number, handler in self._before.items():
            outer = isinstance(getattr(handler, "__self__", None), StopSignals)
            # An outer block closes down, too, see `_stop`; its end restores the handlers.
            signal.signal(number, signal.SIG_IGN if self.stopped and outer else handler)

    def check(self) -> None:
        """Raise `Stopped` again where a library swallowed it."""
        if self.stopped:
            self._close_down()
            raise self.stopped

    def _listen(self) -> None:
        """Handle the signals from now on, whoever handled them before."""
        if self._active:
            for number in SIGNALS:
                signal.signal(number, self._stop)

    def _close_down(self) -> None:
        """Once is enough: closing down must not be interrupted by a second signal."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        self._again.wanted = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        handled.set()
        # Ray's own handler, which calls this one, has set an alarm that aborts after three seconds.
        signal.alarm(0)
        # Of a signal that came before, and was dropped, there is one exception.
        self.stopped = self.stopped or Stopped(number, self._left)
        if _within_own_steps(frame):  # they are finished first
            self._again.send(number)
            return
        self._close_down()
        raise self.stopped

    def _dropped(self, unraisable: Any) -> None:
        """Raise a stop again that Python dropped, as it does what callbacks and `__del__` raise."""
        if self.stopped is None or unraisable.exc_value is not self.stopped:
            self._report(unraisable)
            return
        self._listen()
        self._again.send(self.stopped.number)


_OWN_STEPS = {
    step.__code__
    for step in (
        *(StopSignals.__enter__, StopSignals.__exit__, StopSignals._leave),
        *(StopSignals.check, StopSignals._dropped),
    )
}


def _within_own_steps(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _OWN_STEPS:
            return True
        frame = frame.f_back
    return False


class _SignalAgain(threading.Thread):
    """Sends the main thread a signal until it is no longer wanted.

    One is not enough: what comes between Python's look for signals and a call that waits is handled
    only when that call is over.

    Attributes:
        wanted: the signal's number; None: nothing is sent.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.wanted: int | None = None
        # The one queue whose manual admits its use in handlers of signals.
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.start()

    def send(self, number: int) -> None:
        """Send this signal soon, and again and again."""
        self.wanted = number
        self._turns.put(True)

    def end(self) -> None:
        """Send no more; return when no signal is under way."""
        self.wanted = None
        self._turns.put(False)
        self.join()

    def run(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while self._turns.get():
            while self.wanted:
                time.sleep(_AGAIN_SECONDS)
                if number := self.wanted:
                    signal.pthread_kill(main, number)

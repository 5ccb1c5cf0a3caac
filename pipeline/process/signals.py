"""SIGTERM and SIGINT as an exception that ends a run in order."""

import signal
import sys
import threading
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
        self._again: _SignalAgain | None = None

    def __enter__(self) -> "StopSignals":
        if self._active:
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            self._report = sys.unraisablehook
            sys.unraisablehook = self._dropped
            self._listen()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._active:
            self._leave()
        # A library swallowed it, or made another exception of it, as Ray's compiled code does.
        if self.stopped and error is not self.stopped:
            raise self.stopped from error

    def _leave(self) -> None:
        if self._again:
            _ignore()  # The last one may be under way.
            self._again.end()
            self._again.join()
        sys.unraisablehook = self._report
        for number, handler in self._before.items():
            outer = isinstance(getattr(handler, "__self__", None), StopSignals)
            # An outer block closes down, too, see `_stop`; its end restores the handlers.
            signal.signal(number, signal.SIG_IGN if self.stopped and outer else handler)

    def check(self) -> None:
        """Raise `Stopped` again where a library swallowed it."""
        if self.stopped:
            raise self.stopped

    def _listen(self) -> None:
        """Handle the signals from now on, whoever handled them before."""
        if self._active:
            for number in SIGNALS:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        handled.set()
        # Ray's own handler, which calls this one, has set an alarm that aborts after three seconds.
        signal.alarm(0)
        # Once is enough: closing down must not be interrupted by the second signal.
        _ignore()
        if self._again:
            self._again.end()
        # Of a signal that came before, and was dropped, there is one exception.
        self.stopped = self.stopped or Stopped(number, self._left)
        raise self.stopped

    def _dropped(self, unraisable: Any) -> None:
        """Raise a stop again that Python dropped, as it does what callbacks and `__del__` raise."""
        if self.stopped is None or unraisable.exc_value is not self.stopped:
            self._report(unraisable)
            return
        self._listen()
        self._again = _SignalAgain(self.stopped.number)
        self._again.start()


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class _SignalAgain(threading.Thread):
    """Signals the main thread until it has handled it.

    One signal is not enough: what comes between Python's look for signals and a call that waits
    is handled only when that call is over.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(daemon=True)
        self._number, self._ended = number, threading.Event()

    def run(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not self._ended.wait(_AGAIN_SECONDS):
            signal.pthread_kill(main, self._number)

    def end(self) -> None:
        """Send no more."""
        self._ended.set()

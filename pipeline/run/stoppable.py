"""SIGTERM and SIGINT as an exception that ends a run in order."""

import signal
from types import FrameType

_KEPT = "finished shards are kept, and the same command goes on from there"


class Stopped(BaseException):
    """A signal asked the command to stop.

    Args:
        number: of the signal.
        left: what it leaves behind, as a person is to hear it.
    """

    def __init__(self, number: int, left: str = _KEPT):
        super().__init__(signal.Signals(number).name)
        self.number, self.left = number, left


class Stoppable:
    """Turns SIGTERM and SIGINT into `Stopped`, as long as the block lasts.

    Args:
        left: what a stopped command leaves behind, as a person is to hear it.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, left: str = _KEPT) -> None:
        self.stopped: Stopped | None = None
        self._left = left

    def __enter__(self) -> "Stoppable":
        self._before = {number: signal.getsignal(number) for number in self._SIGNALS}
        self.listen()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, SystemExit) and error.code == signal.SIGTERM:
            raise Stopped(
                signal.SIGTERM, self._left
            ) from error  # by Ray's own handler, while Ray starts
        # Ray's own code may turn it into another exception on its way up.
        if self.stopped and error is not None and error is not self.stopped:
            raise self.stopped from error

    def check(self) -> None:
        """Raise `Stopped` again where it was swallowed: Python drops what callbacks raise."""
        if self.stopped:
            raise self.stopped

    def listen(self) -> None:
        """Take the signals, from whoever has them."""
        for number in self._SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Once is enough: closing down must not be interrupted by the second signal.
        for each in self._SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        self.stopped = Stopped(number, self._left)
        raise self.stopped

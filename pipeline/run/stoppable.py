"""SIGTERM and SIGINT as an exception that ends a run in order."""

import signal
from types import FrameType


class Stopped(BaseException):
    """A signal asked the run to stop; finished shards are kept."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


class Stoppable:
    """Turns SIGTERM and SIGINT into `Stopped`, as long as the block lasts."""

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.stopped: Stopped | None = None

    def __enter__(self) -> "Stoppable":
        self._before = {number: signal.getsignal(number) for number in self._SIGNALS}
        self.listen()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, SystemExit) and error.code == signal.SIGTERM:
            raise Stopped(signal.SIGTERM) from error  # by Ray's own handler, while Ray starts
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
        self.stopped = Stopped(number)
        raise self.stopped

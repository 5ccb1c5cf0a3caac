"""Which workers can be given more, the least busy first."""

from .worker_handle import WorkerHandle


class FreeWorkers:
    """Workers with room for another call, by the number of calls that each has under way.

    All that it is asked takes the same time, however many workers there are.

    Args:
        most: calls that a worker may have under way.
    """

    def __init__(self, most: int):
        # As sets that keep their order: who has waited longest is first.
        self._by_calls: list[dict[WorkerHandle, None]] = [{} for _ in range(most)]
        self._calls: dict[WorkerHandle, int] = {}
        self._run_dry: set[WorkerHandle] = set()

    @property
    def running_dry(self) -> int:
        """How many are given nothing until all that they have under way is done."""
        return len(self._run_dry)

    def update(self, handle: WorkerHandle) -> None:
        """Take note that a worker is ready, or has other calls under way than before."""
        self._take_out(handle)
        calls = len(handle.calls)
        if calls == 0:
            self._run_dry.discard(handle)
        alone = any(call.alone for call in handle.calls)
        if calls < len(self._by_calls) and not alone and handle not in self._run_dry:
            self._by_calls[calls][handle] = None
            self._calls[handle] = calls

    def remove(self, handle: WorkerHandle) -> None:
        """Forget a worker that is no more."""
        self._take_out(handle)
        self._run_dry.discard(handle)

    def run_dry(self, handle: WorkerHandle) -> None:
        """Give a worker nothing until all that it has under way is done."""
        self._run_dry.add(handle)
        self.update(handle)

    def least_busy(self) -> WorkerHandle | None:
        """Return the worker with the fewest calls under way; None if no worker has room."""
        return next((next(iter(handles)) for handles in self._by_calls if handles), None)

    def _take_out(self, handle: WorkerHandle) -> None:
        if handle in self._calls:
            del self._by_calls[self._calls.pop(handle)][handle]

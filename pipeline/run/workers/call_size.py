"""How many shards a worker is given with one call.

A call to an actor costs the driver 0.6 ms of processor time, with the answer (Ray 2.60.0), whatever
it carries. Few workers with shards of a second or so get one shard with a call; a thousand, or
shards of a few milliseconds, get more, so that the driver keeps up.
"""

from hyperdiag.run.output.receipt import Receipt

_CALLS_PER_SECOND = 250  # a sixth of a core
_MOST_SHARDS = 32  # of a call, so that its receipts together are a small message
_LAST_CALLS = 2  # for each worker, among which the last shards are divided
_MEMORY = 0.99  # what a receipt before counts for, beside the one after it


class CallSize:
    """Keeps the number of calls a second below what the driver can do with ease."""

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0

    def observe(self, receipt: Receipt) -> None:
        """Take note of how long a shard took its worker."""
        self._rows = _MEMORY * self._rows + receipt.tally.read
        self._seconds = _MEMORY * self._seconds + sum(receipt.seconds.values())

    def rows(self, workers: int) -> int:
        """Return how many rows a call is to have, if its shards are small; 0 as long as unknown.

        Args:
            workers: that share the calls.
        """
        if not self._seconds:
            return 0
        return round(workers / _CALLS_PER_SECOND * self._rows / self._seconds)

    @staticmethod
    def shards(workers: int, left: int) -> int:
        """Return how many shards a call may have at most.

        Args:
            workers: that share the calls.
            left: shards that no worker has been given yet.
        """
        return max(1, min(_MOST_SHARDS, left // (_LAST_CALLS * max(workers, 1))))

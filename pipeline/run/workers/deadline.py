"""How long a worker may take before it is taken for hung."""

_TIMES_THE_SLOWEST = 10
_LEAST_SECONDS = 60.0
_UNKNOWN_SECONDS = 3600.0  # before any shard is done


class Deadline:
    """When a shard is overdue.

    By itself it follows the rate that is observed: a worker may be quiet for ten times what the
    slowest shard so far took for as many rows.

    Args:
        fixed: seconds in which every shard must be done instead; None follows the rate.
        store_seconds: for which a store may keep a worker waiting, which then says so itself.
    """

    def __init__(self, fixed: float | None, store_seconds: float = 0.0):
        self._fixed = fixed
        self._least = _LEAST_SECONDS + store_seconds
        self._slowest = 0.0  # seconds for a row

    @property
    def is_fixed(self) -> bool:
        """Whether every shard has the same seconds."""
        return self._fixed is not None

    def observe(self, rows: int, seconds: float) -> None:
        """Take note of how long shards of so many rows took, from when they were handed out."""
        if rows:
            self._slowest = max(self._slowest, seconds / rows)

    def is_over(self, rows: int, began: float, quiet_since: float, now: float) -> bool:
        """Tell whether shards of so many rows are overdue.

        Args:
            rows: of shards that a worker was given together; of one, where the seconds are fixed.
            began: when it was given them, on the monotonic clock, as `quiet_since` and `now`.
            quiet_since: when it last made progress.
            now: the time.
        """
        if self._fixed is not None:
            return now - began > self._fixed
        return now - quiet_since > self.quiet_seconds(rows)

    def quiet_seconds(self, rows: int) -> float:
        """Return how long a worker may go without progress in shards of so many rows."""
        if not self._slowest:
            return _UNKNOWN_SECONDS
        return max(self._least, _TIMES_THE_SLOWEST * self._slowest * rows)

    def sentence(self, rows: int) -> str:
        """Return what so many rows may take, and how to let them take longer."""
        if self._fixed is not None:
            return f"limits.shard_seconds={self._fixed:g} is what a shard may take"
        return (
            f"{self.quiet_seconds(rows):.0f} s without progress; a limits.shard_seconds of your "
            "own lets it take longer"
        )

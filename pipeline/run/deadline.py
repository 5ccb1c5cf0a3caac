"""How long a shard may take before its worker is taken for hung."""

from pipeline.data.shard import Shard

_TIMES_THE_SLOWEST = 10
_LEAST_SECONDS = 60.0
_UNKNOWN_SECONDS = 3600.0  # before any shard is done


class Deadline:
    """Follows the rate that is observed: ten times what the slowest shard so far took for its rows.

    Args:
        fixed: seconds for every shard instead; None follows the rate.
    """

    def __init__(self, fixed: float | None):
        self._fixed = fixed
        self._slowest = 0.0  # seconds for a row

    def observe(self, shard: Shard, seconds: float) -> None:
        """Take note of how long a shard took, from when it was handed out."""
        self._slowest = max(self._slowest, seconds / max(shard.rows, 1))

    def seconds(self, shard: Shard) -> float:
        """Return how long a shard may take."""
        if self._fixed is not None:
            return self._fixed
        if not self._slowest:
            return _UNKNOWN_SECONDS
        return max(_LEAST_SECONDS, _TIMES_THE_SLOWEST * self._slowest * shard.rows)

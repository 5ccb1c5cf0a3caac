"""A time budget, shared among the parts of a measurement."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Part:
    """The time of a part, and what it had none for.

    Attributes:
        name: of the part.
        deadline: by `clock`, after which no step begins but the first.
        clock: seconds.
        left_out: steps that did not begin.
    """

    name: str
    deadline: float
    clock: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list)
    _began: bool = False

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(self.deadline - self.clock(), 0.0)

    def begins(self, step: str) -> bool:
        """Tell whether a step has its time; if not, it is noted as left out."""
        if self._began and not self.left:
            self.left_out.append(step)
            return False
        self._began = True
        return True


class Budget:
    """Seconds for all parts: each has its share of what those before it left.

    Args:
        seconds: in all.
        shares: of each part, in their order; relative to each other.
        clock: seconds.
    """

    def __init__(
        self,
        seconds: float,
        shares: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._ends, self._clock = clock() + seconds, clock
        self._shares = dict(shares)

    def part(self, name: str) -> Part:
        """Return the next part, which begins now; it has no time if all is spent."""
        now, share = self._clock(), self._shares[name]
        left = max(self._ends - now, 0.0)
        part = Part(name, now + left * share / sum(self._shares.values()), self._clock)
        del self._shares[name]
        return part

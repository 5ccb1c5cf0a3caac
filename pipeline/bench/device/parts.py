"""A time budget, shared among the parts of a measurement."""

import time
from collections.abc import Callable
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
    """Seconds for all parts. What a part does not need is left to those after it.

    Args:
        seconds: in all.
        clock: seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._began, self._seconds, self._clock = clock(), seconds, clock

    @property
    def spent(self) -> bool:
        """Whether no time is left."""
        return self._clock() >= self._began + self._seconds

    def part(self, name: str, ends_at: float) -> Part:
        """Return the part that ends at a share of the whole, from 0 to 1."""
        return Part(name, self._began + ends_at * self._seconds, self._clock)

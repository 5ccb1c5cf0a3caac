"""Numbers of things, as people say them."""

from collections.abc import Mapping


def counted(number: int, noun: str) -> str:
    """Return `1 worker`, `2,000 workers`; `noun` stands for one of them."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def by_code(quarantined: Mapping[str, int]) -> str:
    """Return how many rows have which fault: `12 nan, 3 null`."""
    return ", ".join(f"{count:,} {code}" for code, count in quarantined.items())

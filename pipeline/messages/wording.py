"""Numbers of things, as people say them."""

from collections.abc import Mapping

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def counted(number: int, noun: str) -> str:
    """Return `1 worker`, `2,000 workers`; `noun` stands for one of them."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def by_code(quarantined: Mapping[str, int]) -> str:
    """Return how many rows have which fault: `12 nan, 3 null`."""
    return ", ".join(f"{count:,} {code}" for code, count in quarantined.items())


def duration(seconds: float) -> str:
    """Return a length of time for people: `8.4 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds == float("inf"):
        return "unknown time"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(number: float) -> str:
    """Return a number of bytes for people: `512 bytes`, `3.4 MB`."""
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} {_UNITS[-1]}"

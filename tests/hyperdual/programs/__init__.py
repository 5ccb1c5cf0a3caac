"""Programs of every kind that the methods must be exact on, by family."""

from . import (
    arrays,
    complex_numbers,
    control,
    convolutions,
    elementwise,
    indexing,
    linear_algebra,
    networks,
    parameters,
    reductions,
    rules,
    shapes,
)
from ._program import Program

FAMILIES = (
    elementwise,
    networks,
    convolutions,
    reductions,
    indexing,
    arrays,
    control,
    rules,
    linear_algebra,
    complex_numbers,
    shapes,
    parameters,
)

PROGRAMS: dict[str, Program] = {}
for _family in FAMILIES:
    assert not PROGRAMS.keys() & _family.PROGRAMS.keys()
    PROGRAMS |= _family.PROGRAMS

__all__ = ["PROGRAMS", "Program"]

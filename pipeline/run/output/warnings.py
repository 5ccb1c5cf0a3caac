"""What people overlook in a result, a sentence each: for the manifest, and for the log."""

import logging
from collections.abc import Iterator

from hyperdiag.data.output_folder import MANIFEST
from hyperdiag.run.plan.planner import Planned
from hyperdiag.statistics.group_names import most_groups
from hyperdiag.statistics.statistics import Statistics

from .receipt import Tally

# The part of rows from which on an output without curvature on them is worth a word.
_MANY_FLAT_ROWS = 0.1
_BAD_FILES_SHOWN = 8

log = logging.getLogger("hyperdiag")


def make_warnings(
    planned: Planned, tally: Tally, smallest_batch: int, statistics: Statistics | None = None
) -> list[str]:
    """Return sentences on what people overlook in the result of a run.

    Args:
        planned: its plan.
        tally: of all its rows.
        smallest_batch: the fewest rows that were computed at once; 0 if none were.
        statistics: of all its rows; None where none are kept.
    """
    plan = planned.plan
    return [
        *_flat_outputs(plan.network.outputs, tally, plan.kernel.dtype),
        *_verified_rows(tally, plan.kernel.tolerance, plan.kernel.dtype),
        *planned.rounded_inputs,
        *_left_out(planned),
        *left_out_groups(statistics),
        *_smaller_batches(smallest_batch, plan.kernel.batch),
    ]


def warn_of_input(planned: Planned) -> None:
    """Log which inputs are rounded by much, and the first of the files that were left out."""
    for sentence in planned.rounded_inputs:
        log.warning("%s", sentence)
    for line in _left_out(planned)[:_BAD_FILES_SHOWN]:
        log.warning("%s", line)
    more = len(planned.bad_files) - _BAD_FILES_SHOWN
    if more > 0:
        log.warning("left out: %d more, which %s names", more, MANIFEST)


def _flat_outputs(outputs: tuple[str, ...], tally: Tally, dtype: str) -> Iterator[str]:
    shares = {
        name: count / tally.derived
        for name, count in zip(outputs, tally.flat, strict=False)
        if count and tally.derived
    }
    everywhere = [name for name, share in shares.items() if share == 1]
    if everywhere:
        yield (
            f"the Hessian diagonal of {', '.join(everywhere)} is zero on every row: as where an "
            "output does not depend on the inputs asked for or is linear in each, and as ReLU, "
            f"clipping or saturation in {dtype} make it; then these zeros say nothing of the "
            "curvature of what is modelled"
        )
    flat = [f"{n} ({s:.0%})" for n, s in shares.items() if _MANY_FLAT_ROWS <= s < 1]
    if flat:
        yield (
            f"the Hessian diagonal is zero for every input on many rows of {', '.join(flat)}: "
            "as where an output is clipped or saturated, or where its curvature vanishes at just "
            "these points"
        )


def excused_rows(tally: Tally, dtype: str) -> Iterator[str]:
    """Yield a sentence on each kind of verified rows whose errors were excused.

    Args:
        tally: with the counts.
        dtype: of the run.
    """
    if tally.at_kinks:
        yield (
            f"{tally.at_kinks:,} of {tally.verified:,} verified rows lie where the reference jumps "
            "within rounding of the point, as at a kink or a very steep place: what is written "
            "there may be what holds on either side"
        )
    if tally.rounded:
        yield (
            f"{tally.rounded:,} of {tally.verified:,} verified rows have derivatives that are "
            f"smaller, beside the value, than what {dtype} rounds off, as of saturated activations "
            "or cancelling terms: JAX's own are off there, too"
            + (", and derivatives.dtype=float64 has their digits" if dtype == "float32" else "")
        )


def _verified_rows(tally: Tally, tolerance: float, dtype: str) -> Iterator[str]:
    yield from excused_rows(tally, dtype)
    if tally.largest_error > tolerance / 10:
        why = (
            "as by rounding; derivatives.dtype=float64 has more digits"
            if dtype == "float32"
            else "as where terms cancel, or the network itself rounds to float32"
        )
        yield (
            f"the largest error of verified rows is {tally.largest_error:.1e} of the largest "
            f"there, in {dtype}, {why}"
        )


def _left_out(planned: Planned) -> list[str]:
    return [f"left out: {file.path}: {file.reason}" for file in planned.bad_files]


def left_out_groups(statistics: Statistics | None) -> Iterator[str]:
    """Yield a sentence where there were too many groups, so that there are statistics of none.

    Args:
        statistics: of all rows so far; None where none are kept.
    """
    if statistics and statistics.moments and statistics.moments.too_many:
        numbers = statistics.shape.numbers.count
        yield (
            f"there are no statistics of groups: summary.by={statistics.shape.by} has more values "
            f"in the rows that were derived than {most_groups(numbers):,}, the most for rows of "
            f"{numbers:,} numbers. A column of fewer values, or fewer derivatives, have "
            "them, in a new output; rows and all other statistics are as ever"
        )


def _smaller_batches(smallest: int, planned: int) -> Iterator[str]:
    if 0 < smallest < planned:
        yield (
            f"a device had no memory for {planned:,} rows at once: down to {smallest:,} were "
            f"computed instead, with the same bits; derivatives.batch={smallest} from the start is "
            "faster"
        )

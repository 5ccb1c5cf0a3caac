"""The manifest: what a whole run has to say of itself, with a word on what people overlook."""

import datetime
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.receipt import STAGES, Failed
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.planner import Planned

from .inventory import Inventory
from .receipt import Receipt, Tally

# The part of rows from which on an output without curvature on them is worth a word.
_MANY_FLAT_ROWS = 0.1
_BAD_FILES_SHOWN = 8

log = logging.getLogger("hyperdiag")


@dataclass
class Work:
    """What one command did of a run.

    Attributes:
        workers: how many were ready at the start; 0 if there was nothing to do.
        start_seconds: until they were.
        seconds: of work after that.
        rows: read in these.
        stages: seconds by stage, over all workers.
        batch: the fewest rows that were computed at once; 0 if none were.
        failures: shards that were given up.
    """

    workers: int = 0
    start_seconds: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    batch: int = 0
    failures: list[Failed] = field(default_factory=list)

    def add(self, receipt: Receipt) -> None:
        """Take in a shard that was done."""
        self.rows += receipt.tally.read
        self.stages.update(receipt.seconds)
        self.batch = min(self.batch or receipt.batch, receipt.batch)


def make_manifest(
    planned: Planned, inventory: Inventory, work: Work, output: str
) -> dict[str, Any]:
    """Return the manifest of a run that is whole.

    Args:
        planned: its plan.
        inventory: what is done of it: all.
        work: what this command did of it.
        output: the output folder.
    """
    tally, plan = inventory.tally, planned.plan
    outputs, batch = plan.network.outputs, plan.kernel.batch
    return facts(planned.plan, inventory.shards, tally) | {
        "output": masked(absolute(output)),
        "bad_files": bad_files(planned),
        "warnings": [*_warnings(outputs, tally, planned), *_of_work(work, batch)],
        "workers": work.workers,
        "seconds": {
            "start": work.start_seconds,
            "work": work.seconds,
            "rows": work.rows,
            "stages": {stage: round(work.stages[stage], 3) for stage in STAGES},
        },
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def bad_files(planned: Planned) -> list[dict[str, str]]:
    """Return path and reason of each file that was left out."""
    return [file._asdict() for file in planned.bad_files]


def _left_out(planned: Planned) -> list[str]:
    return [f"left out: {file.path}: {file.reason}" for file in planned.bad_files]


def warn_of_bad_files(planned: Planned) -> None:
    """Log the first of the files that were left out."""
    for line in _left_out(planned)[:_BAD_FILES_SHOWN]:
        log.warning("%s", line)
    more = len(planned.bad_files) - _BAD_FILES_SHOWN
    if more > 0:
        log.warning("left out: %d more, which run/manifest.json names", more)


def facts(plan: Plan, shards: int, tally: Tally) -> dict[str, Any]:
    """Return the part of a manifest that follows from the plan and the data files alone."""
    network, kernel = plan.network, plan.kernel
    return {
        "plan": plan.digest,
        "network": {
            "name": network.name,
            "digest": network.digest,
            "inputs": list(network.inputs),
            "outputs": list(network.outputs),
        },
        "method": kernel.method,
        "dtype": kernel.dtype,
        "directions": list(kernel.directions),
        "outputs": list(kernel.quantities),
        "layout": plan.output.layout,
        "shards": shards,
        "rows": tally.to_dict(),
        "tolerance": kernel.tolerance,
        "versions": dict(plan.versions),
    }


def _warnings(outputs: Sequence[str], tally: Tally, planned: Planned) -> list[str]:
    warnings = []
    shares = {
        name: count / tally.derived
        for name, count in zip(outputs, tally.flat, strict=False)
        if count and tally.derived
    }
    flat = [name for name, share in shares.items() if share == 1]
    if flat:
        warnings.append(
            f"the Hessian diagonal of {', '.join(flat)} is zero everywhere: such outputs are "
            "piecewise linear (ReLU, clipping), and these zeros are no curvature of what they model"
        )
    plateaus = [f"{n} ({s:.0%})" for n, s in shares.items() if _MANY_FLAT_ROWS <= s < 1]
    if plateaus:
        warnings.append(
            f"the Hessian diagonal is zero for every input on many rows of {', '.join(plateaus)}: "
            "plateaus, where the network is clipped or saturated"
        )
    if tally.at_kinks:
        warnings.append(
            f"{tally.at_kinks:,} of {tally.verified:,} verified rows lie where derivatives jump "
            "within rounding of the point: there the network is not differentiable, and what is "
            "written is the derivative on one side"
        )
    if tally.largest_error > planned.plan.kernel.tolerance / 10:
        warnings.append(
            f"the largest rounding error of verified rows is {tally.largest_error:.1e} of the "
            "largest there (saturated activations, cancelling terms): take "
            "derivatives.dtype=float64 for more digits"
        )
    return warnings + _left_out(planned)


def _of_work(work: Work, batch: int) -> list[str]:
    if not 0 < work.batch < batch:
        return []
    return [
        f"a device had no memory for {batch:,} rows at once: down to {work.batch:,} were computed "
        f"instead, with the same bits; derivatives.batch={work.batch} from the start is faster"
    ]

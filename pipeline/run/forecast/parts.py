"""Row groups that are read in parts: what is read again, and how many workers find work."""

from collections.abc import Sequence
from itertools import groupby

from hyperdiag.config.schema import Config
from hyperdiag.data.shard import Shard
from hyperdiag.messages.wording import counted, size
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.spec import ParquetSpec

from .probe import Shards
from .result import Estimate


def bytes_again(plan: Plan, inventory: Inventory, readers: int) -> int:
    """Return how many bytes of split row groups are read more than once, at most.

    To get to rows within a row group, those before them are read. A reader goes through a row group
    once, whichever of its parts it is asked for; there is one for each shard that is read at a
    time; a single one goes on where it is.
    """
    files = {file.path: file for file in plan.files}
    again = 0.0
    for (path, group), shards in groupby(inventory.missing(plan), _group):
        if not path:
            continue
        sizes = files[path].row_group_rows
        parts = [shard.first_row for shard in shards if shard.rows < sizes[group]]
        if parts:
            start = sum(sizes[:group])
            before = [row - start for row in parts]
            row_bytes = files[path].size / max(sum(sizes), 1)
            again += min(sum(before), (readers - 1) * max(before)) * row_bytes
    return round(again)


def _group(shard: Shard) -> tuple[str, int]:
    """Return the file and the one row group that a shard is of; "" and -1 where there is none."""
    alone = shard.file is not None and shard.row_groups == 1
    return (shard.file.path, shard.first_row_group) if alone and shard.file else ("", -1)


def notes_on_shards(
    config: Config, plan: Plan, shards: Shards, times: Sequence[Estimate], again: int
) -> list[str]:
    """Return what is read again, and what keeps some of the numbers of workers from being at work.

    Args:
        config, plan, shards: of the run.
        times: estimates for numbers of workers.
        again: what `bytes_again` says.
    """
    notes = []
    if again:
        notes.append(
            f"row groups are split between shards: up to {size(again)} of the input are read again "
            "to get to the rows of each"
        )
    number = int(shards.rows.size)
    if number >= max(estimate.workers for estimate in times):
        return notes
    most = int(shards.rows.max())
    mend = "a smaller dataset.shard_rows makes more, in a new output"
    if isinstance(plan.dataset, ParquetSpec) and plan.dataset.split_rows is None:
        mend = (
            "row groups are not split in this output, which an earlier release began; "
            "output.mode=overwrite splits them"
        )
    elif config.dataset.shard_rows is None and number == 1:
        mend = "so few rows are not worth more; dataset.shard_rows makes more of them"
    shards_of = "there is 1 shard" if number == 1 else f"there are {number:,} shards"
    return [
        *notes,
        f"no more than {counted(number, 'worker')} can be at work: {shards_of} of up to "
        f"{counted(most, 'row')} ({mend})",
    ]

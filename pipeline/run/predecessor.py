"""What a plan takes over from the one that its output folder holds."""

from dataclasses import replace
from typing import Any

from pipeline.config import Config
from pipeline.data.filesystem import Place, resolve
from pipeline.data.parquet import ParquetSource
from pipeline.data.shard import InputFile
from pipeline.data.sink import RUN, STAGED

from .plan import Plan, Settings


def earlier_settings(config: Config) -> Settings | None:
    """Return the settings of the plan that this run goes on from; None if there is none to keep."""
    if config.output.mode == "overwrite":
        return None
    try:
        head = Plan.load_head(_holder(config))
        # Keys that are looked at, of a plan that an older version may have written.
        return None if head is None or not head[1].keys() >= _SECTIONS else head[1]
    except (ValueError, OSError):
        return None  # no plan of ours: the ledger will say so


_SECTIONS = {"network", "dataset", "derivatives", "output"}


def _holder(config: Config) -> Place:
    """Return the output that holds the plan: an unfinished update comes before what it updates."""
    output = resolve(config.output.path)
    staged = output / STAGED
    pending = config.output.mode == "update" and (staged / RUN / "plan.json").exists()
    return staged if pending else output


def earlier_shard_rows(config: Config) -> int | None:
    """Return the size of shards that an update keeps, so that unchanged files stay as they are."""
    settings = earlier_settings(config) if config.output.mode == "update" else None
    return None if settings is None else settings["dataset"].get("shard_rows")


def earlier_sizes(config: Config) -> dict[str, Any] | None:
    """Return the sizes of batches and row groups that an update keeps."""
    settings = earlier_settings(config) if config.output.mode == "update" else None
    if settings is None:
        return None
    return {
        "batch": settings["derivatives"]["batch"],
        "row_group_rows": settings["output"]["row_group_rows"],
    }


def with_earlier_ids(plan: Plan, config: Config) -> Plan:
    """Return the plan with the shard ids that unchanged files have in the earlier plan.

    Files that are new or changed get ids that no file had.
    """
    output = _holder(config)
    try:
        head = Plan.load_head(output)
        if config.output.mode == "overwrite" or head is None or head[0] == plan.digest:
            return plan
        before = Plan.load(output)
    except (ValueError, OSError):
        return plan  # the ledger will say so
    assert before is not None
    source = plan.source
    if not isinstance(source, ParquetSource) or before.recipe != plan.recipe or source.limit:
        return plan
    firsts: dict[InputFile, int] = {}
    free = 0
    for shard in before.shards():
        assert shard.file is not None
        firsts.setdefault(shard.file, shard.id)
        free = max(free, shard.id + 1)
    same = {file[:4] for file in before.files}
    files, natural = [], 0
    for file in plan.files:
        count = sum(1 for _ in replace(source, files=[file]).shards())
        first = firsts.get(file._replace(row_group_rows=())) if file[:4] in same else None
        if first is None:
            first, free = free, free + count
        files.append(file._replace(first_shard=first if count else -1))
        natural = natural + count if natural >= 0 and (first == natural or not count) else -1
    # Ids that follow from the order alone are not written down.
    return plan if natural >= 0 else replace(plan, files=tuple(files))

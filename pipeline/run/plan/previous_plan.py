"""What a plan takes over from the one that its output folder holds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import STAGED
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import Listing

from .plan import Plan, Settings, decoded_schema

_SECTIONS = {"network", "dataset", "derivatives", "output"}


def earlier_settings(config: Config) -> Settings | None:
    """Return the settings of the plan that this run goes on from; None if there is none to keep."""
    if config.output.mode == "overwrite":
        return None
    try:
        head = Plan.load_head(resolve(config.output.path))
        # Keys that are looked at, of a plan that an older version may have written.
        return None if head is None or not head[1].keys() >= _SECTIONS else head[1]
    except (ValueError, OSError):
        return None  # no plan of ours: the ledger will say so


def earlier_shard_rows(earlier: Settings | None) -> int | None:
    """Return the size of shards that is kept, so that those of unchanged files stay as they are."""
    return None if earlier is None else earlier["dataset"].get("shard_rows")


def earlier_sizes(earlier: Settings | None) -> dict[str, Any] | None:
    """Return the sizes of batches and row groups that are kept."""
    if earlier is None:
        return None
    batch = earlier["derivatives"].get("batch")
    row_group_rows = earlier["output"].get("row_group_rows")
    return {"batch": batch, "row_group_rows": row_group_rows} if batch and row_group_rows else None


def with_earlier_columns(listing: Listing, earlier: Settings | None) -> Listing:
    """Return the listing with its columns in the order of the earlier plan.

    Files may have theirs in any order, and a new one may come first.
    """
    encoded = earlier and earlier["dataset"].get("schema")
    if not encoded:
        return listing
    before = decoded_schema(encoded)
    same = sorted(map(str, before)) == sorted(map(str, listing.schema))
    return listing._replace(schema=before) if same else listing


def with_earlier_ids(plan: Plan, config: Config) -> Plan:
    """Return the plan with the shard ids that unchanged files have in the earlier plan.

    Files that are new or changed get ids that no file had, neither in what was published nor in an
    update of it that was not finished.
    """
    source = plan.source
    if config.output.mode == "overwrite" or not isinstance(source, ParquetSource) or source.limit:
        return plan
    earlier = []
    output = resolve(config.output.path)
    for place in (output, output / STAGED) if config.output.mode == "update" else (output,):
        try:
            head = Plan.load_head(place)
            if head is not None and head[0] == plan.digest:
                return plan
            before = Plan.load(place)
        except (ValueError, OSError):
            continue  # the ledger will say so
        if before is not None and before.settings_digest == plan.settings_digest:
            earlier.append(before)
    if not earlier:
        return plan
    firsts: dict[tuple[Any, ...], int] = {}
    free = 0
    for before in earlier:
        number = 0
        for file in before.files:
            number = number if file.first_shard < 0 else file.first_shard
            firsts.setdefault(file[:4], number)
            number += sum(1 for _ in source.runs(file))
            free = max(free, number)
    return _with_ids(plan, source, firsts, free)


def _with_ids(
    plan: Plan, source: ParquetSource, firsts: Mapping[tuple[Any, ...], int], free: int
) -> Plan:
    files, natural, only_natural = [], 0, True
    for file in plan.files:
        count = sum(1 for _ in source.runs(file))
        first = firsts.get(file[:4], -1) if count else -1
        if count and first < 0:
            first, free = free, free + count
        only_natural &= first == natural or not count
        natural += count
        files.append(file._replace(first_shard=first))
    # Ids that follow from the order alone are not written down.
    return plan if only_natural else replace(plan, files=tuple(files))

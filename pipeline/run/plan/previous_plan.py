"""What a plan takes over from the one that its output folder holds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import STAGED
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.networks import network_options

from .plan import Plan
from .plan_file import load_digest, load_plan, load_settings
from .spec import ParquetSpec, Settings, decoded_schema


def previous_settings(config: Config) -> Settings | None:
    """Return the settings of the plan that this run goes on from; None if there is none to keep."""
    if config.output.mode == "overwrite":
        return None
    try:
        return load_settings(resolve(config.output.path))
    except (ValueError, OSError):
        return None  # no plan of ours: the ledger will say so


def previous_columns(previous: Settings | None) -> pa.Schema | None:
    """Return the columns of the dataset in the previous plan; None if there are none."""
    if previous is None or not isinstance(previous.dataset, ParquetSpec):
        return None
    return decoded_schema(previous.dataset.schema)


def without_new_options(settings: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's options without those that are new since a plan was made.

    At their defaults, these leave the plan what it was.

    Args:
        settings: the name and options of a network.
        previous: those of the plan that this run goes on from.
    """
    if settings["name"] != previous.get("name"):
        return dict(settings)
    defaults = network_options(settings["name"])
    return {
        key: value
        for key, value in settings.items()
        if key in previous or key == "name" or value != defaults.get(key)
    }


def with_previous_ids(plan: Plan, config: Config) -> Plan:
    """Return the plan with the shard ids that unchanged files have in the previous plan.

    Files that are new or changed get ids that no file had, neither in what was published nor in an
    update of it that was not finished.
    """
    source = plan.source
    if config.output.mode == "overwrite" or not isinstance(source, ParquetSource) or source.limit:
        return plan
    previous = []
    output = resolve(config.output.path)
    for place in (output, output / STAGED) if config.output.mode == "update" else (output,):
        try:
            if load_digest(place) == plan.digest:
                return plan
            kept = load_plan(place)
        except (ValueError, OSError):
            continue  # the ledger will say so
        if kept is not None and kept.settings_digest == plan.settings_digest:
            previous.append(kept)
    if not previous:
        return plan
    first_ids: dict[tuple[Any, ...], int] = {}
    free = 0
    for kept in previous:
        number = 0
        for file in kept.files:
            number = number if file.first_shard < 0 else file.first_shard
            first_ids.setdefault(file[:4], number)
            number += sum(1 for _ in source.runs(file))
            free = max(free, number)
    return _with_ids(plan, source, first_ids, free)


def _with_ids(
    plan: Plan, source: ParquetSource, first_ids: Mapping[tuple[Any, ...], int], free: int
) -> Plan:
    files, natural, only_natural = [], 0, True
    for file in plan.files:
        count = sum(1 for _ in source.runs(file))
        first = first_ids.get(file[:4], -1) if count else -1
        if count and first < 0:
            first, free = free, free + count
        only_natural &= first == natural or not count
        natural += count
        files.append(file._replace(first_shard=first))
    # Ids that follow from the order alone are not written down.
    return plan if only_natural else replace(plan, files=tuple(files))

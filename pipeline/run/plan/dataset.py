"""The part of a plan that says where the rows come from, checked against network and output."""

from collections.abc import Mapping

import numpy as np

from hyperdiag.config.schema import Config, DesignConfig, ParquetConfig
from hyperdiag.data.dataset_columns import UsedColumns
from hyperdiag.data.dataset_files import would_match
from hyperdiag.data.design import SOBOL_ROWS, grid_rows
from hyperdiag.data.filesystem import Place, absolute, files_in, real_places, resolve
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.object_store.tries import without_tries
from hyperdiag.data.output_folder import DATA, PLAN, QUARANTINE, file_name
from hyperdiag.data.parquet_listing import Listing
from hyperdiag.data.points import point_columns
from hyperdiag.data.row_filter import filter_columns, parse_filter
from hyperdiag.messages.errors import Problems, UsageError, closest, closest_or_all, listed
from hyperdiag.messages.masking import masked
from hyperdiag.networks import Network

from .plan_file import no_run
from .spec import DatasetSpec, DesignSpec, Ends, ParquetSpec, PointsSpec, encoded_schema
from .summary import check_groups_column

# A dataset makes about 64 shards, as long as they are worth a file and can be done again cheaply.
# Not by the number of workers: the same shards, and so the same bits, whoever does the work.
_SHARDS = 64
_MOST_SHARDS = 10_000_000  # see "How large" in pipeline/run/README.md
_SHARD_ROWS_LEAST, _SHARD_ROWS_MOST = 1 << 13, 1 << 17


def plan_design(design: DesignConfig, config: Config, network: Network) -> DesignSpec:
    """Return the plan's section on a design of points.

    Raises:
        UsageError: with every problem that was found.
    """
    problems = Problems()
    if config.summary.by is not None:
        problems.add("summary.by: a design has no columns but the inputs, which tell no groups")
    ranges: dict[str, Ends] = {name: (low, high) for name, (low, high) in network.ranges.items()}
    configured = design.ranges or {}
    for name, ends in configured.items():
        if name not in network.inputs:
            problems.add(
                f"dataset.ranges names '{name}', which is no input of network '{network.name}'"
                f"{closest(name, network.inputs)}"
            )
        elif len(ends) != 2 or not (np.isfinite(ends).all() and ends[0] < ends[1]):
            problems.add(f"dataset.ranges.{name} must be [low, high], low < high; got {ends}")
        else:
            ranges[name] = float(ends[0]), float(ends[1])
    unknown = [name for name in network.inputs if name not in {**ranges, **configured}]
    if unknown:
        problems.add(
            f"network '{network.name}' has no trained range for {listed(unknown)}: "
            f"give dataset.ranges={{{unknown[0]}: [low, high], ...}}"
        )
    levels: dict[str, int] = {}
    rows = design.rows
    if design.sampler == "grid":
        every: Mapping[str, int] = (
            dict.fromkeys(network.inputs, design.levels)
            if isinstance(design.levels, int)
            else design.levels
        )
        wrong = set(every) ^ set(network.inputs)
        if wrong:
            problems.add(f"dataset.levels must name every input once; look at {listed(wrong)}")
        else:
            levels = {name: every[name] for name in network.inputs}
            rows = grid_rows(levels)
    if design.sampler == "sobol" and rows > SOBOL_ROWS:
        problems.add(
            f"dataset.rows: a Sobol sequence here has {SOBOL_ROWS} points, not {rows}; "
            "take dataset.sampler=latin_hypercube"
        )
    made = min(rows, design.limit or rows)
    shard_rows = design.shard_rows or _shard_rows(made)
    if made > shard_rows * _MOST_SHARDS:
        problems.add(
            f"a design of {made:,} rows makes more than {_MOST_SHARDS:,} shards: take fewer rows "
            "or levels, a dataset.limit, or a larger dataset.shard_rows"
        )
    problems.check()
    return DesignSpec(
        ranges={name: ranges[name] for name in network.inputs},
        sampler=design.sampler,
        rows=rows,
        seed=design.seed,
        levels=levels,
        limit=design.limit,
        dtype=config.derivatives.dtype,
        shard_rows=shard_rows,
    )


def check_quarantine(path: str) -> None:
    """Check that there are rows to derive again in the output folder at a path.

    Raises:
        UsageError: if it is no output folder, or has no quarantined rows.
    """
    output = resolve(path)
    if not (output / PLAN).exists():
        raise UsageError(
            f"dataset.path {masked(path)} {no_run(output)}; "
            "dataset=quarantine takes the output folder of an earlier run"
        )
    if not files_in(output / QUARANTINE):
        raise UsageError(
            f"dataset.path {masked(path)} has no quarantined rows: there is nothing to derive again"
        )


def used_columns(config: Config, dataset: ParquetConfig, network: Network | None) -> UsedColumns:
    """Return the columns that a run asks for.

    Args:
        config: of the run.
        dataset: its section on the dataset.
        network: whose inputs are read; None where it could not be built.
    """
    renames = dataset.columns or {}
    inputs = () if network is None else network.inputs
    names = {dataset.vector} if dataset.vector else {renames.get(name, name) for name in inputs}
    if dataset.filter is not None:
        names |= filter_columns(dataset.filter)
    if dataset.name == "quarantine":
        names |= {SOURCE_FILE, ROW_INDEX, *dataset.left_out}
    if isinstance(config.output.columns, list):
        names |= {*config.output.columns}
    names |= config.derived.columns
    if config.summary.by is not None:
        names.add(config.summary.by)
    return UsedColumns(names, every=config.output.columns == "all")


def check_listing(config: Config, listing: Listing) -> None:
    """Check what the listed files must be for this run, whatever the network.

    Raises:
        UsageError: with every problem that was found.
    """
    dataset = config.dataset
    assert isinstance(dataset, ParquetConfig)
    problems = Problems()
    if dataset.on_bad_file == "fail":
        for file in listing.bad_files:
            problems.add(
                f"{file.path}: {file.reason}; mend or remove it, or leave such files out, with all "
                "their rows, with dataset.on_bad_file=skip"
            )
    if dataset.filter is not None:
        problems.attempt(parse_filter, dataset.filter, listing.schema)
    if isinstance(config.output.columns, list):
        for name in config.output.columns:
            if name not in listing.schema.names:
                problems.add(
                    f"output.columns: the dataset has no column '{name}'"
                    f"{closest_or_all(name, listing.schema.names)}"
                )
    check_groups_column(config.summary.by, listing.schema, problems)
    if dataset.limit and config.output.mode == "update":
        problems.add(
            "dataset.limit and output.mode=update exclude each other: which rows are the first "
            "changes with the files"
        )
    source, output = resolve(dataset.path), resolve(config.output.path).real()
    files = real_places(Place(source.filesystem, file.path) for file in listing.files)
    cleared = [output, (output / DATA).real(), (output / QUARANTINE).real()]
    if any(folder.contains(file) for file in files for folder in cleared):
        problems.add(
            f"dataset.path {masked(dataset.path)} lies inside output.path, where this run writes "
            "and clears; give another output.path"
        )
    if source.real().contains(output):
        problems.add(
            f"output.path {masked(config.output.path)} lies inside dataset.path: the next run "
            "would read it as input; put it elsewhere"
        )
    elif any(would_match(source, output / name / file_name(0)) for name in (DATA, QUARANTINE)):
        problems.add(
            f"dataset.path {masked(dataset.path)} also matches what is written to output.path "
            f"{masked(config.output.path)}: the next run would read it as input; put it elsewhere"
        )
    problems.check()


def plan_parquet(
    dataset: ParquetConfig, network: Network, listing: Listing, previous: DatasetSpec | None
) -> ParquetSpec:
    """Return the plan's section on a Parquet dataset.

    Args:
        dataset: as configured.
        network: whose inputs are looked for.
        listing: what was found.
        previous: the section of the previous plan, whose sizes are kept where none are configured;
            None where there is none.

    Raises:
        UsageError: if the network's inputs are not in it, or it makes too many shards.
    """
    points = point_columns(
        network.inputs,
        listing.schema,
        dataset.columns or {},
        dataset.vector,
        f"dataset {masked(dataset.location)}",
        network.name,
    )
    rows = sum(sum(file.row_group_rows) for file in listing.files)
    rows = min(rows, dataset.limit or rows)
    split_rows: int | None = dataset.shard_rows or _even_rows(rows)
    if previous is not None:
        split_rows = previous.split_rows if isinstance(previous, ParquetSpec) else None
    shard_rows = previous.shard_rows if previous else _shard_rows(rows)
    if dataset.shard_rows and rows > dataset.shard_rows * _MOST_SHARDS:
        raise UsageError(
            f"dataset.shard_rows={dataset.shard_rows} splits {rows:,} rows into more than "
            f"{_MOST_SHARDS:,} shards: take more rows for each"
        )
    return ParquetSpec(
        path=masked(without_tries(absolute(dataset.location))),
        schema=encoded_schema(listing.schema),
        partition_keys=tuple(listing.partition_keys),
        base=listing.base,
        points=PointsSpec(tuple(points.columns), points.vector),
        row_filter=dataset.filter,
        limit=dataset.limit,
        shard_rows=dataset.shard_rows or shard_rows,
        split_rows=split_rows,
    )


def _shard_rows(rows: int) -> int:
    return min(_even_rows(rows), _SHARD_ROWS_MOST)


def _even_rows(rows: int) -> int:
    """Return how many rows make about as many shards as are wanted: a power of two."""
    return max(1 << (max(rows // _SHARDS, 1) - 1).bit_length(), _SHARD_ROWS_LEAST)

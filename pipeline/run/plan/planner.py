"""From configuration to a plan: everything that can be wrong is found here, before any worker."""

import logging
import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from hyperdiag.config.schema import Config, DesignConfig, ParquetConfig
from hyperdiag.data.filesystem import absolute
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE, choose_layout
from hyperdiag.data.parquet_listing import BadFile, Listing, list_parquet
from hyperdiag.data.quantities import SEPARATOR, row_bytes
from hyperdiag.derived.derived import Derived
from hyperdiag.derived.rows import Names
from hyperdiag.hyperdual import Float32Function
from hyperdiag.messages.errors import Problems, UsageError
from hyperdiag.messages.masking import masked, masked_values, unregistered_values
from hyperdiag.networks import Network, build_network
from hyperdiag.networks.library_values import library_difference

from .dataset import check_listing, check_quarantine, plan_design, plan_parquet, used_columns
from .derived import plan_derived
from .group_values import check_number_of_groups
from .input_values import check_input_values
from .kernel import check_kernel, plan_kernel
from .memory import least_bytes
from .plan import Plan, rows_source
from .previous_plan import (
    previous_columns,
    previous_settings,
    with_previous_ids,
    without_new_options,
)
from .rounded_inputs import rounded_inputs
from .spec import (
    DatasetSpec,
    KernelSpec,
    LimitsSpec,
    NetworkSpec,
    OutputSpec,
    ParquetSpec,
    Settings,
)
from .summary import plan_summary
from .summary_changes import check_statistics_are_kept
from .versions import versions

# Of a row group's derivatives before encoding: what readers like, and what a worker holds.
_ROW_GROUP_BYTES = 32 << 20

log = logging.getLogger("hyperdiag")


class Planned(NamedTuple):
    """A plan, and what a person should hear of it.

    Attributes:
        plan: the frozen run.
        rows: of all its shards, before any filter.
        bad_files: files that were left out (`dataset.on_bad_file=skip`).
        tuning_seconds: of making the plan, for the choice of a method: the next time it is known.
        rounded_inputs: a sentence on each input whose values float32 cannot tell apart.
        least_bytes: that a worker holds, if that is much; else 0.
    """

    plan: Plan
    rows: int
    bad_files: tuple[BadFile, ...]
    tuning_seconds: float
    rounded_inputs: tuple[str, ...] = ()
    least_bytes: int = 0


class Checked(NamedTuple):
    """What a run is made of, found to fit together.

    Attributes:
        network: that is derived.
        listing: of the dataset's files; None where there are none, or nobody looked.
        dataset: the plan's section on the dataset; None where nobody looked at its files.
        previous: settings of the plan that the output holds; None where there is none, or nobody
            looked.
        derived: the plan's section on derived quantities, without scenarios if nobody looked.
    """

    network: Network
    listing: Listing | None
    dataset: DatasetSpec | None
    previous: Settings | None
    derived: Derived


def check(config: Config, with_files: bool = True) -> Checked:
    """Check everything that can be checked without timing kernels.

    Args:
        config: of the run.
        with_files: whether the dataset's files are looked at, and the output's plan.

    Raises:
        UsageError: with every problem that was found.
    """
    problems = Problems()
    previous = problems.attempt(previous_settings, config) if with_files else None
    problems.attempt(check_statistics_are_kept, config, previous)
    network = problems.attempt(_build, config)
    listing = problems.attempt(_listing, config, network, previous) if with_files else None
    if network is not None:
        problems.attempt(check_kernel, config, network)
    dataset: DatasetSpec | None = None
    if isinstance(config.dataset, DesignConfig):
        if network is not None:
            dataset = problems.attempt(plan_design, config.dataset, config, network)
    elif listing is not None:
        problems.attempt(check_listing, config, listing)
        if network is not None:
            before = previous.dataset if previous else None
            parquet = problems.attempt(plan_parquet, config.dataset, network, listing, before)
            problems.attempt(check_input_values, config, network, listing, parquet)
            dataset = parquet
    derived: Derived | None = None
    if network is not None:
        schema = listing.schema if listing else None
        if isinstance(config.dataset, DesignConfig):
            schema = pa.schema([(name, pa.float64()) for name in network.inputs])
        derived = problems.attempt(plan_derived, config, network, schema, with_files)
    if isinstance(dataset, ParquetSpec) and listing is not None and derived is not None:
        problems.attempt(
            check_number_of_groups, config, network, listing, dataset, derived, previous
        )
    problems.check()
    assert network is not None
    assert derived is not None
    return Checked(network, listing, dataset, previous, derived)


def make_plan(config: Config) -> Planned:
    """Check everything and freeze it.

    Raises:
        UsageError: with every problem that was found.
    """
    network, listing, dataset, previous, derived = check(config)
    assert dataset is not None
    files = listing.files if listing else ()
    location = (
        absolute(config.dataset.location) if isinstance(config.dataset, ParquetConfig) else ""
    )
    rows = most_rows = 0
    for shard in rows_source(dataset, network.inputs, files, location).shards():
        rows += shard.rows
        most_rows = max(most_rows, shard.rows)
    if rows == 0:
        raise UsageError(f"the dataset has no rows: {_dataset_name(config)}")
    began = time.perf_counter()
    kernel = plan_kernel(config, network, rows, most_rows, previous, derived)
    tuning_seconds = time.perf_counter() - began
    options = config.network.model_dump()
    plan = Plan(
        network=_network_spec(network, options, previous),
        dataset=dataset,
        kernel=kernel,
        output=_output_spec(config, network, listing, kernel, derived, previous),
        limits=LimitsSpec(config.limits.out_of_range),
        versions=versions(),
        files=files,
        location=location,
        network_options=options,
        derived=derived,
        summary=plan_summary(config, network, kernel, dataset, files, location, rows, previous),
    )
    _ = plan.layout.schema  # refuses two columns of one name
    plan = with_previous_ids(plan, config)
    return Planned(
        plan,
        rows,
        listing.bad_files if listing else (),
        tuning_seconds,
        rounded_inputs(network, listing, dataset, location, config.derivatives.dtype),
        least_bytes(config, network, kernel),
    )


def _dataset_name(config: Config) -> str:
    return (
        masked(config.dataset.location) if isinstance(config.dataset, ParquetConfig) else "design"
    )


def _build(config: Config) -> Network:
    network = build_network(config.network.model_dump(), config.derivatives.dtype)
    difference = library_difference(network, config.derivatives.dtype)
    if difference is not None:
        log.info(
            "network '%s' (%s): values within %.1e of its own library's",
            network.name,
            network.description,
            difference,
        )
    if isinstance(network.function, Float32Function):
        log.info(
            "network '%s' is written for float32: its float32 program is evaluated in float64",
            network.name,
        )
    return network


def _listing(config: Config, network: Network | None, previous: Settings | None) -> Listing | None:
    if not isinstance(config.dataset, ParquetConfig):
        return None
    if config.dataset.name == "quarantine":
        check_quarantine(config.dataset.path)
    used = used_columns(config, config.dataset, network)
    return list_parquet(config.dataset.location, used, previous_columns(previous))


def _network_spec(
    network: Network, options: dict[str, Any], previous: Settings | None
) -> NetworkSpec:
    settings = unregistered_values(masked_values(options))
    if previous is not None:
        settings = without_new_options(settings, previous.network.settings)
    return NetworkSpec(
        name=network.name,
        digest=network.digest,
        description=network.description,
        inputs=tuple(network.inputs),
        outputs=tuple(network.outputs),
        ranges={name: (low, high) for name, (low, high) in network.ranges.items()},
        settings=settings,
    )


def _output_spec(
    config: Config,
    network: Network,
    listing: Listing | None,
    kernel: KernelSpec,
    derived: Derived,
    previous: Settings | None,
) -> OutputSpec:
    columns = config.output.columns
    if isinstance(columns, str):
        available = listing.schema.names if listing else network.inputs
        left_out = config.dataset.left_out if isinstance(config.dataset, ParquetConfig) else ()
        columns = [name for name in available if columns == "all" and name not in left_out]
    provenance = config.output.provenance
    if provenance and config.dataset.name == "quarantine":  # its rows bring theirs along
        columns = list(dict.fromkeys([*columns, SOURCE_FILE, ROW_INDEX]))
        provenance = False
    written = tuple(config.derivatives.outputs)
    sizes = network.n_outputs, len(kernel.directions)
    names = Names(tuple(network.inputs), kernel.directions, tuple(network.outputs))
    more = sum(block.size for block in derived.blocks(names))
    bytes_of_row = row_bytes(written, *sizes, kernel.dtype)
    bytes_of_row += more * np.dtype(kernel.dtype).itemsize
    rows_that_fit = _ROW_GROUP_BYTES // bytes_of_row
    return OutputSpec(
        layout=choose_layout(config.output.layout, *sizes, written, more),
        columns=tuple(columns),
        provenance=provenance,
        row_group_rows=(
            previous.output.row_group_rows if previous else max(rows_that_fit, kernel.batch)
        ),
        separator=previous.output.separator if previous else SEPARATOR,
        quantities=None if written == kernel.quantities else written,
    )

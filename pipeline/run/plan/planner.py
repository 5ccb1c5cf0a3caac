"""From configuration to a plan: everything that can be wrong is found here, before any worker."""

import time
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperdiag.config.schema import Config, DesignConfig, ParquetConfig
from hyperdiag.data.filesystem import absolute
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE, choose_layout
from hyperdiag.data.parquet_listing import BadFile, Listing, list_parquet
from hyperdiag.hyperdual import (
    AUTO,
    DEFAULT_METHOD,
    MethodError,
    RuleError,
    derivatives,
    reference,
)
from hyperdiag.messages.errors import Problems, UsageError, closest, listed
from hyperdiag.messages.masking import masked, masked_values
from hyperdiag.networks import Network, build_network

from .dataset import check_listing, check_quarantine, plan_design, plan_parquet
from .plan import Plan, Settings
from .previous_plan import (
    earlier_settings,
    earlier_shard_rows,
    earlier_sizes,
    with_earlier_columns,
    with_earlier_ids,
)
from .text_columns import check_text
from .tuning import chosen_method
from .versions import versions

# Of a batch's derivatives: large enough to hide the cost of a call, small beside a core's memory.
_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 8192
# Of a row group's derivatives before encoding: what readers like, and what a worker holds.
_ROW_GROUP_BYTES = 32 << 20
# Of verified rows: far above rounding, far below a wrong derivative.
_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}


class Planned(NamedTuple):
    """A plan, and what a person should hear of it.

    Attributes:
        plan: the frozen run.
        rows: of all its shards, before any filter.
        bad_files: files that were left out (`dataset.on_bad_file=skip`).
        tuning_seconds: of making the plan, for the choice of a method: the next time it is known.
    """

    plan: Plan
    rows: int
    bad_files: tuple[BadFile, ...]
    tuning_seconds: float


class Checked(NamedTuple):
    """What a run is made of, found to fit together.

    Attributes:
        network: that is derived.
        listing: of the dataset's files; None where there are none, or nobody looked.
        dataset: the plan's section on the dataset; None where nobody looked at its files.
        earlier: settings of the plan that the output holds; None where there is none, or nobody
            looked.
    """

    network: Network
    listing: Listing | None
    dataset: dict[str, Any] | None
    earlier: Settings | None


def check(config: Config, with_files: bool = True) -> Checked:
    """Check everything that can be checked without timing kernels.

    Args:
        config: of the run.
        with_files: whether the dataset's files are looked at, and the output's plan.

    Raises:
        UsageError: with every problem that was found.
    """
    problems = Problems()
    earlier = problems.attempt(earlier_settings, config) if with_files else None
    network = problems.attempt(_network, config)
    listing = problems.attempt(_listing, config) if with_files else None
    if network is not None:
        problems.attempt(_check_kernel, config, network)
    dataset: dict[str, Any] | None = None
    if isinstance(config.dataset, DesignConfig):
        if network is not None:
            dataset = problems.attempt(plan_design, config.dataset, config, network)
    elif listing is not None:
        listing = with_earlier_columns(listing, earlier)
        problems.attempt(check_listing, config, listing)
        if network is not None:
            shard_rows = earlier_shard_rows(earlier)
            dataset = problems.attempt(plan_parquet, config.dataset, network, listing, shard_rows)
            problems.attempt(check_text, config, network, listing, dataset)
    problems.check()
    assert network is not None
    return Checked(network, listing, dataset, earlier)


def make_plan(config: Config) -> Planned:
    """Check everything and freeze it.

    Raises:
        UsageError: with every problem that was found.
    """
    network, listing, dataset, earlier = check(config)
    assert dataset is not None
    plan, tuning_seconds = _freeze(config, network, dataset, listing, earlier)
    rows = max_rows = 0
    for shard in plan.shards():
        rows += shard.rows
        max_rows = max(max_rows, shard.rows)
    if rows == 0:
        raise UsageError(f"the dataset has no rows: {_place(config)}")
    _ = plan.layout.schema  # refuses two columns of one name
    plan = with_earlier_ids(_sized(plan, config, max_rows, earlier), config)
    return Planned(plan, rows, listing.bad_files if listing else (), tuning_seconds)


def _place(config: Config) -> str:
    return (
        masked(config.dataset.location) if isinstance(config.dataset, ParquetConfig) else "design"
    )


def _network(config: Config) -> Network:
    return build_network(config.network.model_dump(), config.derivatives.dtype)


def _listing(config: Config) -> Listing | None:
    if not isinstance(config.dataset, ParquetConfig):
        return None
    if config.dataset.name == "quarantine":
        check_quarantine(config.dataset.path)
    return list_parquet(config.dataset.location)


def _check_kernel(config: Config, network: Network) -> None:
    """Trace the kernel, which finds what its method cannot do."""
    how = config.derivatives
    directions = network.wrt(_directions(config, network))
    for name, count in Counter(how.outputs).items():
        if count > 1:
            raise UsageError(f"derivatives.outputs names '{name}' twice")
    # Any tile will do: it is not run.
    method = DEFAULT_METHOD if how.method == AUTO else how.method
    try:
        kernel = derivatives(
            network.function,
            network.n_inputs,
            method,
            directions,
            how.dtype,
            how.tile or 1,
            ["value", *(name for name in how.outputs if name != "value")],
        )
        shapes = jax.eval_shape(kernel, jax.ShapeDtypeStruct((2, network.n_inputs), np.float32))
    except (MethodError, RuleError, ValueError, TypeError) as error:
        raise UsageError(f"network '{network.name}': {error}") from error
    if how.verify_rows:
        _check_reference(config, network, directions)
    if shapes.value.shape[1] != network.n_outputs:
        raise UsageError(
            f"network '{network.name}' names {network.n_outputs} outputs, but its function returns "
            f"{shapes.value.shape[1]}"
        )


def _check_reference(config: Config, network: Network, directions: list[int] | None) -> None:
    """Trace what verified rows are compared with."""
    double = build_network(config.network.model_dump(), "float64")
    try:
        reference(double.function, double.n_inputs, directions, config.derivatives.outputs)
    except MethodError as error:
        raise UsageError(
            f"network '{network.name}': {error}; derivatives.verify_rows=0 does without"
        ) from error


def _directions(config: Config, network: Network) -> list[str]:
    """Return the names of the inputs to differentiate with respect to."""
    if config.derivatives.wrt is None:
        return list(network.inputs)
    problems = Problems()
    names: list[str] = []
    for given in config.derivatives.wrt:
        name = given
        if isinstance(given, int) and 0 <= given < network.n_inputs:
            name = network.inputs[given]
        if name not in network.inputs:
            problems.add(
                f"derivatives.wrt: '{given}' is no input of network '{network.name}'"
                f"{closest(str(given), network.inputs)}; its inputs are {listed(network.inputs)}"
            )
        elif name in names:
            problems.add(f"derivatives.wrt names '{name}' twice")
        names.append(str(name))
    if not names:
        problems.add("derivatives.wrt is empty; null means all inputs")
    problems.check()
    return names


def _freeze(
    config: Config,
    network: Network,
    dataset: dict[str, Any],
    listing: Listing | None,
    earlier: Settings | None,
) -> tuple[Plan, float]:
    """Return the plan without its sizes, and the seconds that the choice of a method took."""
    columns = config.output.columns
    available = listing.schema.names if listing else list(network.inputs)
    if isinstance(columns, str):
        left_out = config.dataset.left_out if isinstance(config.dataset, ParquetConfig) else ()
        columns = [name for name in available if columns == "all" and name not in left_out]
    provenance = config.output.provenance
    if provenance and config.dataset.name == "quarantine":  # its rows bring theirs along
        columns = list(dict.fromkeys([*columns, SOURCE_FILE, ROW_INDEX]))
        provenance = False
    directions = _directions(config, network)
    device, options = _device(config), config.network.model_dump()
    began = time.perf_counter()
    chosen = chosen_method(config, network, directions, device, earlier)
    tuning_seconds = time.perf_counter() - began
    settings = {
        "network": {
            "name": network.name,
            "digest": network.digest,
            "description": network.description,
            "inputs": list(network.inputs),
            "outputs": list(network.outputs),
            "ranges": {name: list(ends) for name, ends in network.ranges.items()},
            "settings": masked_values(options),
        },
        "dataset": dataset,
        "derivatives": {
            "method": chosen.method,
            "tile": chosen.tile,
            "dtype": config.derivatives.dtype,
            "directions": directions,
            "outputs": config.derivatives.outputs,
            "device": device,
            "verify_rows": config.derivatives.verify_rows,
            "tolerance": config.derivatives.tolerance or _TOLERANCE[config.derivatives.dtype],
            "strict": config.derivatives.tolerance is not None,
        },
        "output": {
            "layout": choose_layout(
                config.output.layout,
                network.n_outputs,
                len(directions),
                config.derivatives.outputs,
            ),
            "columns": list(columns),
            "provenance": provenance,
        },
        "limits": {"out_of_range": config.limits.out_of_range},
        "versions": versions(),
    }
    dataset_config = config.dataset
    location = (
        absolute(dataset_config.location) if isinstance(dataset_config, ParquetConfig) else ""
    )
    return Plan(settings, listing.files if listing else (), location, options), tuning_seconds


def _device(config: Config) -> str:
    """Return the kind of device that computes: another kind has other last bits."""
    if config.cluster.name == "inline":
        return jax.default_backend()
    return "gpu" if config.cluster.gpus_per_worker else "cpu"


def _sized(plan: Plan, config: Config, max_rows: int, earlier: Settings | None) -> Plan:
    """Add the sizes that follow from how large a row's derivatives are."""
    row_bytes = plan.layout.row_bytes()
    batch = config.derivatives.batch
    if batch is None:
        fits = max(_BATCH_BYTES // row_bytes, 1)
        batch = min(_BATCH_ROWS, 1 << (fits.bit_length() - 1), 1 << (max_rows - 1).bit_length())
        tile = plan.settings["derivatives"]["tile"] or 1
        batch = -(-batch // tile) * tile  # the kernel would fill up the last one anyway
    sizes = earlier_sizes(earlier) or {
        "batch": batch,
        "row_group_rows": max(_ROW_GROUP_BYTES // row_bytes, batch),
    }
    settings = {
        **plan.settings,
        "derivatives": {
            **plan.settings["derivatives"],
            "batch": config.derivatives.batch or sizes["batch"],
        },
        "output": {**plan.settings["output"], "row_group_rows": sizes["row_group_rows"]},
    }
    return replace(plan, settings=settings)

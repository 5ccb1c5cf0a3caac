"""The part of a plan that says which statistics of rows are kept."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from hyperdiag.config.schema import Config
from hyperdiag.data.shard import InputFile
from hyperdiag.messages.errors import Problems, UsageError, closest_or_all
from hyperdiag.networks import Network

from .sampled_points import sampled_points
from .spec import DatasetSpec, DesignSpec, Ends, KernelSpec, ParquetSpec, Settings, SummarySpec

# The types of columns that tell the group of a row.
_NAMES = (
    *(pt.is_string, pt.is_large_string, pt.is_string_view, pt.is_integer, pt.is_boolean),
    *(pt.is_temporal, pt.is_decimal),
)
# Of all curves, exact sums of which take some 100 bytes each. Beyond, they have fewer bins; with
# less than the least, there are none.
_MOST_CURVE_NUMBERS, _LEAST_BINS = 1 << 18, 4
# So many rows are enough for the mean of a bin; of more, all but one in so many are left out.
_CURVE_ROWS, _LARGEST_STEP, _FEW_STEP = 1 << 14, 64, 4
# For its quantiles, rows are kept, if they have no more numbers than that: 16 MB of a sample,
# of which so many leave room for chance.
_SAMPLE_ROWS, _MOST_SAMPLED_NUMBERS = 3500, 1 << 10
_MORE_OF_GROUPS = 4  # times as many, where there are groups
# Numbers of a row with a histogram: each takes 10 kB in each shard that is under way, or, where it
# spans 80 octaves, 80 kB.
_MOST_HISTOGRAMS = 2048
# Of the points of extreme rows of a shard: 16 MB.
_MOST_EXTREME_NUMBERS = 1 << 21


def check_groups_column(by: str | None, schema: pa.Schema, problems: Problems) -> None:
    """Check that a column can tell the group of a row: that its values are names of a kind.

    Args:
        by: the column; None: there are no groups.
        schema: of the dataset.
        problems: to which it is added if not.
    """
    if by is None:
        return
    if by not in schema.names:
        problems.add(
            f"summary.by: the dataset has no column '{by}'{closest_or_all(by, schema.names)}"
        )
        return
    kind = schema.field(by).type
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if not any(is_one(kind) for is_one in _NAMES):
        problems.add(
            f"summary.by: column '{by}' is {kind}; groups are told by text, whole numbers, "
            "booleans, decimals, dates or times"
        )


def plan_summary(
    config: Config,
    network: Network,
    kernel: KernelSpec,
    dataset: DatasetSpec,
    files: tuple[InputFile, ...],
    location: str,
    rows: int,
    previous: Settings | None,
) -> SummarySpec | None:
    """Return the plan's section on statistics; None if none are kept.

    Args:
        config: of the run.
        network: that is derived.
        kernel: the plan's section on what is computed.
        dataset: the plan's section on the dataset.
        files, location, rows: of the dataset.
        previous: settings that this run goes on from, whose ranges are kept.

    Raises:
        UsageError: if nothing at all would be written.
    """
    configured = config.summary
    enabled = configured.enabled
    if enabled is None:
        asked = configured.only or configured.by is not None or kernel.device == "cpu"
        enabled = previous.summary is not None if previous else asked
    if not enabled:
        if configured.only:
            raise UsageError("summary.only=true and summary.enabled=false leave nothing to write")
        return None
    kept = previous.summary if previous else None
    if kept and {*kept.ranges} == {*kernel.directions}:
        ranges, step, every = kept.ranges, kept.curve_step, kept.sample_step
    else:
        ranges = _ranges(network, kernel, dataset, files, location)
        filtered = isinstance(dataset, ParquetSpec) and dataset.row_filter is not None
        # Who filters may leave a few rows of many, and a group may have a few.
        most = _FEW_STEP if filtered or configured.by is not None else _LARGEST_STEP
        step = min(max(rows // _CURVE_ROWS, 1), most)
        every = step if filtered else step * -(-rows // (_SAMPLE_ROWS * step))
        if configured.by is not None:
            every = step * max(every // (_MORE_OF_GROUPS * step), 1)
    m, k = network.n_outputs, len(kernel.directions)
    bins = min(configured.bins, _MOST_CURVE_NUMBERS // (3 * m * k))
    if not {"value", "jacobian", "hessian_diag"} & {*kernel.quantities}:
        bins = 0  # there are no curves of others
    bins = bins if bins >= min(configured.bins, _LEAST_BINS) else 0
    extremes = 4 * m * configured.extreme_rows * network.n_inputs
    fits = _MOST_EXTREME_NUMBERS // (4 * m * network.n_inputs)
    return SummarySpec(
        ranges=ranges,
        bins=bins,
        curve_step=step,
        sample_step=every if bins and m * (1 + 2 * k) <= _MOST_SAMPLED_NUMBERS else 0,
        quantiles=network.n_inputs + m * (1 + 2 * k) <= _MOST_HISTOGRAMS,
        extreme_rows=configured.extreme_rows if extremes <= _MOST_EXTREME_NUMBERS else max(fits, 1),
        only=configured.only,
        by=configured.by,
    )


def _ranges(
    network: Network,
    kernel: KernelSpec,
    dataset: DatasetSpec,
    files: tuple[InputFile, ...],
    location: str,
) -> dict[str, Ends]:
    """Return for each direction the range that it is trained in, or that its values lie in."""
    ranges: dict[str, Ends] = {name: (low, high) for name, (low, high) in network.ranges.items()}
    if isinstance(dataset, DesignSpec):
        ranges |= dataset.ranges
    elif any(name not in ranges for name in kernel.directions):
        ranges = _ends_of_values(network, dataset, files, location, kernel.dtype) | ranges
    return {name: ranges.get(name, (0.0, 1.0)) for name in kernel.directions}


def _ends_of_values(
    network: Network,
    dataset: ParquetSpec,
    files: tuple[InputFile, ...],
    location: str,
    dtype: str,
) -> dict[str, Ends]:
    """Return the ends of each input's values in rows here and there."""
    values = sampled_points(network.inputs, dataset, files, location, dtype)
    if not values.shape[0]:
        return {}
    values = values.astype(np.float64)
    ends = zip(values.min(axis=0).tolist(), values.max(axis=0).tolist(), strict=True)
    return dict(zip(network.inputs, (_with_width(*each) for each in ends), strict=True))


def _with_width(low: float, high: float) -> Ends:
    if low == high:
        return low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    return (low, high) if math.isfinite(high - low) else (low / 2, high / 2)

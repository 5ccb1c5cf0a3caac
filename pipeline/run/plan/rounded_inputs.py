"""Inputs whose values float32 cannot tell apart: seconds since 1970, say, within an hour."""

import numpy as np

from hyperdiag.data.parquet_listing import Listing
from hyperdiag.data.points import PointColumns
from hyperdiag.messages.wording import counted
from hyperdiag.networks import Network

from .sampled_points import sampled_points
from .spec import DatasetSpec, ParquetSpec

# Of the spread of a column: what rounding may move its values by without a word.
_PART = 1e-3


def rounded_inputs(
    network: Network, listing: Listing | None, dataset: DatasetSpec, location: str, dtype: str
) -> tuple[str, ...]:
    """Return a sentence on each input that rounding to the run's dtype moves by much of its spread.

    Whether that matters is for the verification to say: the network may not see such small steps.

    Args:
        network: whose inputs are looked at, in rows here and there.
        listing: of the dataset; None where rows are made.
        dataset: the plan's section on it.
        location: where it is, with any credentials.
        dtype: of the run.
    """
    if dtype == "float64" or listing is None or not isinstance(dataset, ParquetSpec):
        return ()
    points = PointColumns(network.inputs, dataset.points.columns, dataset.points.vector)
    if not points.finer_than_float32(listing.schema):
        return ()
    values = sampled_points(network.inputs, dataset, listing.files, location)
    if values.shape[0] == 0:
        return ()
    with np.errstate(over="ignore", invalid="ignore"):
        lost = np.abs(values - values.astype(dtype)).max(axis=0)
    spread = np.ptp(values, axis=0)
    looked_at = counted(values.shape[0], "row")
    return tuple(
        f"input '{name}' is rounded to {dtype} by up to {by:.3g}, and its values are within "
        f"{width:.3g} of one another, in {looked_at} looked at: take "
        "derivatives.dtype=float64, or subtract an offset from the column, and in the network"
        for name, by, width in zip(network.inputs, lost, spread, strict=True)
        if np.isfinite(by) and by > _PART * width > 0
    )

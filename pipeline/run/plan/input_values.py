"""Inputs in columns of text, or in lists of any length: are there points in them at all?"""

from collections.abc import Iterator

import pyarrow as pa

from hyperdiag.config.schema import Config, ParquetConfig
from hyperdiag.data.faults import Fault
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import Listing
from hyperdiag.data.points import PointColumns
from hyperdiag.messages.errors import Problems
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import counted
from hyperdiag.networks import Network

from .sampled_points import sampled_tables
from .spec import ParquetSpec


def check_input_values(
    config: Config, network: Network, listing: Listing, spec: ParquetSpec | None
) -> None:
    """Check that some value of each input is one, in rows here and there, if its type says nothing.

    In a column of text it must be a number, and a list of any length as long as there are inputs.

    Args:
        config: of the run.
        network: whose inputs are looked at.
        listing: of the dataset.
        spec: the plan's section on the dataset; None where it lacks columns of the network's.

    Raises:
        UsageError: naming each column without one, and the first value's fault.
    """
    dataset = config.dataset
    if spec is None or config.limits.max_bad_fraction >= 1:
        return  # who allows all to be bad may have it
    if not isinstance(dataset, ParquetConfig) or dataset.name == "quarantine":
        return  # of rows that could not be read, many may be as they were
    points = PointColumns(network.inputs, spec.points.columns, spec.points.vector)
    texts = points.of_text(listing.schema)
    lists = [points] if points.of_any_width(listing.schema) else []
    if not texts and not lists:
        return
    source = spec.source(listing.files, dataset.location)
    problems = Problems()
    for vector in lists:
        looked, first = _unless_right(vector, source, Fault.WRONG_WIDTH)
        if looked:
            rows, inputs = counted(looked, "row"), counted(network.n_inputs, "input")
            problems.add(
                f"dataset.vector={vector.columns[0]}: none of {rows} looked at in dataset "
                f"{masked(dataset.location)} is a point: {first}. If the network has not {inputs}, "
                "network.inputs or network.n_inputs is to say so"
            )
    for text in texts if not problems else []:
        looked, first = _unless_right(text, source, Fault.NOT_A_NUMBER)
        if looked:
            (column,) = text.columns
            rename = (
                ""
                if text.vector
                else f"; rename with dataset.columns={{{text.inputs[0]}: <column>}}"
            )
            problems.add(
                f"column '{column}' of dataset {masked(dataset.location)} is text, and none of "
                f"{looked:,} values looked at is a number: {first}"
                f"{rename}, or derive the rest all the same with limits.max_bad_fraction=1"
            )
    problems.check()


def _unless_right(points: PointColumns, source: ParquetSource, fault: Fault) -> tuple[int, str]:
    """Return how many values were looked at and what is wrong with the first; 0 if one is right.

    Args:
        points: that are looked at.
        source: of the rows.
        fault: that all of them must have, or one is right.
    """
    looked, first = 0, ""
    for table in sampled_tables(source):
        for code, detail in _faults(points, table):
            if code != fault:
                return 0, ""
            looked, first = looked + 1, first or detail
    return looked, first


def _faults(text: PointColumns, table: pa.Table) -> Iterator[tuple[Fault | None, str]]:
    """Yield code and sentence of each value that is there; None of one that is a number."""
    _, faults = text.read(table, "float64")
    bad = {row: (code, detail) for row, code, detail in faults}
    for row in range(table.num_rows):
        code, detail = bad.get(row, (None, ""))
        if code != Fault.NULL:
            yield code, detail

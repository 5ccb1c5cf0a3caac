"""Inputs in columns of text: are there numbers in them at all?"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa

from pipeline.config import Config, ParquetConfig
from pipeline.data.faults import Fault
from pipeline.data.parquet import ParquetSource
from pipeline.data.parquet_listing import Listing
from pipeline.data.points import PointColumns
from pipeline.data.shard import Shard
from pipeline.errors import InputError, Problems
from pipeline.masking import masked
from pipeline.networks import Network

_ROWS = 1000  # of each shard that is looked into


def check_text(
    config: Config, network: Network, listing: Listing, section: Mapping[str, Any] | None
) -> None:
    """Check that some value of each input in a column of text is a number, in rows here and there.

    Args:
        config: of the run.
        network: whose inputs are looked at.
        listing: of the dataset.
        section: of the plan, on the dataset; None where it has none of the network's columns.

    Raises:
        UsageError: naming each column without one.
    """
    dataset = config.dataset
    if (
        section is None or config.limits.max_bad_fraction >= 1
    ):  # who allows all to be bad may have it
        return
    if not isinstance(dataset, ParquetConfig) or dataset.name == "quarantine":
        return  # of rows that could not be read, many may be as they were
    texts = PointColumns(network.inputs, **section["points"]).of_text(listing.schema)
    if not texts:
        return
    source = ParquetSource(
        path=dataset.location,
        files=listing.files,
        schema=listing.schema,
        partition_keys=listing.partition_keys,
        base=listing.base,
        columns=listing.schema.names,
        row_filter=dataset.filter,
        limit=dataset.limit,
        shard_rows=section["shard_rows"],
    )
    tables = list(_some(source))
    problems = Problems()
    for text in texts:
        words = [word for table in tables for word in _faults(text, table)]
        if words and all(code == Fault.NOT_A_NUMBER for code, _ in words):
            (column,) = text.columns
            rename = (
                ""
                if text.vector
                else f"; rename with dataset.columns={{{text.inputs[0]}: <column>}}"
            )
            problems.add(
                f"column '{column}' of dataset {masked(dataset.location)} is text, and none of "
                f"{len(words):,} values looked at is a number: {words[0][1]}"
                f"{'' if text.vector else rename}"
            )
    problems.check()


def _some(source: ParquetSource) -> Iterator[pa.Table]:
    """Yield rows of the first, a middle and the last shard, as a filter leaves them."""
    count = sum(1 for _ in source.shards())
    wanted = {0, count // 2, count - 1}
    for place, shard in enumerate(source.shards()):
        if place in wanted:
            yield from _first_rows(source, shard)


def _first_rows(source: ParquetSource, shard: Shard) -> Iterator[pa.Table]:
    with suppress(InputError):  # is said where it is derived
        rows = next(source.read(shard, _ROWS), None)
        if rows is not None:
            yield rows.table


def _faults(text: PointColumns, table: pa.Table) -> Iterator[tuple[Fault | None, str]]:
    """Yield code and sentence of each value that is there; None of one that is a number."""
    _, faults = text.read(table, "float64")
    found = {row: (code, detail) for row, code, detail in faults}
    for row in range(table.num_rows):
        code, detail = found.get(row, (None, ""))
        if code != Fault.NULL:
            yield code, detail

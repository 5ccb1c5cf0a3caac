"""How many groups `summary.by` tells, as far as that shows before any row is derived."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import pyarrow as pa

from hyperdiag.config.schema import Config, ParquetConfig
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.parquet_listing import Listing
from hyperdiag.data.row_filter import filter_columns, parse_filter
from hyperdiag.derived.derived import Derived
from hyperdiag.derived.rows import Names
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network
from hyperdiag.statistics.group_names import group_names, most_groups
from hyperdiag.statistics.numbers import RowNumbers

from .kernel import directions_of
from .sampled_points import sampled_tables
from .spec import ParquetSpec, Settings

_ROWS = 1 << 16  # that are looked at together: of one column


def check_number_of_groups(
    config: Config,
    network: Network,
    listing: Listing,
    spec: ParquetSpec,
    derived: Derived,
    previous: Settings | None,
) -> None:
    """Check that `summary.by` tells no more groups than there may be, as far as that is seen.

    Looked at are the first, a middle and the last shard, or, of a key in the files' paths, all
    files. Where more values show only while rows pass, the run goes on, and has no statistics of
    groups. So does one that goes on with an output that was planned with the same column: nobody
    could take that back.

    Args:
        config: of the run.
        network: that is derived.
        listing: of the dataset's files.
        spec: the plan's section on the dataset.
        derived: the plan's section on derived quantities.
        previous: settings that this run goes on from.

    Raises:
        UsageError: if there are more, with how many there may be.
    """
    by = config.summary.by
    assert isinstance(config.dataset, ParquetConfig)
    if by is None or by not in listing.schema.names or config.summary.enabled is False:
        return
    if previous is not None and previous.summary is not None and previous.summary.by == by:
        return
    try:
        if spec.row_filter is not None:
            parse_filter(spec.row_filter, listing.schema)
    except UsageError:
        return  # which is said already
    directions = directions_of(config, network)
    names = Names(tuple(network.inputs), directions, tuple(network.outputs))
    columns = [c for block in derived.blocks(names) if not block.labels for c in block.columns]
    quantities = config.derived.computed(config.derivatives.outputs)
    numbers = RowNumbers(names.inputs, names.outputs, directions, quantities, columns).count
    most = most_groups(numbers)
    groups: set[str | None] = set()
    for values in _values(by, spec.source(listing.files, config.dataset.location)):
        groups |= group_names(values)
        if len(groups) > most:
            raise UsageError(
                f"summary.by={by}: the column has more values in the rows looked at than {most:,}, "
                f"the most for rows of {numbers:,} numbers: take a column of fewer values, or "
                "fewer derivatives (derivatives.wrt, derivatives.outputs), or leave summary.by out"
            )


def _values(by: str, source: ParquetSource) -> Iterator[pa.ChunkedArray]:
    """Yield values of a column: of the rows looked at, or of the paths of all files."""
    if by in source.partition_keys and source.row_filter is None:
        kind = source.schema.field(by).type
        paths = (
            path for path, _ in groupby(shard.file.path for shard in source.shards() if shard.file)
        )
        keys = [source.partition_values(path).get(by) for path in paths]
        yield pa.chunked_array([pa.array(keys, kind)])
        return
    filtered = set() if source.row_filter is None else filter_columns(source.row_filter)
    source = replace(source, columns=[by, *sorted(filtered - {by})])
    yield from (table[by] for table in sampled_tables(source, rows=_ROWS))

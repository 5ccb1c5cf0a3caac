"""Which files are published in an output: `run/listing-*.parquet`, and readers that follow it."""

import io
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import (
    DATA,
    QUARANTINE,
    STAGED,
    file_name,
    listing_file,
    write_file,
)

_AT_ONCE = 1 << 16
_COLUMNS = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("data", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("quarantine", pa.string()),
    ]
)


class Listing(NamedTuple):
    """The files that are published, by shard in ascending order.

    Attributes:
        shard: ids, int64 (shards,).
        size: bytes of their data files, int64.
        bad: whether they have a quarantine file, bool.
        staged: whether their files are in `run/staged`, bool.
    """

    shard: np.ndarray
    size: np.ndarray
    bad: np.ndarray
    staged: np.ndarray

    def in_place(self) -> "Listing":
        """Return the same files when all have been put into their places."""
        return self._replace(staged=np.zeros_like(self.staged))

    def table(self, first: int, last: int) -> pa.Table:
        """Return some entries as the listing's file has them: paths within the output."""
        part = slice(first, last)
        roots = [f"{STAGED}/" if staged else "" for staged in self.staged[part]]
        names = [file_name(shard) for shard in self.shard[part].tolist()]
        quarantine = [
            f"{root}{QUARANTINE}/{name}" if bad else None
            for root, name, bad in zip(roots, names, self.bad[part], strict=True)
        ]
        data = [f"{root}{DATA}/{name}" for root, name in zip(roots, names, strict=True)]
        columns = [pa.array(self.shard[part]), data, pa.array(self.size[part]), quarantine]
        return pa.table(columns, schema=_COLUMNS)


def write_listing(output: Place, plan: str, listing: Listing) -> str:
    """Write a listing; return where in the output it is.

    Args:
        output: the output folder.
        plan: digest of the plan that the files belong to.
        listing: of the files.

    Raises:
        OutputError: if it cannot be written.
    """
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, _COLUMNS, compression="zstd") as writer:
        for first in range(0, listing.shard.size, _AT_ONCE):
            writer.write_table(listing.table(first, first + _AT_ONCE))
    name = listing_file(plan, bool(listing.staged.any()))
    write_file(output, name, buffer.getvalue())
    return name


def read_listing(output: Place, name: str) -> Listing:
    """Return a listing, by where in the output it is.

    Raises:
        OSError: if it cannot be read.
    """
    shards, sizes, bad, staged = [], [], [], []
    with pq.ParquetFile((output / name).path, filesystem=output.filesystem) as file:
        for batch in file.iter_batches(_AT_ONCE):
            shards.append(batch["shard"].to_numpy())
            sizes.append(batch["bytes"].to_numpy())
            bad.append(batch["quarantine"].is_valid().to_numpy(zero_copy_only=False))
            staged.append([path.startswith(f"{STAGED}/") for path in batch["data"].to_pylist()])
    ids = np.concatenate(shards)
    flags = (np.concatenate(each).astype(bool) for each in (bad, staged))
    return Listing(ids, np.concatenate(sizes), *flags)


def data_paths(output: Place, name: str) -> list[str]:
    """Return the paths of the data files in a listing, by where in the output it is.

    Raises:
        OSError: if it cannot be read.
    """
    return _paths(output, name, "data")


def quarantine_paths(output: Place, name: str) -> list[str]:
    """Return the paths of the quarantine files in a listing, by where in the output it is.

    Raises:
        OSError: if it cannot be read.
    """
    return _paths(output, name, "quarantine")


def _paths(output: Place, name: str, column: str) -> list[str]:
    place = output / name
    table = pq.read_table(place.path, filesystem=place.filesystem, columns=[column])
    return [(output / path).path for path in table[column].drop_null().to_pylist()]

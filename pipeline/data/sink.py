"""Parquet out: a shard's data file and its quarantine file, each whole or not there at all."""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Container, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.messages.errors import OutputError

from .faults import Faults
from .filesystem import Guard, Place, publish, write_whole
from .layout import ROW_INDEX, SOURCE_FILE, Leaves, leaves
from .object_store.conditional import put_guarded
from .object_store.tries import is_passing
from .object_store.upload import upload
from .output_folder import DATA, QUARANTINE, SCRATCH, STATISTICS, statistics_name, writing

_HELD_BYTES = 64 << 20
# A conditional request is one request, with all of the file; stores take no more than 5 GB in one.
_MOST_CONDITIONAL_BYTES = 1 << 30
RECEIPT = b"hyperdiag.receipt"  # the key in a data file's footer
_CHECKSUM = "checksum"  # the receipt's: pages have their own, footers have none
ERROR_CODE, ERROR_DETAIL = "_error_code", "_error_detail"
_ADDED = (ERROR_CODE, ERROR_DETAIL, SOURCE_FILE, ROW_INDEX)  # to a bad row's own columns


class ShardSink:
    """Writes one shard's output, batch by batch.

    Files grow in the run's scratch folder, or, for an object store, in a nameless file of this
    machine, and get their names in `commit`: the quarantine file first, the data file last, so
    that a data file vouches for its whole shard. Used as a context manager, it removes what was
    not committed.

    Args:
        output: the output folder.
        file_name: of the shard.
        schema: of the data file.
        row_group_rows: rows gathered for a row group before it is written.
        guard: raises if the output is another run's by now. It is asked before a file gets its
            name, and again before one takes the place of another; without it, nobody is asked.

    Raises:
        OutputError: from every method, if the output cannot be written.
    """

    def __init__(
        self,
        output: Place,
        file_name: str,
        schema: pa.Schema,
        row_group_rows: int,
        guard: Guard | None = None,
    ):
        self._output = output
        self._guard = guard
        self._file_name = file_name
        self._row_group_rows = row_group_rows
        self._held: list[pa.Table] = []
        self._held_rows, self._measured, self._held_bytes = 0, 0, 0.0
        self._leaves = leaves(schema)
        self._data = _Scratch(output, f"data-{file_name}", schema, self._leaves)
        self._quarantine: _Scratch | None = None

    def __enter__(self) -> "ShardSink":
        return self

    def __exit__(self, *exception: object) -> None:
        self._data.discard()
        if self._quarantine:
            self._quarantine.discard()

    def write(self, table: pa.Table) -> None:
        """Add good rows."""
        self._held.append(table)
        self._held_rows += table.num_rows
        # Wide columns that are passed through fill a row group before the derivatives do.
        if self._held_rows >= self._row_group_rows or self._holds_much():
            self._flush()

    def _holds_much(self) -> bool:
        # Asking each of hundreds of columns of numbers how large it is takes long.
        if self._held_rows * self._leaves.most_row_bytes < _HELD_BYTES:
            return False
        for table in self._held[self._measured :]:
            self._held_bytes += table.num_rows * self._leaves.row_bytes
            self._held_bytes += sum(table[name].nbytes for name in self._leaves.measured)
        self._measured = len(self._held)
        return self._held_bytes >= _HELD_BYTES

    def _flush(self) -> None:
        if self._held:
            self._data.write(pa.concat_tables(self._held))
            self._held = []
            self._held_rows, self._measured, self._held_bytes = 0, 0, 0.0

    def quarantine(
        self, table: pa.Table, source_file: str, index: pa.Array, faults: Faults
    ) -> None:
        """Add the bad rows of a batch, given all its rows and its faults.

        Rows of an earlier quarantine lose their former fault and keep the place that they have in
        the first of all datasets.
        """
        bad = pa.array(faults.bad)
        rows = table.filter(bad)
        places = [pa.repeat(source_file, rows.num_rows), index.filter(bad)]
        if quarantined_before(rows):
            places = [rows[SOURCE_FILE], rows[ROW_INDEX]]
            rows = rows.drop_columns(list(_ADDED))
        codes, details = (pa.array(a, pa.string()) for a in (faults.codes(), faults.details()))
        # A dataset's own columns of these names step aside.
        rows = rows.rename_columns(beside(rows.column_names, _ADDED))
        for name, column in zip(_ADDED, (codes, details, *places), strict=True):
            rows = rows.append_column(name, column)
        if self._quarantine is None:
            name = f"quarantine-{self._file_name}"
            self._quarantine = _Scratch(self._output, name, rows.schema, leaves(rows.schema))
        self._quarantine.write(rows)

    def commit(
        self, receipt: Mapping[str, Any], statistics: bytes | None = None
    ) -> tuple[int, int]:
        """Close the files and give them their names; the receipt goes into the data file's footer.

        Args:
            receipt: plain values, which tell what the statistics are, if any.
            statistics: of the shard's rows, for a file of their own.

        Returns:
            Size in bytes and modification time in nanoseconds of the data file.

        Receipts hold nothing that differs from one execution of a shard to another, so that a
        shard done twice writes the same bytes.
        """
        self._flush()
        text = json.dumps({**receipt, _CHECKSUM: _checksum(receipt)}, sort_keys=True)
        self._data.close({RECEIPT: text.encode()})
        if self._quarantine:
            self._quarantine.close({})
            self._quarantine.publish(self._output / QUARANTINE / self._file_name, self._guard)
        if statistics is not None:
            if self._guard:
                self._guard()
            name = statistics_name(self._file_name)
            scratch = self._output / SCRATCH / f"{uuid.uuid4().hex}-{name}"
            with writing(self._output / STATISTICS / name):
                write_whole(self._output / STATISTICS / name, statistics, scratch)
        place = self._output / DATA / self._file_name
        self._data.publish(place, self._guard)
        with writing(place):
            info = place.filesystem.get_file_info(place.path)
            if info.size is None:
                raise FileNotFoundError("another hand removed it at once")
        return info.size, info.mtime_ns or 0


def beside(names: Sequence[str], taken: Container[str]) -> list[str]:
    """Return names in which those that are taken have got an ending that makes them new."""
    new_names = []
    for name in names:
        new = name
        while new in taken or (new != name and new in names):
            new += "_input"
        new_names.append(new)
    return new_names


class _Scratch:
    """A Parquet file under way."""

    def __init__(self, output: Place, name: str, schema: pa.Schema, kinds: Leaves):
        self._open = True
        self._place = output / SCRATCH / f"{uuid.uuid4().hex}-{name}"
        self._local: IO[bytes] | None = None
        self._where: Place | str = self._place
        if output.is_store:
            self._where = f"a temporary file (TMPDIR), on its way to {output}"
        with writing(self._where):
            if output.is_store:  # nameless: gone when this process is, however it ends
                self._local = tempfile.TemporaryFile()  # noqa: SIM115
            self._writer = pq.ParquetWriter(
                self._local or self._place.path,
                schema,
                filesystem=None if self._local else self._place.filesystem,
                compression="zstd",
                compression_level=1,
                write_page_checksum=True,
                # Dictionary encoding must be off for a column, or the split is ignored.
                use_dictionary=list(kinds.others),
                column_encoding=dict.fromkeys(kinds.floats, "BYTE_STREAM_SPLIT"),
            )

    def write(self, table: pa.Table) -> None:
        with writing(self._where):
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))

    def close(self, metadata: Mapping[bytes, bytes]) -> None:
        with writing(self._where):
            self._writer.add_key_value_metadata(metadata)
            self._writer.close()

    def publish(self, place: Place, guard: Guard | None) -> None:
        with writing(place):
            if guard:
                guard()
            if self._local:
                if guard and self._local.seek(0, os.SEEK_END) <= _MOST_CONDITIONAL_BYTES:
                    put_guarded(place.filesystem, place.path, self._local, guard)
                else:
                    self._local.seek(0)
                    upload(place.filesystem, place.path, self._local)
                self._local.close()
            else:
                publish(self._place, place, guard)
        self._open = False

    def discard(self) -> None:
        if self._open:
            # Whatever went wrong is on its way up already; closing may fail of the same cause.
            for step in (self._writer.close, self._delete):
                try:
                    step()
                except (OSError, pa.ArrowException):
                    continue
            self._open = False

    def _delete(self) -> None:
        if self._local:
            self._local.close()
        else:
            self._place.filesystem.delete_file(self._place.path)


def read_receipt(place: Place) -> dict[str, Any] | None:
    """Return the receipt in a data file's footer; None if the file is no data file of a run.

    Raises:
        OutputError: if a store does not give it for now.
    """
    try:
        metadata = pq.read_metadata(place.path, filesystem=place.filesystem).metadata
        receipt = json.loads((metadata or {})[RECEIPT])
        whole = receipt.pop(_CHECKSUM) == _checksum(receipt)
    except (
        *(pa.ArrowException, OSError),
        *(ValueError, KeyError, AttributeError, TypeError),
    ) as error:  # damaged in one way or another
        if is_passing(error):  # nothing is known of the file: it may well be done
            raise OutputError(f"cannot read {place}: {error}") from error
        return None
    return receipt if whole else None


def _checksum(receipt: Mapping[str, Any]) -> str:
    text = json.dumps(receipt, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def quarantined_before(table: pa.Table) -> bool:
    """Return whether a table's rows come from an earlier run's quarantine."""
    return set(_ADDED) <= set(table.column_names)

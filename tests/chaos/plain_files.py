"""Valid Parquet files of every usual kind, to be damaged or to stand beside a damaged one."""

import decimal
import itertools
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator

WIDTH = 3
INPUTS = tuple(f"x{i + 1}" for i in range(WIDTH))


class Rows(NamedTuple):
    """What stands in a file, and where the network's inputs are in it.

    Attributes:
        tables: its row groups, those without rows included.
        columns: {input: column}, where the names differ.
        vector: the column of whole points.
        writing: options of the writer.
    """

    tables: list[pa.Table]
    columns: dict[str, str] | None = None
    vector: str | None = None
    writing: dict[str, Any] | None = None


def _text(rng: Rng, rows: int) -> pa.Array:
    words = ["1.5", " -2e3 ", "7", "1e400", "1,5", "nan", "", "ü", "0x10", "-.5", None]
    return pa.array(list(rng.choice(np.array(words, object), rows, p=[0.3, *[0.07] * 10])))


def _decimals(rng: Rng, rows: int) -> list[decimal.Decimal]:
    return [decimal.Decimal(int(i)).scaleb(-4) for i in rng.integers(-(10**8), 10**8, rows)]


def column(rng: Rng, rows: int, kind: str) -> pa.Array:
    """Return random numbers of a kind, some of them unusual."""
    plain = rng.normal(size=rows)
    match kind:
        case "text":
            return _text(rng, rows)
        case "dictionary of text":
            return _text(rng, rows).dictionary_encode()
        case "dictionary of floats":
            return pa.array(np.round(plain, 1)).dictionary_encode()
        case "decimal":
            return pa.array(_decimals(rng, rows), pa.decimal128(9, 4))
        case "large decimal":
            return pa.array(_decimals(rng, rows), pa.decimal256(40, 4))
        case "uint64":
            return pa.array(rng.integers(0, 2**64, rows, dtype=np.uint64))
        case "int8" | "int32" | "int64":
            return pa.array(rng.integers(-100, 100, rows), pa.type_for_alias(kind))
        case "bool":
            return pa.array(plain > 0)
        case "float16":
            return pa.array(plain.astype(np.float16))
        case "with nulls":
            return pa.array(plain, mask=rng.random(rows) < 0.1)
        case "odd floats":
            odd = [np.nan, np.inf, -np.inf, 5e-324, 1e39, -1e308, -0.0, 1e-40]
            return pa.array(np.where(rng.random(rows) < 0.3, rng.choice(odd, rows), plain))
    return pa.array(plain.astype(kind))


KINDS = (
    *("float64", "float32", "float16", "int8", "int32", "int64", "uint64", "bool"),
    *("text", "dictionary of text", "dictionary of floats", "decimal", "large decimal"),
    *("with nulls", "odd floats"),
)


def points(rng: Rng, rows: int, kind: str) -> pa.Array:
    """Return a column of whole points."""
    values = rng.normal(size=(rows, WIDTH))
    match kind:
        case "fixed":
            return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), WIDTH)
        case "tensor":
            return pa.FixedShapeTensorArray.from_numpy_ndarray(values)
        case "nested":
            inner = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 1)
            return pa.FixedSizeListArray.from_arrays(inner, WIDTH)
    lists: list[list[float | None] | None] = values.tolist()
    for row in np.flatnonzero(rng.random(rows) < 0.2):
        lists[row] = [None, [], [1.0], [1.0, None, 2.0], [0.5] * (WIDTH + 1)][rng.integers(5)]  # type: ignore[list-item]
    if kind == "with null points":
        masked = [None if rng.random() < 0.2 else row for row in values.tolist()]
        return pa.array(masked, pa.list_(pa.float64(), WIDTH))
    return pa.array(lists, pa.large_list(pa.float32()) if kind == "large" else None)


POINTS = ("list", "large", "fixed", "tensor", "nested", "with null points")


def passengers(rng: Rng, rows: int) -> dict[str, pa.Array]:
    """Return columns that are only passed through."""
    numbers = np.arange(rows)
    columns = {
        "key": pa.array(numbers),
        "word": pa.array([f"word {i % 7}" if i % 5 else None for i in numbers]),
        "day": pa.array(numbers.astype("datetime64[D]")),
        "lists": pa.array([list(range(i % 4)) if i % 3 else None for i in numbers.tolist()]),
        "pair": pa.array([{"a": i, "b": [str(i)]} for i in numbers.tolist()]),
        "map": pa.array(
            [[(str(i), i / 2)] * (i % 3) for i in numbers.tolist()],
            pa.map_(pa.string(), pa.float64()),
        ),
        "level": pa.array([f"level {i % 3}" for i in numbers]).dictionary_encode(),
        "raw": pa.array([bytes([i % 256]) * (i % 9) for i in numbers.tolist()]),
    }
    wanted = rng.choice(list(columns)[1:], rng.integers(0, 4), replace=False)
    return {name: columns[name] for name in ["key", *map(str, wanted)]}


def plain_rows(rng: Rng, rows: int | None = None) -> Rows:
    """Return rows with a column for each input, or with whole points."""
    rows = int(rng.integers(1, 150)) if rows is None else rows
    columns, vector = passengers(rng, rows), None
    if rng.random() < 0.3:
        vector = "v"
        columns["v"] = points(rng, rows, str(rng.choice(POINTS)))
    else:
        shared = str(rng.choice(KINDS))
        mixed = rng.random() < 0.5
        for name in INPUTS:
            columns[name] = column(rng, rows, str(rng.choice(KINDS)) if mixed else shared)
    names = [str(name) for name in rng.permutation(list(columns))]
    table = pa.table({name: columns[name] for name in names})
    return Rows(split(rng, table), None, vector, writing(rng, table))


def split(rng: Rng, table: pa.Table) -> list[pa.Table]:
    """Cut a table into a few row groups."""
    cuts = sorted(rng.integers(0, table.num_rows + 1, rng.integers(0, 4)))
    ends = [0, *map(int, cuts), table.num_rows]
    return [table.slice(a, b - a) for a, b in itertools.pairwise(ends)]


def writing(rng: Rng, table: pa.Table) -> dict[str, Any]:
    """Return options of the writer: what compresses, encodes and cuts the pages."""
    options: dict[str, Any] = {
        "compression": str(rng.choice(["none", "snappy", "zstd", "gzip"])),
        "data_page_version": str(rng.choice(["1.0", "2.0"])),
        "use_dictionary": bool(rng.random() < 0.5),
        "data_page_size": int(rng.choice([64, 500, 1 << 20])),
        "write_batch_size": int(rng.choice([8, 64, 1024])),
        "write_statistics": bool(rng.random() < 0.7),
        "write_page_index": bool(rng.random() < 0.3),
        "store_schema": bool(rng.random() < 0.8),
        "write_page_checksum": False,
    }
    if not options["use_dictionary"] and rng.random() < 0.5:
        encodings = {
            name: encoding
            for name, kind in zip(table.schema.names, table.schema.types, strict=True)
            if (encoding := _encoding(rng, kind)) is not None
        }
        options["column_encoding"] = encodings or None
    return options


def _encoding(rng: Rng, kind: pa.DataType) -> str | None:
    if pa.types.is_floating(kind):
        return "BYTE_STREAM_SPLIT"
    if kind in (pa.int32(), pa.int64(), pa.int8(), pa.date32()):
        return "DELTA_BINARY_PACKED"
    if kind in (pa.string(), pa.binary()):
        return str(rng.choice(["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]))
    return None


def write(rows: Rows, path: str) -> None:
    """Write a file, its row groups as they are cut."""
    schema = rows.tables[0].schema
    with pq.ParquetWriter(path, schema, **(rows.writing or {})) as writer:
        for table in rows.tables:
            writer.write_table(table, row_group_size=max(table.num_rows, 1))

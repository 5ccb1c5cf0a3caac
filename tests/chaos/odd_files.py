"""Valid Parquet files that are odd: each a case of its own, and what should become of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from .plain_files import INPUTS, KINDS, POINTS, WIDTH, Rng, Rows, column, passengers, points, split

DONE, REFUSED = "done", "refused"


class Odd(NamedTuple):
    """An odd file and what a run over it alone must come to."""

    rows: Rows
    expected: str = DONE


def _inputs(rng: Rng, rows: int, **other: pa.Array) -> pa.Table:
    columns = {name: pa.array(rng.normal(size=rows)) for name in INPUTS}
    return pa.table({**columns, **passengers(rng, rows), **other})


def _size(rng: Rng) -> int:
    return int(rng.integers(2, 60))


def no_rows(rng: Rng) -> Odd:
    return Odd(Rows([_inputs(rng, 0)] * int(rng.integers(1, 4))), REFUSED)


def empty_row_groups_between(rng: Rng) -> Odd:
    groups = split(rng, _inputs(rng, _size(rng)))
    empty = groups[0].slice(0, 0)
    mixed = [part for group in groups for part in ([empty] * int(rng.integers(3)) + [group])]
    return Odd(Rows([*mixed, empty]))


def a_row_group_for_each_row(rng: Rng) -> Odd:
    table = _inputs(rng, 200)
    return Odd(Rows([table.slice(row, 1) for row in range(200)]))


def null_input(rng: Rng) -> Odd:
    rows = _size(rng)
    kinds = [pa.null(), pa.float64(), pa.string(), pa.int8(), pa.bool_()]
    return Odd(Rows([_inputs(rng, rows, x2=pa.nulls(rows, kinds[rng.integers(5)]))]))


def null_passengers(rng: Rng) -> Odd:
    rows = _size(rng)
    kinds = [pa.null(), pa.list_(pa.null()), pa.struct([("a", pa.null())]), pa.large_binary()]
    other = {f"null {i}": pa.nulls(rows, kind) for i, kind in enumerate(kinds)}
    return Odd(Rows([_inputs(rng, rows, **other)]))


def nulls_in_lists(rng: Rng) -> Odd:
    rows = _size(rng)
    values = rng.normal(size=(rows, WIDTH)).astype(object)
    values[rng.random(values.shape) < 0.2] = None
    lists = [None if rng.random() < 0.1 else list(row) for row in values]
    kind = [pa.list_(pa.float64()), pa.list_(pa.float64(), WIDTH), pa.large_list(pa.float32())]
    column = pa.array(lists, kind[rng.integers(3)])
    return Odd(Rows([pa.table({"v": column, **passengers(rng, rows)})], None, "v"))


def nulls_in_nested_lists(rng: Rng) -> Odd:
    kind = pa.list_(pa.list_(pa.float64(), 1), WIDTH)
    lists = []
    for row in rng.normal(size=(_size(rng), WIDTH)).tolist():
        nested = [[x] if rng.random() < 0.9 else [[None], None][rng.integers(2)] for x in row]
        lists.append(None if rng.random() < 0.1 else nested)
    return Odd(Rows([pa.table({"v": pa.array(lists, kind)})], None, "v"))


def mixed_widths(rng: Rng) -> Odd:
    lists = [["1"] * int(rng.integers(6)) for _ in range(_size(rng))]
    kinds = [pa.list_(pa.string()), pa.list_(pa.float32()), pa.large_list(pa.int64())]
    column = pa.array(lists, kinds[0]).cast(kinds[rng.integers(3)])
    return Odd(Rows([pa.table({"v": column})], None, "v"))


def points_of_any_kind(rng: Rng) -> Odd:
    rows = _size(rng)
    return Odd(Rows([pa.table({"v": points(rng, rows, str(rng.choice(POINTS)))})], None, "v"))


def inputs_of_any_kind(rng: Rng) -> Odd:
    rows = _size(rng)
    other = {name: column(rng, rows, str(rng.choice(KINDS))) for name in INPUTS}
    return Odd(Rows(split(rng, _inputs(rng, rows, **other))))


def input_that_is_no_number(rng: Rng) -> Odd:
    rows = _size(rng)
    numbers = pa.array(np.arange(rows))
    kinds = [
        *(pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.duration("s"), pa.time64("us")),
        *(pa.date64(), pa.binary(), pa.list_(pa.float64()), pa.struct([("a", pa.float64())])),
        pa.map_(pa.string(), pa.float64()),
    ]
    kind = kinds[rng.integers(len(kinds))]
    odd = numbers.cast(kind) if pa.types.is_temporal(kind) else pa.nulls(rows, kind)
    return Odd(Rows([_inputs(rng, rows, x1=odd)]), REFUSED)


def duplicate_names(rng: Rng) -> Odd:
    rows = _size(rng)
    name = str(rng.choice(["x1", "key", "other"]))
    table = _inputs(rng, rows).append_column(name, pa.array(rng.normal(size=rows)))
    twice = table if name != "other" else table.append_column(name, table["x1"])
    return Odd(Rows([twice]), REFUSED)


NAMES = (
    *("a.b", "a b", " x ", "ü", "日本", "line\nbreak", "tab\t", "'", '"', "`", "", "a/b", "a\\b"),
    *("%41", "$", "{x}", "[0]", "a.list.element", "a.key_value.key", "a", "element", "list", "A"),
    *("schema", "_index", "__index_level_0__", "_error_code", "_error_code_input", "n" * 300),
    *("\N{MICRO SIGN}", "e\N{COMBINING ACUTE ACCENT}", "\N{RIGHT-TO-LEFT OVERRIDE}x", "😀"),
    *("__fragment_index", "__filename", "a.b.c", "-1", "0", "NaN", "null", "*", "?"),
)


def odd_names(rng: Rng) -> Odd:
    rows = _size(rng)
    names = [str(name) for name in rng.choice(np.array(NAMES, object), 8, replace=False)]
    arrays = [pa.array(rng.normal(size=rows)) for _ in names]
    arrays[-1] = pa.array([{"b": float(i), "list": [float(i)]} for i in range(rows)])
    renames = dict(zip(INPUTS, names, strict=False))
    return Odd(Rows([pa.Table.from_arrays(arrays, names)], renames))


def dotted_names_beside_nested_ones(rng: Rng) -> Odd:
    """Paths in Parquet are joined by dots: these columns have the same ones."""
    rows = _size(rng)
    numbers = lambda: pa.array(rng.normal(size=rows))
    columns = {
        "a": pa.array([{"b": float(i), "c": {"d": "x"}} for i in range(rows)]),
        "a.b": numbers(),
        "a.c": numbers(),
        "a.c.d": numbers(),
        "p": pa.array([[float(i)] * (i % 3) for i in range(rows)]),
        "p.list": pa.array([str(i) for i in range(rows)]),
        "p.list.element": numbers(),
    }
    wanted = [str(n) for n in rng.permutation([n for n in columns if rng.random() < 0.8])]
    table = pa.table({**{name: columns[name] for name in wanted}, **{n: numbers() for n in INPUTS}})
    renames = {"x1": "a.b"} if "a.b" in wanted else None
    return Odd(Rows([table], renames))


def thousands_of_columns(rng: Rng) -> Odd:
    other = {f"column {i}": pa.array(rng.normal(size=4)) for i in range(2500)}
    return Odd(Rows([_inputs(rng, 4, **other)]))


def long_metadata(rng: Rng) -> Odd:
    table = _inputs(rng, _size(rng))
    return Odd(Rows([table.replace_schema_metadata({"notes": "n" * (4 << 20)})]))


def enormous_row_group(rng: Rng) -> Odd:
    rows = 30_000
    return Odd(Rows([pa.table({name: rng.normal(size=rows) for name in INPUTS})]))


def odd_floats(rng: Rng) -> Odd:
    rows = _size(rng)
    other = {name: column(rng, rows, "odd floats") for name in INPUTS}
    return Odd(Rows([_inputs(rng, rows, **other)]))


def whole_numbers_beyond_doubles(rng: Rng) -> Odd:
    rows = _size(rng)
    large = pa.array(rng.integers(2**53, 2**64 - 1, rows, dtype=np.uint64))
    return Odd(Rows([_inputs(rng, rows, x1=large, x3=column(rng, rows, "float16"))]))


def long_texts(rng: Rng) -> Odd:
    texts = ["1" * 400, "9" * 100_000, "0." + "0" * 100_000 + "1", "z" * 1_000_000, " " * 1000, "1"]
    return Odd(Rows([_inputs(rng, len(texts), x1=pa.array(texts))]))


def texts_of_numbers(rng: Rng) -> Odd:
    texts = [
        "1e5",
        "+3",
        "-0",
        " 2 ",
        "\t7\n",
        "1_0",
        "１",
        "1e",
        ".5",
        "5.",
        ".",
        "1d0",
        "Inf",
        "−1",
    ]
    kind = [pa.string(), pa.large_string(), pa.string_view()][rng.integers(3)]
    return Odd(Rows([_inputs(rng, len(texts), x2=pa.array(texts, kind))]))


def texts_that_are_no_text(rng: Rng) -> Odd:
    """Bytes that are no UTF-8, as a flipped bit leaves them: Parquet readers let them pass."""
    raw = [b"1.5", b"\xff\xfe", b"2", b"1\x80", b"", b"\xc3", "ü".encode(), None]
    texts = pa.array([raw[i] for i in rng.integers(0, len(raw), _size(rng))], pa.binary())
    rows = len(texts)
    text = texts.view(pa.string())
    if rng.random() < 0.3:
        text = text.dictionary_encode()
    return Odd(Rows([_inputs(rng, rows, x2=text, other=text)]))


def matrices(rng: Rng) -> Odd:
    """Matrix columns, whole points among them, in rows of which some are bad."""
    rows = int(rng.integers(40, 80))
    lists = pa.FixedSizeListArray.from_arrays
    inner = lists(pa.array(rng.normal(size=rows * 6)), int(rng.choice([1, 2, 3])))
    matrix = lists(inner, 6 // inner.type.list_size)
    table = _inputs(rng, rows, x1=column(rng, rows, "with nulls"), matrix=matrix)
    table = table.append_column("in", pa.StructArray.from_arrays([matrix], ["a"]))
    if rng.random() < 0.5:
        return Odd(Rows(split(rng, table)))
    values = rng.normal(size=rows * WIDTH)
    values[rng.random(values.size) < 0.1] = np.nan
    v = lists(lists(pa.array(values), 1), WIDTH)
    return Odd(Rows(split(rng, table.append_column("v", v)), None, "v"))


def structs(rng: Rng) -> Odd:
    rows = _size(rng)
    deep = pa.array(rng.normal(size=rows))
    for level in range(30):
        deep = pa.StructArray.from_arrays([deep], [f"level.{level}"])
    twice = pa.StructArray.from_arrays([pa.array(np.arange(rows))] * 2, ["a", "a"])
    other = {"twice": twice} if rng.random() < 0.3 else {}
    return Odd(Rows([_inputs(rng, rows, deep=deep, **other)]))


def passengers_of_rare_types(rng: Rng) -> Odd:
    rows = _size(rng)
    whole = pa.array(np.arange(rows))
    lists = pa.array([[float(i)] * (i % 3) for i in range(rows)])
    other = {
        "view": pa.array([str(i) for i in range(rows)], pa.string_view()),
        "bytes view": pa.array([b"x"] * rows, pa.binary_view()),
        "fixed": pa.array([b"1234"] * rows, pa.binary(4)),
        "time": whole.cast(pa.int32()).cast(pa.time32("s")),
        "zone": whole.cast(pa.timestamp("ms", "Europe/Rome")),
        "span": whole.cast(pa.duration("us")),
        "small decimal": pa.array([1] * rows, pa.decimal32(5, 2)),
        "uuid": pa.array([bytes(16)] * rows, pa.uuid()),
        "json": pa.array(["{}"] * rows, pa.json_()),
        "flag": pa.ExtensionArray.from_storage(pa.bool8(), whole.cast(pa.int8(), safe=False)),
        "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(rng.normal(size=(rows, 2, 2))),
        "categories": pa.array([f"c{i % 3}" for i in range(rows)]).dictionary_encode(),
        "list of categories": pa.array([[f"c{i % 3}"] for i in range(rows)]).cast(
            pa.list_(pa.dictionary(pa.int8(), pa.string()))
        ),
        "list view": pa.array(lists.to_pylist(), pa.list_view(pa.float64())),
        "large list": lists.cast(pa.large_list(pa.float64())),
        "list of structs": pa.array([[{"a": 1.5, "b": None}] * (i % 2) for i in range(rows)]),
        "halves": pa.array([[np.float16(1)]] * rows, pa.list_(pa.float16())),
    }
    wanted = rng.choice(list(other), 6, replace=False)
    return Odd(Rows([_inputs(rng, rows, **{str(n): other[str(n)] for n in wanted})]))


def required_columns(rng: Rng) -> Odd:
    table = _inputs(rng, _size(rng)).select([*INPUTS, "key"])
    schema = pa.schema([field.with_nullable(False) for field in table.schema])
    return Odd(Rows([table.cast(schema)]))


def names_of_the_output(rng: Rng) -> Odd:
    """Columns that stand in quarantine or provenance: taken aside, or refused by name."""
    rows = _size(rng)
    name = str(rng.choice(["_row_index", "_source_file", "y1", "d_y1__d_x1"]))
    return Odd(Rows([_inputs(rng, rows, **{name: pa.array(["theirs"] * rows)})]), REFUSED)


# Every function above that makes one.
ODD_FILES: dict[str, Callable[[Rng], Odd]] = {
    name: make
    for name, make in list(globals().items())
    if getattr(make, "__annotations__", {}).get("return") is Odd
}

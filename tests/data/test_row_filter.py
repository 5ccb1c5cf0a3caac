import datetime
import operator
import pathlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperdiag.data.row_filter import parse_filter
from hyperdiag.messages.errors import UsageError

# `f` holds no multiple of 0.1: what a float32 equals is another test's matter.
VALUES = {
    "i": st.integers(-3, 3),
    "f": st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0, float("nan"), float("inf")]),
    "s": st.sampled_from(["", "A", "B", "it's", "é"]),
    "b": st.booleans(),
}
COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ROWS = st.lists(st.fixed_dictionaries({n: st.none() | v for n, v in VALUES.items()}), max_size=8)
SCHEMA = pa.schema([("i", pa.int32()), ("f", pa.float32()), ("s", pa.string()), ("b", pa.bool_())])


def _constants(name):
    return VALUES[name].filter(lambda value: value == value and value != float("inf"))


@st.composite
def _comparison(draw):
    """A comparison as text, and as a function of a row that returns True, False or None."""
    name = draw(st.sampled_from("ifs"))
    how = draw(st.sampled_from([*COMPARE, "in", "not in", "is", "is not", "chain"]))
    if how in ("is", "is not"):
        wanted = how == "is"
        return f"{name} {how} None", lambda row: (row[name] is None) == wanted
    if how in ("in", "not in"):
        items = draw(st.lists(_constants(name), min_size=1, max_size=3))
        wanted = how == "in"
        return (
            f"{name} {how} {items}",
            lambda row: None if row[name] is None else (row[name] in items) == wanted,
        )
    value = draw(_constants(name))
    if how == "chain":
        high = draw(_constants(name))
        return (
            f"{value!r} < {name} <= {high!r}",
            lambda row: None if row[name] is None else value < row[name] <= high,
        )
    compare = COMPARE[how]
    return (
        f"{name} {how} {value!r}",
        lambda row: None if row[name] is None else compare(row[name], value),
    )


def _combined(inner):
    def joined(parts, word, decisive):
        texts, tests = zip(*parts, strict=True)

        def evaluate(row):
            found = [test(row) for test in tests]
            return decisive if decisive in found else None if None in found else not decisive

        return "(" + f" {word} ".join(texts) + ")", evaluate

    def negated(part):
        text, test = part
        return f"not {text}", lambda row: None if test(row) is None else not test(row)

    several = st.lists(inner, min_size=2, max_size=3)
    return (
        several.map(lambda parts: joined(parts, "and", False))
        | several.map(lambda parts: joined(parts, "or", True))
        | inner.map(negated)
    )


BOOLEAN = st.just(("b", lambda row: row["b"]))
FILTERS = st.recursive(_comparison() | BOOLEAN, _combined, max_leaves=6)


def _kept(text, table):
    return table.append_column("row", pa.array(range(table.num_rows))).filter(
        parse_filter(text, table.schema)
    )["row"].to_pylist()  # fmt: skip


@settings(max_examples=300)
@given(rows=ROWS, rule=FILTERS)
def test_filter_of_any_shape_keeps_what_three_valued_logic_finds_true(rows, rule):
    text, evaluate = rule
    table = pa.Table.from_pylist(rows, SCHEMA)
    assert _kept(text, table) == [n for n, row in enumerate(rows) if evaluate(row) is True]


TABLE = pa.table(
    {
        "x": pa.array([1.0, 2.0, None]),
        "f": pa.array([0.1, 0.2, None], pa.float32()),
        "d": pa.array(["A", "B", None]).dictionary_encode(),
        "large": pa.array(["A", "B", None], pa.large_string()),
        "day": pa.array([datetime.date(2024, 1, 1), None, datetime.date(2025, 1, 1)]),
        "two words": [1, 2, 3],
        "a.b": [1, 2, 3],
        "x'); drop": [1, 2, 3],
        "\N{MICRO SIGN}": [1, 2, 3],
    }
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("d == 'A'", [0]),
        ("d in ('B', 'C')", [1]),
        ("large != 'A'", [1]),
        ("x in ()", []),
        ("-1 < x", [0, 1]),
        ("x > 1e400", []),
        ("not not x > 1", [1]),
        ("  x > 1 ", [1]),
        ("col('two words') >= 2", [1, 2]),
        ("col('a.b') == 2", [1]),
        ("""col("x'); drop") == 3""", [2]),
        ("col('\N{MICRO SIGN}') == 3", [2]),
        ("\N{MICRO SIGN} == 3", [2]),
        ("x not in (1, 3)", [1]),
        ("not x in (1, 3)", [1]),
        ("x < 100000000000000000000", [0, 1]),
    ],
)
def test_filter_by_name_kind_and_constant_keeps_the_rows(text, kept):
    assert _kept(text, TABLE) == kept


@pytest.mark.parametrize("number", ["0.1", "0.2", "0.5"])
def test_filter_in_a_list_keeps_what_equality_keeps(number):
    assert _kept(f"f in ({number},)", TABLE) == _kept(f"f == {number}", TABLE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y > 1", "the dataset has no column 'y'"),
        ("X > 1", "the dataset has no column 'X' (closest: 'x')"),
        ("col('two_words') > 1", "no column 'two_words' (closest: 'two words')"),
        ("x >", "invalid syntax"),
        ("", "invalid syntax"),
        ("x", "must evaluate to bool"),
        ("x > 'a'", "input types (double, string)"),
        ("x in (1, 'a')", "'a'"),
        ("d in ('A', 1)", "1"),
        ("x + 1 > 2", "cannot use `x + 1`"),
        ("x.real > 2", "cannot use `x.real`"),
        ("x == None", "cannot use `None`"),
        ("x is 1", "cannot use `1`"),
        ("d in ('A')", "cannot use `'A'`"),
        ("'A' in d", "cannot use `d`"),
        ("x in (1, None)", "cannot use `None`"),
        ("True", "cannot use `True`"),
        ("x > 1j", "cannot use `1j`"),
        ("col(1) > 1", "cannot use `col(1)`"),
        ("lambda: x", "cannot use `lambda: x`"),
        ("(x := 1) > 0", "cannot use `(x := 1)`"),
        ("x > 1; x > 2", "invalid syntax"),
    ],
)
def test_filter_that_cannot_be_used_is_refused_with_the_reason(text, said):
    with pytest.raises(UsageError) as caught:
        parse_filter(text, TABLE.schema)
    assert str(caught.value).startswith(f"dataset.filter '{text}': ")
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["not " * 3000 + "x > 1", "x > " + "- " * 100_000 + "1"])
def test_filter_that_is_nested_too_deep_is_refused_in_few_words(text):
    with pytest.raises(UsageError, match="it is nested too deep") as caught:
        parse_filter(text, TABLE.schema)
    assert len(str(caught.value)) < 200


def test_filter_that_is_no_filter_shows_what_one_looks_like():
    with pytest.raises(UsageError, match=r"q > 1 and .*book in .*'A', 'B'.*col.'a name'"):
        parse_filter("x if x else x", TABLE.schema)


def test_filter_that_calls_is_never_evaluated(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(UsageError, match="cannot use"):
        parse_filter(f"__import__('pathlib').Path({str(target)!r}).touch()", TABLE.schema)
    assert not pathlib.Path(target).exists()

"""Row filters: `q > 1 and book in ('A', 'B')`, parsed and never evaluated as code."""

import ast
import unicodedata
from collections.abc import Callable
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hyperdiag.messages.errors import UsageError, closest_or_all

_COMPARISONS: dict[type, Callable[[Any, Any], pc.Expression]] = {
    ast.Eq: eq,
    ast.NotEq: ne,
    ast.Lt: lt,
    ast.LtE: le,
    ast.Gt: gt,
    ast.GtE: ge,
}

_MOST_EQUALITIES = 100  # in one expression: Arrow walks it with a call for each

_USAGE = (
    "a filter compares columns with numbers or text: "
    "q > 1 and (book in ('A', 'B') or not x is None); `col('a name')` for other names"
)


def parse_filter(text: str, schema: pa.Schema) -> pc.Expression:
    """Return the Arrow expression that a filter stands for.

    A row is kept where the expression is true: as in SQL, a comparison with null keeps nothing.

    Raises:
        UsageError: if the text is no filter, names a column that is not there, or compares things
            that cannot be compared.
    """
    try:
        expression = _logic(ast.parse(text.strip(), mode="eval").body, schema, text)
        # Not `schema.empty_table`, which knows no tensors.
        pa.Table.from_batches([], schema).filter(expression)
    except SyntaxError as error:
        raise UsageError(f"dataset.filter '{text}': {error.msg}; {_USAGE}") from error
    except pa.ArrowException as error:
        raise UsageError(f"dataset.filter '{text}': {str(error).splitlines()[0]}") from error
    except (RecursionError, MemoryError) as error:  # the parser's own way to say so
        raise UsageError(f"dataset.filter '{text[:60]}...': it is nested too deep") from error
    return expression


def filter_columns(text: str) -> set[str]:
    """Return the names of the columns that a filter reads, as far as it is one.

    They are in Python's compatibility form (NFKC), but for those of `col('...')`.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    texts = {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    return texts | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _logic(node: ast.expr, schema: pa.Schema, text: str) -> pc.Expression:
    match node:
        case ast.BoolOp(op=op, values=values):
            joined = and_ if isinstance(op, ast.And) else or_
            return reduce(joined, [_logic(value, schema, text) for value in values])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_logic(operand, schema, text)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            lefts = [left, *rights[:-1]]
            return reduce(
                and_,
                [
                    _comparison(a, op, b, schema, text)
                    for a, op, b in zip(lefts, ops, rights, strict=True)
                ],
            )
        case ast.Name() | ast.Call():  # a boolean column
            return _value(node, schema, text)
    raise _refused(node, text)


def _comparison(
    left: ast.expr, op: ast.cmpop, right: ast.expr, schema: pa.Schema, text: str
) -> pc.Expression:
    subject = _value(left, schema, text)
    match op, right:
        case (ast.Is(), ast.Constant(value=None)):
            return subject.is_null()
        case (ast.IsNot(), ast.Constant(value=None)):
            return subject.is_valid()
        case (ast.In() | ast.NotIn(), ast.Tuple(elts=items) | ast.List(elts=items)):
            is_in = _in_list(subject, [_constant(item, text) for item in items])
            return ~is_in if isinstance(op, ast.NotIn) else is_in
    if type(op) not in _COMPARISONS:
        raise _refused(right, text)
    return _COMPARISONS[type(op)](subject, _value(right, schema, text))


def _in_list(subject: pc.Expression, values: list[Any]) -> pc.Expression:
    """Return whether a value is one of a list; null where it is null, as in SQL."""
    if len(values) <= _MOST_EQUALITIES:  # with the promotions of a comparison
        return reduce(or_, [subject == value for value in values], pc.scalar(False))
    if any(isinstance(value, float) for value in values):
        subject = subject.cast(pa.float64())
    return pc.if_else(
        subject.is_valid(), subject.isin(values), pc.scalar(pa.scalar(None, pa.bool_()))
    )


def _value(node: ast.expr, schema: pa.Schema, text: str) -> pc.Expression:
    match node:
        case ast.Name(id=name):
            return _column(name, schema, text)
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]):
            return _column(name, schema, text)
    return pc.scalar(_constant(node, text))


def _constant(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return _held(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return _held(-value)
    raise _refused(node, text)


def _held(value: Any) -> Any:
    """Return a constant as Arrow can hold it: integers beyond 64 bits as floats."""
    return float(value) if type(value) is int and not -(2**63) <= value < 2**63 else value


def _column(name: str, schema: pa.Schema, text: str) -> pc.Expression:
    # Python reads identifiers in their compatibility form (NFKC), in which a column may not be.
    same = [column for column in schema.names if unicodedata.normalize("NFKC", column) == name]
    if name not in schema.names and len(same) == 1:
        name = same[0]
    if name not in schema.names:
        raise UsageError(
            f"dataset.filter '{text}': the dataset has no column '{name}'"
            f"{closest_or_all(name, schema.names)}"
        )
    return pc.field(name)


def _refused(node: ast.expr, text: str) -> UsageError:
    return UsageError(f"dataset.filter '{text}': cannot use `{ast.unparse(node)}`; {_USAGE}")

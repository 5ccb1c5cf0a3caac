"""Scenarios of shocks, from a small Parquet file."""

import math
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import resolve
from hyperdiag.derived.delta_gamma import Scenario
from hyperdiag.messages.errors import Problems, UsageError, closest_or_all, first_line, listed
from hyperdiag.messages.masking import masked

KEY = "derived.delta_gamma.scenarios"
NAME = "scenario"  # the column of their names
_MOST = 1000


def read_scenarios(path: str, directions: Sequence[str]) -> tuple[Scenario, ...]:
    """Read a file with a row for each scenario, and a column for each input that is shocked.

    Args:
        path: of the file, a URI perhaps.
        directions: names of the inputs that were differentiated with respect to.

    Raises:
        UsageError: with every problem that was found.
    """
    table = _read(path)
    what = f"{KEY}={masked(path)}"
    problems = Problems()
    if NAME not in table.column_names:
        problems.add(f"{what} has no column '{NAME}' with their names")
    inputs = [name for name in table.column_names if name != NAME]
    for name in inputs:
        if name not in directions:
            problems.add(
                f"{what}: column '{name}' is no input with a derivative"
                f"{closest_or_all(name, directions)}"
            )
    if not inputs or not table.num_rows:
        problems.add(
            f"{what} has {table.num_rows:,} rows and {len(inputs)} columns of shocks; it needs a "
            "scenario and an input at least"
        )
    problems.check()
    rows = table.to_pylist()
    names = [row[NAME] for row in rows]
    for name, count in Counter(names).items():
        if not isinstance(name, str) or not name:
            problems.add(f"{what}: the name of a scenario is {name!r}; it must be text")
        elif count > 1:
            problems.add(f"{what} names scenario '{name}' twice")
    for row in rows:
        wrong = [name for name in inputs if not _is_number(row[name])]
        if wrong:
            problems.add(
                f"{what}: scenario {row[NAME]!r} has no finite number for {listed(wrong)}; 0 is no "
                "shock"
            )
    problems.check()
    ordered = [name for name in directions if name in inputs]
    return tuple(Scenario(row[NAME], {name: float(row[name]) for name in ordered}) for row in rows)


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _read(path: str) -> pa.Table:
    place = resolve(path)
    try:
        with pq.ParquetFile(place.path, filesystem=place.filesystem) as file:
            if file.metadata.num_rows > _MOST:
                raise UsageError(
                    f"{KEY}={masked(path)} has {file.metadata.num_rows:,} rows, and {_MOST:,} are "
                    "the most"
                )
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{KEY}={masked(path)} cannot be read: {first_line(error)}") from error

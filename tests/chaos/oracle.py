"""What a run over a case may come to, judged by other means than the product's.

A run over any input ends in one of three ways: refused with the file or the column named and
nothing written; incomplete with the file named and every other file done; or done with each row
accounted for once, each derived row of the right value, each bad row in quarantine.
"""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .cases import DONE, REFUSED, Case, File
from .plain_files import INPUTS

_SAMPLE = 400  # rows of a file whose values are looked at one by one
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_HUGE = {"float32": 1e30, "float64": 1e300}  # beyond it a result may overflow
_QUARANTINE = ("_error_code", "_error_detail", "_source_file", "_row_index")
BAD = object()
PROBLEM = "\0"  # between the problems of a refusal


class Outcome(NamedTuple):
    """What `derive` did.

    Attributes:
        kind: "done", "refused", "incomplete", "escaped", "died" or "hung".
        said: the error's text.
        manifest: of a run that is done.
    """

    kind: str
    said: str = ""
    manifest: dict[str, Any] | None = None


def findings(case: Case, outcome: Outcome, read_input: bool = True) -> list[str]:
    """Return what is wrong with an outcome, a sentence each.

    Args:
        case: that was run.
        outcome: of it.
        read_input: whether the input may be read here; not where that ends the process.
    """
    out = Path(case.config["output"]["path"])
    if case.expected not in (None, outcome.kind):
        return [f"is {outcome.kind}, must be {case.expected}: {outcome.said}"]
    if outcome.kind == REFUSED:
        return _refused(case, outcome.said, out)
    if outcome.kind == "incomplete":
        return _incomplete(case, outcome.said, out, read_input)
    if outcome.kind == DONE:
        return _done(case, outcome.manifest or {}, out, read_input)
    return [f"{outcome.kind}: {outcome.said}"]


def _refused(case: Case, said: str, out: Path) -> list[str]:
    wrong = []
    if any(out.glob("data/*")) or any(out.glob("quarantine/*")):
        wrong.append("refused after something was written")
    places = [file.path for file in case.files]
    places += [case.config["dataset"]["path"], "column", "dataset.filter", "dataset.vector"]
    for problem in said.split(PROBLEM):
        if not any(place in problem for place in places):
            wrong.append(f"names no file or column: {problem}")
    return wrong


def _incomplete(case: Case, said: str, out: Path, read_input: bool) -> list[str]:
    wrong = []
    named = [file for file in case.files if file.path in said]
    if not named:
        wrong.append(f"names no file: {said}")
    if "shard" not in said:
        wrong.append(f"names no shard: {said}")
    whole = [file for file in case.files if not file.damaged]
    if any(file in whole for file in named):
        wrong.append(f"a whole file failed: {said}")
    if (out / "_SUCCESS").exists():
        wrong.append("published although incomplete")
    found, problems = _rows_out(out)
    wrong += problems
    dataset = case.config["dataset"]
    for file in whole:
        rows = Counter(source for source, _ in found)[file.path]
        # A whole file may be left out as one that is unlike the others, which the log says.
        if dataset["limit"] is None and dataset["filter"] is None and rows not in (0, file.rows):
            wrong.append(f"{rows} of {file.rows} rows of {file.path} are there")
    there = {source for source, _ in found}  # of the others no shard is done, or they are left out
    done = [file for file in case.files if file.path in there]
    return wrong + [one for file in done for one in _values(case, file, found, read_input)]


def _done(case: Case, manifest: dict[str, Any], out: Path, read_input: bool) -> list[str]:
    rows, wrong = manifest["rows"], []
    bad = sum(rows["quarantined"].values())
    if rows["read"] != rows["derived"] + rows["filtered"] + bad:
        wrong.append(f"the manifest does not add up: {rows}")
    if not (out / "_SUCCESS").exists():
        wrong.append("done without _SUCCESS")
    found, problems = _rows_out(out)
    wrong += problems
    left_out = {file["path"] for file in manifest["bad_files"]}
    used = sorted(file.path for file in case.files if file.path not in left_out)
    by_path = {file.path: file for file in case.files}
    limit = case.config["dataset"]["limit"] or math.inf
    expected: set[tuple[str, int]] = set()
    for path in used:
        count = by_path[path].rows
        count = rows_in(path) if count is None else count
        room = int(min(count, limit - len(expected)))
        expected |= {(path, row) for row in range(room)}
    if rows["read"] != len(expected):
        wrong.append(f"{rows['read']} rows read, there are {len(expected)}")
    if not set(found) <= expected:
        wrong.append(f"{len(set(found) - expected)} rows that are in no file")
    if len(found) != len(expected) - rows["filtered"]:
        wrong.append(f"{len(found)} of {len(expected)} rows, {rows['filtered']} filtered")
    if Counter(where for where, _ in found.values()) != +Counter(
        {"data": rows["derived"], "quarantine": bad}
    ):
        wrong.append("the manifest and the files differ")
    for path in used:
        wrong += _values(case, by_path[path], found, read_input)
    return wrong


def _rows_out(out: Path) -> tuple[dict[tuple[str, int], tuple[str, dict]], list[str]]:
    """Return {(source file, row): (folder, the row)}, and what is wrong with that."""
    found: dict[tuple[str, int], tuple[str, dict]] = {}
    wrong = []
    for folder in ("data", "quarantine"):
        for path in sorted(out.glob(f"{folder}/*")):
            table = pq.ParquetFile(path).read()
            keys = zip(*(table[n].to_pylist() for n in ("_source_file", "_row_index")), strict=True)
            for position, key in enumerate(keys):
                if key in found:
                    wrong.append(f"row {key[1]} of {key[0]} is there twice")
                found[key] = folder, {"table": table, "at": position}
    return found, wrong


def rows_in(path: str) -> int:
    """Return the number of rows that pyarrow reads; or that the footer tells, where it cannot."""
    try:
        return _read(path).num_rows
    except Exception:
        return pq.read_metadata(path).num_rows


def _read(path: str) -> pa.Table:
    """Read a file by row groups: where pages are damaged, one spills into the next otherwise."""
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(i, use_threads=False) for i in range(file.num_row_groups)]
    return pa.concat_tables(groups) if groups else file.read()


def _values(
    case: Case, file: File, found: dict[tuple[str, int], tuple[str, dict]], read_input: bool
) -> list[str]:
    """Compare a file's rows in the output with what stands in the file."""
    if not read_input:
        return []
    try:
        table = _read(file.path)
    except Exception:  # it cannot be read here: what was read there is compared with nothing
        return []
    dataset, dtype = case.config["dataset"], case.config["derivatives"]["dtype"]
    network = _Network(case.config["network"]["weights"], dtype)
    mine = [row for path, row in found if path == file.path]
    if dataset["filter"]:
        mine = [*mine, *(row for row in range(table.num_rows) if row not in mine)]
    for row in mine[:: max(len(mine) // _SAMPLE, 1)]:
        if row >= table.num_rows:
            return [f"row {row} of {file.path} is beyond its {table.num_rows}"]
        where, out = found.get((file.path, row), ("filtered", {}))
        if dataset["filter"]:
            key = table["key"][row].as_py()
            if (key is None or key < 3) != (where == "filtered"):
                if where == "filtered" and dataset["limit"] is not None:
                    continue
                return [f"row {row} of {file.path} with key {key} is in {where}"]
            if where == "filtered":
                continue
        point = _point(table, row, dataset, dtype)
        said = _judge(point, where, out, network, dtype)
        said = said or _passed(table, row, where, out)
        if said:
            return [f"row {row} of {file.path} {said}"]
    return []


def _judge(point: Any, where: str, out: dict, network: "_Network", dtype: str) -> str | None:
    at, table = out["at"], out["table"]
    if where == "quarantine":
        code = table["_error_code"][at].as_py()
        if code == "non_finite_result":
            huge = point is not BAD and np.abs(point).max() > _HUGE[dtype]
            return None if huge else f"has no finite result at {point}"
        return None if point is BAD else f"is quarantined as {code}, but is {point}"
    if point is BAD:
        return "is derived although it is no point"
    if "value" in table.column_names and pa.types.is_fixed_size_list(table["value"].type):
        value = table["value"][at].as_py()
    else:
        value = [table[name][at].as_py() for name in ("y1", "y2")]
    return network.difference(np.array(point, dtype), np.array(value))


def _passed(table: pa.Table, row: int, where: str, out: dict) -> str | None:
    names = out["table"].column_names
    there = Counter(names)
    # In quarantine a column stands where it stood, but its name may have stepped aside.
    aside = where == "quarantine" and len(names) == len(table.column_names) + len(_QUARANTINE)
    for number, name in enumerate(table.column_names):
        kept = names[number] if aside else name
        if there[kept] != 1:
            return f"has {there[kept]} columns called {kept!r} in {where}"
        before = _cell(table.column(number), row)
        after = _cell(out["table"][kept], out["at"])
        if before != after:
            return f"has {name!r} = {after} for {before}"
    return None


def _cell(column: pa.ChunkedArray, row: int) -> str:
    try:
        return repr(column[row].as_py())
    except (UnicodeDecodeError, ValueError, OverflowError):  # no text, or no date, of Python's
        return "?"


def _point(table: pa.Table, row: int, dataset: dict[str, Any], dtype: str) -> Any:
    """Return the network's inputs in a row, or BAD."""
    if dataset["vector"]:
        cells = table[dataset["vector"]][row].as_py()
        cells = cells.ravel().tolist() if isinstance(cells, np.ndarray) else cells
        while isinstance(cells, list) and any(isinstance(cell, list) for cell in cells):
            if any(cell is None for cell in cells):
                return BAD
            cells = [inner for cell in cells for inner in cell]
        if cells is None or len(cells) != len(INPUTS):
            return BAD
    else:
        renames = dataset["columns"] or {}
        cells = []
        for name in INPUTS:
            try:
                cells.append(table[renames.get(name, name)][row].as_py())
            except UnicodeDecodeError:
                return BAD
    numbers = [_number(cell, dtype) for cell in cells]
    return BAD if any(number is BAD for number in numbers) else numbers


def _number(cell: Any, dtype: str) -> Any:
    if isinstance(cell, str):
        text = cell.strip(" \t\n\r\f\v")
        cell = float(text) if _NUMBER.fullmatch(text) else None
    if cell is None:
        return BAD
    with np.errstate(over="ignore"):
        number = np.dtype(dtype).type(float(cell))
    return number if np.isfinite(number) else BAD


class _Network:
    """The chain, in NumPy and float64."""

    def __init__(self, weights: str, dtype: str):
        self._w = dict(np.load(weights))
        self._eps = 32 * np.finfo(dtype).eps

    def difference(self, x: np.ndarray, found: np.ndarray) -> str | None:
        """Return how a value differs from the network's at a point, beyond rounding."""
        w, x = self._w, x.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            hidden = np.tanh(w["W1"] @ x + w["b1"])
            spread = self._eps * (np.abs(w["W1"]) @ np.abs(x) + np.abs(w["b1"]))
            wanted = w["W2"] @ hidden + w["b2"]
            room = np.abs(w["W2"]) @ (np.minimum(spread, 2) + self._eps) + self._eps
            close = np.abs(found - wanted) <= room + self._eps * np.abs(wanted)
        if np.isfinite(spread).all() and not close.all():
            return f"has the value {found}, not {wanted}, at {x}"
        return None

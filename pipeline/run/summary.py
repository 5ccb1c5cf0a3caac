"""The last words of a run: what was derived, where it is, how to read it."""

import math
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from hyperdiag.data.filesystem import below, is_uri, resolve
from hyperdiag.data.object_store.tries import without_tries
from hyperdiag.data.output_folder import (
    AXES,
    CONFIG,
    DATA,
    EXTREMES,
    MANIFEST,
    PLAN,
    QUARANTINE,
    RUN,
    SUMMARY,
)
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.data.sink import ERROR_CODE, ERROR_DETAIL
from hyperdiag.hyperdual import HIGHEST
from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.printable import json_text, printable_name
from hyperdiag.messages.wording import by_code, counted, duration
from hyperdiag.statistics.importance import strongest_inputs

from .output.manifest import Manifest
from .output.receipt import Tally

_OF_PATTERNS = re.compile(r"[\[*?]")
_STRONGEST = 3  # inputs that are named for each output
_MOST_OUTPUTS = 24  # whose ranges are shown: all of them are in the manifest


def print_summary(manifest: Manifest, path: str) -> None:
    """Print a finished run's manifest, in words, on standard output.

    Args:
        manifest: of the run.
        path: of its output folder, with any credentials.
    """
    summary = _summary_table(path)
    console = plain_console()
    network, rows = manifest.network, manifest.rows
    products = "" if manifest.precision == HIGHEST else f" with {manifest.precision} products"
    console.print()
    derived = f", and {', '.join(manifest.derived)}" if manifest.derived else ""
    console.print(
        f"[bold]{escape(network.name)}[/]: {_listed(manifest.quantities)}{derived} of "
        f"{counted(len(network.outputs), 'output')} with respect to {len(manifest.directions)} of "
        f"{counted(len(network.inputs), 'input')}, in {manifest.dtype}{products}, "
        f"by {manifest.method}",
        soft_wrap=True,
    )
    console.print(_rows_line(rows))
    console.print(_ranges(manifest, strongest_inputs(summary, _STRONGEST) if summary else {}))
    if rows.verified:
        console.print(
            f"{counted(rows.verified, 'row')} compared with a float64 reference: largest error "
            f"{rows.largest_error:.1e} of an output's largest entry"
        )
    for warning in manifest.warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    seconds = manifest.seconds
    if seconds.work:
        console.print(
            f"{counted(seconds.rows, 'row')} in {duration(seconds.work)} with "
            f"{counted(manifest.workers, 'worker')}: {seconds.rows / seconds.work:,.0f} rows/s "
            f"({duration(seconds.start)} to start and compile before that)"
        )
    console.print(f"\nOutput: [bold]{escape(manifest.output)}[/]", soft_wrap=True)
    if rows.bad:
        console.print(
            f"{_folder(QUARANTINE)}{counted(rows.bad, 'row')} with {ERROR_CODE} and {ERROR_DETAIL}"
        )
    files = [PLAN, CONFIG, MANIFEST, *((SUMMARY, EXTREMES) if summary else ())]
    names = ", ".join(name.removeprefix(f"{RUN}/") for name in files)
    console.print(f"{_folder(RUN)}{names}")
    if manifest.writes_no_rows:
        console.print(f"{_folder(DATA)}no rows, as summary.only asks for")
        return
    console.print(
        f"{_folder(DATA)}{counted(manifest.shards, 'file')}, "
        f"{printable_name(_columns_line(manifest))}",
        markup=False,
    )
    for line in _how_to_read(manifest.output):
        console.print(f"    {printable_name(line)}", soft_wrap=True, markup=False)


def _summary_table(path: str) -> pa.Table | None:
    """Return the statistics of a run; None if there are none, or they cannot be read for now."""
    try:
        return pq.read_table(pa.BufferReader((resolve(path) / SUMMARY).read_bytes()))
    except (UsageError, pa.ArrowException):
        return None


def _folder(name: str) -> str:
    """Return the name of a folder of the output as the start of a line, in a column of its own."""
    return f"  {name + '/':13}"


def _rows_line(rows: Tally) -> str:
    parts = [f"{rows.derived:,} derived", f"{rows.bad:,} quarantined"]
    if rows.bad:
        parts[-1] += f" ({by_code(dict(sorted(rows.quarantined.items())))})"
    if rows.filtered:
        parts.append(f"{rows.filtered:,} filtered out")
    line = f"{counted(rows.read, 'row')} read: {', '.join(parts)}"
    if rows.out_of_range:
        line += f"; {rows.out_of_range:,} outside the trained ranges"
    return line


def _listed(quantities: Sequence[str]) -> str:
    *first, last = (QUANTITIES[quantity].title for quantity in quantities)
    return f"{', '.join(first)} and {last}" if first else last


def _ranges(manifest: Manifest, strongest: Mapping[str, Sequence[str]]) -> Table:
    ranges = manifest.rows.ranges
    # Those that were computed for what is derived, too.
    shown = [*manifest.quantities, *(q for q in QUANTITIES if q in ranges)]
    shown = list(dict.fromkeys(shown))
    titles = [QUANTITIES[quantity].title for quantity in shown]
    titles += ["strongest inputs"] if strongest else []
    table = Table("output", *titles, box=None, pad_edge=False)
    outputs = manifest.network.outputs
    for position, output in enumerate(outputs[:_MOST_OUTPUTS]):
        cells = []
        for quantity in shown:
            if quantity in ranges:
                low, high = (ends[position] for ends in ranges[quantity])
                cells.append(f"{low: .4g} .. {high:.4g}")
            else:
                cells.append("no rows")
        cells += [escape(", ".join(strongest[output]))] if strongest else []
        table.add_row(escape(output), *cells)
    if len(outputs) > _MOST_OUTPUTS:
        table.add_row(f"{len(outputs) - _MOST_OUTPUTS:,} more", f"in {MANIFEST}")
    return table


def _columns_line(manifest: Manifest) -> str:
    outputs, directions = manifest.network.outputs, manifest.directions
    shapes = {
        quantity: QUANTITIES[quantity].shape(len(outputs), len(directions))
        for quantity in manifest.quantities
    }
    if manifest.layout == "tensor":
        columns = [name + "".join(f" [{s}]" for s in shape) for name, shape in shapes.items()]
        columns += [name for names in manifest.derived.values() for name in names]
        return f"columns {', '.join(columns)}; names of positions in {AXES}"
    examples = [
        QUANTITIES[quantity].columns(manifest.separator, outputs, directions)[0]
        for quantity in shapes
    ]
    examples += [names[0] for names in manifest.derived.values()]
    count = sum(math.prod(shape) for shape in shapes.values())
    count += sum(len(names) for names in manifest.derived.values())
    return f"{counted(count, 'computed column')} such as {', '.join(examples)}"


def _how_to_read(output: str) -> list[str]:
    data = below(without_tries(output), DATA)
    dataset = f"pyarrow.dataset.dataset({json_text(data)})"
    by_arrow = f"DuckDB   duckdb.from_arrow({dataset})"
    if "?" in data and is_uri(data):
        # Arrow alone understands what stands behind the question mark; the others have it read.
        return [
            f"pandas   pandas.read_parquet({json_text(data)})",
            f"polars   polars.scan_pyarrow_dataset({dataset})",
            by_arrow,
        ]
    # Signs of a pattern stand for themselves within brackets, for polars and DuckDB alike.
    files = _OF_PATTERNS.sub(r"[\g<0>]", data) + "/*.parquet"
    in_quotes = files.replace("'", "''")
    # DuckDB takes a backslash for a slash, and SQL has no escapes.
    plain = "\\" not in data and printable_name(data) == data
    return [
        f"Python   hyperdiag.read({json_text(output)})  # also while an update is being published",
        f"pandas   pandas.read_parquet({json_text(data)})",
        f"polars   polars.scan_parquet({json_text(files)})",
        f"DuckDB   SELECT * FROM '{in_quotes}'" if plain else by_arrow,
    ]

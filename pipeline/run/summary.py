"""The last words of a run: what was derived, where it is, how to read it."""

import math
from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from hyperdiag.data.layout import column_names, quantity_shape
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.wording import by_code, counted, duration

from .output.receipt import TITLES


def print_summary(manifest: Mapping[str, Any]) -> None:
    """Print a finished run's manifest, in words, on standard output."""
    console = plain_console()
    network, rows = manifest["network"], manifest["rows"]
    bad = sum(rows["quarantined"].values())
    console.print()
    outputs, inputs = (counted(len(network[each]), each[:-1]) for each in ("outputs", "inputs"))
    console.print(
        f"[bold]{escape(network['name'])}[/]: {_listed(manifest['outputs'])} of {outputs} with "
        f"respect to {len(manifest['directions'])} of {inputs}, in {manifest['dtype']}, by "
        f"{manifest['method']}",
        soft_wrap=True,
    )
    console.print(_rows_line(rows, bad))
    console.print(_ranges(network["outputs"], manifest["outputs"], rows["ranges"]))
    if rows["verified"]:
        console.print(
            f"{counted(rows['verified'], 'row')} compared with a float64 reference: largest error "
            f"{rows['largest_error']:.1e} of an output's largest entry"
        )
    for warning in manifest["warnings"]:
        console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    seconds = manifest["seconds"]
    if seconds["work"]:
        console.print(
            f"{counted(seconds['rows'], 'row')} in {duration(seconds['work'])} with "
            f"{counted(manifest['workers'], 'worker')}: "
            f"{seconds['rows'] / seconds['work']:,.0f} rows/s "
            f"({duration(seconds['start'])} to start and compile before that)"
        )
    console.print(f"\nOutput: [bold]{escape(manifest['output'])}[/]", soft_wrap=True)
    if bad:
        console.print(f"  quarantine/  {counted(bad, 'row')} with _error_code and _error_detail")
    console.print("  run/         plan.json, config.yaml, manifest.json")
    console.print(
        f"  data/        {counted(manifest['shards'], 'file')}, {_columns_line(manifest)}",
        markup=False,
    )
    for line in _how_to_read(manifest["output"]):
        console.print(f"    {line}", soft_wrap=True, markup=False)


def _rows_line(rows: Mapping[str, Any], bad: int) -> str:
    parts = [f"{rows['derived']:,} derived", f"{bad:,} quarantined"]
    if bad:
        parts[-1] += f" ({by_code(rows['quarantined'])})"
    if rows["filtered"]:
        parts.append(f"{rows['filtered']:,} filtered out")
    line = f"{counted(rows['read'], 'row')} read: {', '.join(parts)}"
    if rows["out_of_range"]:
        line += f"; {rows['out_of_range']:,} outside the trained ranges"
    return line


def _listed(quantities: list[str]) -> str:
    *first, last = (TITLES[quantity] for quantity in quantities)
    return f"{', '.join(first)} and {last}" if first else last


def _ranges(outputs: list[str], quantities: list[str], ranges: Mapping[str, Any]) -> Table:
    titles = (TITLES[quantity] for quantity in quantities)
    table = Table("output", *titles, box=None, pad_edge=False)
    for position, output in enumerate(outputs):
        cells = []
        for quantity in quantities:
            if quantity in ranges:
                low, high = (ends[position] for ends in ranges[quantity])
                cells.append(f"{low: .4g} .. {high:.4g}")
            else:
                cells.append("no rows")
        table.add_row(escape(output), *cells)
    return table


def _columns_line(manifest: Mapping[str, Any]) -> str:
    outputs, directions = manifest["network"]["outputs"], manifest["directions"]
    shapes = {
        quantity: quantity_shape(quantity, len(outputs), len(directions))
        for quantity in manifest["outputs"]
    }
    if manifest["layout"] == "tensor":
        columns = (name + "".join(f" [{s}]" for s in shape) for name, shape in shapes.items())
        return f"columns {', '.join(columns)}"
    examples = (column_names(quantity, outputs, directions)[0] for quantity in shapes)
    count = sum(math.prod(shape) for shape in shapes.values())
    return f"{counted(count, 'computed column')} such as {', '.join(examples)}"


def _how_to_read(output: str) -> list[str]:
    data = f"{output.rstrip('/')}/data"
    return [
        f'pandas   pandas.read_parquet("{data}")',
        f'polars   polars.scan_parquet("{data}/*.parquet")',
        f"DuckDB   SELECT * FROM '{data}/*.parquet'",
    ]

"""The last words of a run: what was derived, where it is, how to read it."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from pipeline.console import plain_console

from .progress import duration
from .receipt import QUANTITIES


def print_summary(manifest: Mapping[str, Any]) -> None:
    """Print a finished run's manifest, in words, on standard output."""
    console = plain_console()
    network, rows = manifest["network"], manifest["rows"]
    bad = sum(rows["quarantined"].values())
    console.print()
    console.print(
        f"[bold]{escape(network['name'])}[/]: value, Jacobian and Hessian diagonal of "
        f"{len(network['outputs'])} outputs with respect to {len(manifest['directions'])} of "
        f"{len(network['inputs'])} inputs, in {manifest['dtype']}, by {manifest['method']}",
        soft_wrap=True,
    )
    console.print(_rows_line(rows, bad))
    console.print(_ranges(network["outputs"], rows["ranges"]))
    if rows["verified"]:
        console.print(
            f"{rows['verified']:,} rows compared with a float64 reference: largest error "
            f"{rows['largest_error']:.1e} of an output's largest entry"
        )
    for warning in manifest["warnings"]:
        console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    seconds = manifest["seconds"]
    if seconds["work"]:
        console.print(
            f"{seconds['rows']:,} rows in {duration(seconds['work'])} with "
            f"{manifest['workers']} worker{'s' if manifest['workers'] > 1 else ''}: "
            f"{seconds['rows'] / seconds['work']:,.0f} rows/s "
            f"({duration(seconds['start'])} to start and compile before that)"
        )
    console.print(f"\nOutput: [bold]{escape(manifest['output'])}[/]", soft_wrap=True)
    if bad:
        console.print(f"  quarantine/  {bad:,} rows with _error_code and _error_detail")
    console.print("  run/         plan.json, config.yaml, manifest.json")
    console.print(
        f"  data/        {manifest['shards']} files, {_columns_line(manifest)}", markup=False
    )
    for line in _how_to_read(manifest["output"]):
        console.print(f"    {line}", soft_wrap=True, markup=False)


def _rows_line(rows: Mapping[str, Any], bad: int) -> str:
    parts = [f"{rows['derived']:,} derived", f"{bad:,} quarantined"]
    if bad:
        codes = ", ".join(f"{count:,} {code}" for code, count in rows["quarantined"].items())
        parts[-1] += f" ({codes})"
    if rows["filtered"]:
        parts.append(f"{rows['filtered']:,} filtered out")
    line = f"{rows['read']:,} rows read: {', '.join(parts)}"
    if rows["out_of_range"]:
        line += f"; {rows['out_of_range']:,} outside the trained ranges"
    return line


def _ranges(outputs: list[str], ranges: Mapping[str, Any]) -> Table:
    table = Table("output", "value", "Jacobian", "Hessian diagonal", box=None, pad_edge=False)
    for position, output in enumerate(outputs):
        cells = []
        for quantity in QUANTITIES:
            if quantity in ranges:
                low, high = (ends[position] for ends in ranges[quantity])
                cells.append(f"{low: .4g} .. {high:.4g}")
            else:
                cells.append("no rows")
        table.add_row(escape(output), *cells)
    return table


def _columns_line(manifest: Mapping[str, Any]) -> str:
    m, k = len(manifest["network"]["outputs"]), len(manifest["directions"])
    if manifest["layout"] == "tensor":
        return f"columns value [{m}], jacobian [{m}][{k}], hessian_diag [{m}][{k}]"
    output, direction = manifest["network"]["outputs"][0], manifest["directions"][0]
    return (
        f"{m + 2 * m * k} computed columns such as {output}, d_{output}_d_{direction}, "
        f"d2_{output}_d_{direction}2"
    )


def _how_to_read(output: str) -> list[str]:
    data = f"{output.rstrip('/')}/data"
    return [
        f'pandas   pandas.read_parquet("{data}")',
        f'polars   polars.scan_parquet("{data}/*.parquet")',
        f"DuckDB   SELECT * FROM '{data}/*.parquet'",
    ]

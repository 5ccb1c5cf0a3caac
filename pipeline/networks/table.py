"""The registered networks, and one of them in full, as tables for people."""

from typing import Any

import numpy as np
from rich.table import Table

from hyperdiag.hyperdual import DEFAULT_METHOD, RuleError, derivatives
from hyperdiag.messages.console import escape, plain_console
from hyperdiag.messages.errors import UsageError

from .library_values import library_difference
from .network import Network
from .registry import network_names, network_summary

# Of inputs or outputs that are shown, one below the other and side by side.
_MOST_ROWS, _MOST_COLUMNS = 12, 8
_SAMPLE = 256  # points at which it is looked whether the Hessian diagonal is zero


def print_networks() -> None:
    """Print a table of all registered networks, on standard output."""
    console = plain_console()
    table = Table("network", "", box=None, pad_edge=False)
    for name in network_names():
        table.add_row(name, network_summary(name))
    console.print(table)
    console.print("\nhyperdiag networks network=NAME shows one in full")


def print_network(network: Network, point: Any, dtype: str) -> None:
    """Print a network's inputs, outputs and derivatives at a point, on standard output.

    Args:
        network: which.
        point: n numbers, as configuration has them; None means the middle of the trained ranges,
            or the mean in training, and zero where neither is known.
        dtype: in which the derivatives are computed.

    Raises:
        UsageError: if the point is no list of n numbers, or the network cannot be differentiated.
    """
    x = _point(network, point)
    shown = network.outputs[:_MOST_COLUMNS]
    width = max(map(len, (*network.inputs[:_MOST_ROWS], *shown, "-1.234e+05"))) + 2
    console = plain_console(least_width=width * (len(shown) + 2))
    # Not "auto": a few points are not worth timing anything.
    bundle = derivatives(
        network.function, network.n_inputs, DEFAULT_METHOD, dtype=dtype, tile=_SAMPLE
    )
    try:
        sample = np.asarray(bundle(network.typical_points(_SAMPLE)).hessian_diag)
    except RuleError as error:
        raise UsageError(f"network '{network.name}': {error}") from error
    console.print(f"[bold]{escape(network.name)}[/]: {escape(network.description)}")
    console.print(f"digest {network.digest}")
    for fact in network.facts:
        console.print(escape(fact), soft_wrap=True)
    difference = library_difference(network, dtype)
    if difference is not None:
        console.print(
            f"values within {difference:.1e} of its own library's, of the largest of them"
        )
    console.print(f"{network.n_inputs} inputs, {network.n_outputs} outputs")
    console.print(f"Hessian diagonal: {_where_zero(network, sample)}", soft_wrap=True)
    console.print(_inputs(network, x))
    value, jacobian, hessian_diag = (np.asarray(array)[0] for array in bundle(x[None]))
    outputs = Table("output", "value at the point", box=None, pad_edge=False)
    for name, number in zip(network.outputs[:_MOST_ROWS], value, strict=False):
        outputs.add_row(escape(name), f"{number:.6g}")
    _add_rest(outputs, network.n_outputs)
    console.print(outputs)
    for title, matrix in (("Jacobian", jacobian), ("Hessian diagonal", hessian_diag)):
        console.print(f"\n{title} at the point")
        console.print(_matrix(network, matrix))


def _where_zero(network: Network, sample: np.ndarray) -> str:
    """Return at how many of the points drawn a Hessian diagonal (rows, m, n) is not zero."""
    ways = ["the trained ranges"] if network.ranges else []
    if any(name not in network.ranges for name in network.moments):
        ways.append("normal distributions of the mean and deviation in training")
    if len({*network.ranges, *network.moments}) < network.n_inputs:
        ways.append("a standard normal distribution" + (" where none is known" if ways else ""))
    drawn = ", ".join(f"from {way}" for way in ways)
    rows = sample.reshape(sample.shape[0], -1)
    odd = (~np.isfinite(rows)).any(axis=1)
    curved = ((rows != 0).any(axis=1) & ~odd).sum()
    words = f"not zero at {curved} of" if curved or odd.any() else "zero at each of"
    words += f" {_SAMPLE} points drawn {drawn}"
    return f"{words}; not finite at {odd.sum()} of them" if odd.any() else words


def _inputs(network: Network, x: np.ndarray) -> Table:
    table = Table("input", "trained range", "point", box=None, pad_edge=False)
    for name, value in zip(network.inputs[:_MOST_ROWS], x, strict=False):
        table.add_row(escape(name), _trained(network, name), f"{value:g}")
    _add_rest(table, network.n_inputs)
    return table


def _trained(network: Network, name: str) -> str:
    if name in network.ranges:
        return "{:.6g} .. {:.6g}".format(*network.ranges[name])
    if name in network.moments:
        return "mean {:.6g}, deviation {:.6g}".format(*network.moments[name])
    return "unknown"


def _matrix(network: Network, matrix: np.ndarray) -> Table:
    """Return the table of a matrix (m, n): a row for each input, a column for each output."""
    table = Table("input", box=None, pad_edge=False)
    for name in network.outputs[:_MOST_COLUMNS]:
        table.add_column(escape(name))
    if network.n_outputs > _MOST_COLUMNS:
        table.add_column(f"{network.n_outputs - _MOST_COLUMNS:,} more")
    for name, numbers in zip(network.inputs[:_MOST_ROWS], matrix.T, strict=False):
        table.add_row(escape(name), *(f"{number:.4g}" for number in numbers[:_MOST_COLUMNS]))
    _add_rest(table, network.n_inputs)
    return table


def _add_rest(table: Table, count: int) -> None:
    if count > _MOST_ROWS:
        table.add_row(f"{count - _MOST_ROWS:,} more")


def _point(network: Network, point: Any) -> np.ndarray:
    """Return a point (n,), float64, from what configuration says."""
    if point is None:
        low, high = network.bounds()
        known = np.isfinite(low)
        means = np.array([network.moments.get(name, (0.0, 1.0))[0] for name in network.inputs])
        return np.where(known, (np.where(known, low, 0) + np.where(known, high, 0)) / 2, means)
    try:
        x = np.array(point, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"point must be a list of numbers; got {point}") from error
    if x.shape != (network.n_inputs,):
        raise UsageError(
            f"point must have {network.n_inputs} numbers, for {', '.join(network.inputs)}; "
            f"got {point}"
        )
    return x

"""The registered networks; with network=..., that one's inputs, outputs and derivatives."""

from typing import Any

import jax
import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.table import Table

from hyperdiag.hyperdual import DEFAULT_METHOD, DTYPES, RuleError, derivatives
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network, build_network, network_names, network_summary

from ._command import run

_SAMPLE = 256  # points at which a Hessian diagonal must vanish to count as zero


def task(composed: DictConfig) -> None:
    """List the networks, or show one."""
    # Two numbers a row: no accelerator is worth its start.
    jax.config.update("jax_platforms", "cpu")
    settings: Any = OmegaConf.to_container(composed, resolve=True)
    console = plain_console()
    if not settings.get("network"):
        table = Table("network", "", box=None, pad_edge=False)
        for name in network_names():
            table.add_row(name, network_summary(name))
        console.print(table)
        console.print("\nhyperdiag networks network=NAME shows one in full")
        return
    dtype = settings["dtype"]
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype}")
    _show(build_network(settings["network"], dtype), settings["point"], dtype)


def _show(network: Network, point: Any, dtype: str) -> None:
    x = _point(network, point)
    width = max(map(len, (*network.inputs, *network.outputs, "-1.234e+05"))) + 2
    console = plain_console(least_width=width * (network.n_outputs + 1))
    # Not "auto": a few points are not worth timing anything.
    bundle = derivatives(
        network.function, network.n_inputs, DEFAULT_METHOD, dtype=dtype, tile=_SAMPLE
    )
    try:
        sample = np.asarray(bundle(network.typical_points(_SAMPLE)).hessian_diag)
    except RuleError as error:
        raise UsageError(f"network '{network.name}': {error}") from error
    zero = not sample.any()
    console.print(f"[bold]{escape(network.name)}[/]: {escape(network.description)}")
    console.print(f"digest {network.digest}")
    console.print(f"{network.n_inputs} inputs, {network.n_outputs} outputs")
    console.print(
        "Hessian diagonal: "
        + (
            f"identically zero at {_SAMPLE} points: the network is piecewise linear, or linear"
            if zero
            else "not zero"
        )
    )
    table = Table("input", "trained range", "point", box=None, pad_edge=False)
    for name, value in zip(network.inputs, x, strict=True):
        ends = network.ranges.get(name)
        table.add_row(
            escape(name), f"{ends[0]:.6g} .. {ends[1]:.6g}" if ends else "unknown", f"{value:g}"
        )
    console.print(table)
    value, jacobian, hessian_diag = (np.asarray(array)[0] for array in bundle(x[None]))
    outputs = Table("output", "value at the point", box=None, pad_edge=False)
    for name, number in zip(network.outputs, value, strict=True):
        outputs.add_row(escape(name), f"{number:.6g}")
    console.print(outputs)
    for title, matrix in (("Jacobian", jacobian), ("Hessian diagonal", hessian_diag)):
        console.print(f"\n{title} at the point")
        table = Table("input", *map(escape, network.outputs), box=None, pad_edge=False)
        for position, name in enumerate(network.inputs):
            table.add_row(escape(name), *(f"{number:.4g}" for number in matrix[:, position]))
        console.print(table)


def _point(network: Network, point: Any) -> np.ndarray:
    if point is None:
        low, high = network.bounds()
        known = np.isfinite(low)
        return np.where(known, (np.where(known, low, 0) + np.where(known, high, 0)) / 2, 0.0)
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


def main() -> None:
    """Run from the command line."""
    run("networks", task)


if __name__ == "__main__":
    main()

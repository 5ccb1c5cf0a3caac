"""What the timing of kernels says: one dictionary for JSON, and tables for people."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .benchmark_network import BenchmarkNetwork
from .contestants import CONTESTANTS, JACOBIAN_ALONE, JACOBIAN_TILED, JVP_OF_JVP, OURS
from .peak import dense_multiply_adds
from .timing import Result

Json = dict[str, Any]

_TITLES = {"reverse_over_forward": "reverse over fwd."}
# What is compared, whether more is better, and what it means.
_MEANINGS = {
    "speedup": (True, "times the rate of the best other exact method"),
    "time_over_jacfwd": (False, "of the time of the Jacobian alone"),
    "time_over_jacfwd_tiled": (False, "of the time of the Jacobian alone in tiles"),
    "share_of_peak": (True, "of the peak, dense networks"),
    "compile_over_jvp_of_jvp": (False, "of the time that jvp of jvp takes to trace and compile"),
}
# So many networks, the worst, are described when there are more.
_WORST = 10


def assemble(
    timed: Sequence[tuple[BenchmarkNetwork, Mapping[str, Result]]],
    peak: float,
    machine: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Json:
    """Return the report on the timing of kernels, ready for JSON.

    Args:
        timed: the networks, each with its contestants' results.
        peak: of the machine, in multiply-adds per second.
        machine: what is to be said of machine, versions and settings, as plain values.
        notes: sentences on what was left out.

    Returns:
        `subject`, `machine`, `peak_multiply_adds_per_s` and `notes`;
        `networks`: for each its `name`, `description`, `n`, `m`, `contestants` ({name: the fields
        of `Result`, and `rows_per_s`}), and the comparison, each None where a side is missing:
        `best_other` (name of the fastest exact contestant that is not ours), `speedup` (our rate
        over its rate), `time_over_jacfwd` (our time per row over that of the Jacobian alone),
        `time_over_jacfwd_tiled` (likewise, of the Jacobian in tiles), `share_of_peak`
        (multiply-adds that there must be, at our rate, over the peak) and
        `compile_over_jvp_of_jvp` (our time for tracing and compiling the chosen program over that
        of jvp of jvp);
        `distributions`: of each of these numbers over the networks that have it, the
        `geometric_mean`, `median`, `tenth_percentile` (from the worse end), `worst` and the name of
        the network that is the `worst_network`; None where none has it.
    """
    networks = [_compare(network, results, peak) for network, results in timed]
    return {
        "subject": "kernels",
        "machine": dict(machine),
        "peak_multiply_adds_per_s": peak,
        "notes": list(notes),
        "networks": networks,
        "distributions": {key: _distribution(networks, key) for key in _MEANINGS},
    }


def _compare(network: BenchmarkNetwork, results: Mapping[str, Result], peak: float) -> Json:
    rates = {name: result.rows_per_s for name, result in results.items()}
    exact = {
        name: rate
        for name, rate in rates.items()
        if rate is not None and name != OURS and "hessian_diag" in CONTESTANTS[name].gives
    }
    best = max(exact, key=lambda name: exact[name], default=None)
    our_rate, jacobian_rate = rates.get(OURS), rates.get(JACOBIAN_ALONE)
    tiled_rate = rates.get(JACOBIAN_TILED)
    # What cannot be done took no time: NaN, which is not above zero.
    ours, nested = (
        results[name].compile_seconds if name in results else 0.0 for name in (OURS, JVP_OF_JVP)
    )
    least = dense_multiply_adds(network.widths) if network.widths else None
    return {
        "name": network.name,
        "description": network.description,
        "n": network.n,
        "m": network.m,
        "best_other": best,
        "speedup": our_rate / exact[best] if our_rate and best else None,
        "time_over_jacfwd": jacobian_rate / our_rate if our_rate and jacobian_rate else None,
        "time_over_jacfwd_tiled": tiled_rate / our_rate if our_rate and tiled_rate else None,
        "share_of_peak": our_rate * least / peak if our_rate and least else None,
        "compile_over_jvp_of_jvp": ours / nested if ours > 0 and nested > 0 else None,
        "contestants": {name: _contestant(result) for name, result in results.items()},
    }


def _contestant(result: Result) -> Json:
    if result.cannot is not None:
        return {"cannot": result.cannot}
    return {
        "cannot": None,
        "rows_per_s": result.rows_per_s,
        "rows": result.rows,
        "slow": result.slow,
        "calls": result.calls,
        "seconds": result.seconds,
        "build_seconds": result.build_seconds,
        "compile_seconds": result.compile_seconds,
        "errors": dict(result.errors),
        "choice": dict(result.choice) if result.choice else None,
    }


def _distribution(networks: Sequence[Json], key: str) -> Json | None:
    worst_first = _worst_first(networks, key)
    if not worst_first:
        return None
    values = [network[key] for network in worst_first]
    return {
        "geometric_mean": math.exp(sum(map(math.log, values)) / len(values)),
        "median": median(values),
        "tenth_percentile": values[(len(values) - 1) // 10],
        "worst": values[0],
        "worst_network": worst_first[0]["name"],
    }


def _worst_first(networks: Sequence[Json], key: str) -> list[Json]:
    more_is_better, _ = _MEANINGS[key]
    known = [network for network in networks if network[key] is not None]
    return sorted(known, key=lambda network: network[key], reverse=not more_is_better)


def print_report(report: Json, console: Console) -> None:
    """Print a report's tables, what could not be done, and the geometric means."""
    networks = report["networks"]
    names = list(dict.fromkeys(name for network in networks for name in network["contestants"]))
    rates = Table("rows/s", "n", "m", *(_title(name) for name in names), box=None, pad_edge=False)
    for column in rates.columns[1:]:
        column.justify = "right"
    for network in networks:
        cells = [_rate(network["contestants"][name]) for name in names]
        rates.add_row(escape(network["name"]), str(network["n"]), str(network["m"]), *cells)
    console.print(rates)
    if OURS in names:
        console.print()
        console.print(_ours(networks))
    _print_remarks(report, console)
    if len(networks) > _WORST:
        for network in _worst_first(networks, "speedup")[:_WORST]:
            text = f"{network['name']} ({network['description']})"
            console.print(f"{network['speedup']:.2f} times best other: {text}", soft_wrap=True)
    for key, (_, meaning) in _MEANINGS.items():
        if (spread := report["distributions"][key]) is not None:
            console.print(
                f"geometric mean {spread['geometric_mean']:.2f}, tenth percentile "
                f"{spread['tenth_percentile']:.2f}, worst {spread['worst']:.2f} {meaning}",
                soft_wrap=True,
            )


def _ours(networks: Sequence[Json]) -> Table:
    titles = ("ours", "times best other", "time/jacfwd", "of peak", "error J", "error D")
    table = Table(*titles, "tuned", "compiled", "method, tile", box=None, pad_edge=False)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for network in networks:
        ours = network["contestants"][OURS]
        if ours["cannot"] is not None:
            table.add_row(escape(network["name"]), "cannot")
            continue
        against = "" if network["best_other"] is None else f" {_title(network['best_other'])}"
        choice = ours["choice"] or {}
        table.add_row(
            escape(network["name"]),
            f"{network['speedup']:.2f}{against}" if network["speedup"] else "-",
            f"{network['time_over_jacfwd']:.2f}" if network["time_over_jacfwd"] else "-",
            f"{network['share_of_peak']:.0%}" if network["share_of_peak"] else "",
            f"{ours['errors']['jacobian']:.0e}",
            f"{ours['errors']['hessian_diag']:.0e}",
            f"{ours['build_seconds']:.1f} s",
            f"{ours['compile_seconds']:.1f} s{_times(network['compile_over_jvp_of_jvp'])}",
            ", ".join(f"{value}" for value in choice.values() if value is not None),
        )
    return table


def _print_remarks(report: Json, console: Console) -> None:
    remarks = list(report["notes"])
    for network in report["networks"]:
        for name, result in network["contestants"].items():
            if result["cannot"] is not None:
                remarks.append(f"{name} cannot do {network['name']}: {result['cannot']}")
            elif result["slow"]:
                remarks.append(
                    f"{name} is slow or large on {network['name']}: timed on "
                    f"{result['rows']:,} rows, {result['calls']} calls"
                )
    if any("folx" in network["contestants"] for network in report["networks"]):
        remarks.append(
            "folx gives less, the Jacobian and the sum of the Hessian diagonal; where it has no "
            "rule, as for convolutions, it takes the whole Hessian"
        )
    console.print()
    for remark in remarks:
        console.print(f"note: {remark}", markup=False, soft_wrap=True)


def _times(ratio: float | None) -> str:
    return f" ({ratio:.1f}x)" if ratio else ""


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _rate(contestant: Json) -> str:
    if contestant["cannot"] is not None:
        return "cannot"
    rate = contestant["rows_per_s"]
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"

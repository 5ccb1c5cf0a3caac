"""The report on a device as a page of Markdown tables."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from hyperdiag.bench.contestants import JACOBIAN_ALONE, OURS
from hyperdiag.hyperdual import Derivatives
from hyperdiag.messages.printable import printable_name

Json = dict[str, Any]
# What cannot be above 1 on a device that has nothing else to do.
_SHARES = ("share_of_peak", "share_of_memory")


def page(report: Json) -> str:
    """Return a report on a device, of as many parts as it has, as Markdown."""
    sections: dict[str, Callable[[Any], Iterable[str]]] = {
        "peaks": _peaks,
        "exactness": _exactness,
        "kernels": _kernels,
        "precision": _precision,
        "copies": _copies,
        "job": _job,
        "pipeline": _pipeline,
        "memory": _memory,
    }
    lines = [*_about(report)]
    for name, section in sections.items():
        if report.get(name):
            lines += ["", f"## {name.capitalize()}", "", *section(report[name])]
    if report["notes"]:
        lines += ["", "## Left out", "", *(f"- {note}" for note in report["notes"])]
    return "\n".join(map(printable_name, lines)) + "\n"


def _about(report: Json) -> Iterable[str]:
    device = report["device"]
    driver = f", driver {device['driver']}" if device["driver"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in device["versions"].items())
    yield f"# {device['kind']} ({device['platform']})"
    yield ""
    yield (
        f"{report['date'][:10]}, {device['runtime']}{driver}, {device['devices']} such, "
        f"{device['cores']} cores, {device['system']}; {versions}"
    )
    yield ""
    yield (
        f"float32 with products in full precision; rows times {report['rows_scale']:g}; "
        + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report["seconds"].items())
    )
    if not report["complete"]:
        yield from ("", "**Not complete**: the measurement was not over, or was stopped.")
    for sentence in report["wrong"]:
        yield from ("", f"**Wrong**: {sentence}")


def _peaks(peaks: Json) -> Iterable[str]:
    yield (
        f"Matrix products {2e-12 * peaks['multiply_adds_per_s']:,.3g} TFLOP/s, "
        f"memory (a x + y) {1e-9 * peaks['bytes_per_s']:,.4g} GB/s."
    )


def _exactness(results: Sequence[Json]) -> Iterable[str]:
    yield "Largest errors at 64 points, relative to each output's largest, against float64."
    yield ""
    rows = [
        (result["network"], result["method"], result["dtype"])
        + ((result["cannot"], "", "") if result["cannot"] else tuple(_errors(result)))
        for result in results
    ]
    yield from _table(("network", "method", "dtype", "value", "J", "D"), rows)


def _kernels(networks: Sequence[Json]) -> Iterable[str]:
    titles = (
        *("network", "n", "m", "rows", "hyperdiag, rows/s", "best other exact method"),
        *("jacfwd alone", "times best other", "of peak", "of memory", "unfused / memory"),
        *("method, tile", "tuned"),
    )
    yield from _table(titles, [_kernel(network) for network in networks])
    yield ""
    yield (
        "Of memory: points read and results written. Unfused: every product and activation a pass "
        "over memory; above 100% they cannot all have gone there."
    )
    if any((network[name] or 0) > 1 for network in networks for name in _SHARES):
        yield ""
        yield "Shares above 100%: the peaks were measured too low; other work may have run."
    for network in networks:
        for name, result in network["contestants"].items():
            if result["cannot"] is not None:
                yield from ("", f"{name} cannot do {network['name']}: {result['cannot']}")


def _kernel(network: Json) -> Sequence[str]:
    contestants, best = network["contestants"], network["best_other"]
    ours = contestants[OURS]
    if ours["cannot"] is not None:
        return [network["name"], str(network["n"]), str(network["m"]), "", "cannot", *[""] * 8]
    jacobian = contestants.get(JACOBIAN_ALONE, {}).get("rows_per_s")
    choice = [str(value) for value in (ours["choice"] or {}).values() if value is not None]
    return [
        network["name"],
        *(f"{number:,}" for number in (network["n"], network["m"], ours["rows"])),
        _rate(ours["rows_per_s"]),
        f"{_rate(contestants[best]['rows_per_s'])} ({best.replace('_', ' ')})" if best else "",
        _rate(jacobian),
        f"{network['speedup']:.2f}" if network["speedup"] else "",
        *map(_share, (network["share_of_peak"], network["share_of_memory"])),
        _share(network["unfused_over_memory"]),
        ", ".join(choice),
        f"{network['tuning_seconds']:.1f} s",
    ]


def _precision(results: Sequence[Json]) -> Iterable[str]:
    titles = ("network", "products", "rows/s", "times highest", "value", "J", "D", "")
    rows = []
    for result in results:
        highest = result["precisions"].get("highest", {}).get("rows_per_s")
        for name, each in result["precisions"].items():
            if each["cannot"] is not None:
                rows.append([result["network"], name, "cannot", *[""] * 4, each["cannot"]])
                continue
            times = f"{each['rows_per_s'] / highest:.2f}" if highest else ""
            made = "" if each["own"] else "made of float32 parts"
            rate = _rate(each["rows_per_s"])
            rows.append([result["network"], name, rate, times, *_errors(each), made])
    yield from _table(titles, rows)


def _copies(copies: Json) -> Iterable[str]:
    titles = ("MB", "to the host, GB/s", "to pinned memory of the host", "to the device")
    rows = [
        [f"{1e-6 * each['bytes']:,.3g}"]
        + [_giga(each[name]) for name in ("to_host", "to_pinned_host", "to_device")]
        for each in copies["rates"]
    ]
    yield from _table(titles, rows)
    if copies["shared"]:
        yield from ("", "A CPU's arrays are the host's own: a run copies nothing.")
    if copies["no_pinned_host"]:
        yield from ("", f"No pinned memory: {copies['no_pinned_host']}")


def _job(job: Json) -> Iterable[str]:
    kernel = f"{job['method']} in {job['dtype']}"
    yield f"{job['network']}, {job['rows']:,} rows, {kernel}, in this process."
    yield ""
    rates = {name: median(each) for name, each in job["rows_per_s"].items()}
    yield from _table(("", "rows/s"), [[name, _rate(rate)] for name, rate in rates.items()])
    yield ""
    yield from _stages(job["seconds_per_million_rows"], f"{job['start_seconds']:.1f} s to start")


def _pipeline(pipeline: Json) -> Iterable[str]:
    yield (
        f"Beside a kernel that costs nothing: {pipeline['network']}, {pipeline['rows']:,} rows in "
        f"{pipeline['shards']:,} shards, {pipeline['bytes_of_a_row']:,.0f} bytes a row."
    )
    yield ""
    rows = []
    for result in pipeline["results"]:
        drained, encoded = (median(rates) for rates in result["rows_per_s"].values())
        share = _share(drained / encoded)
        rows.append([str(result["cores"]), _rate(drained), _rate(encoded), share])
    titles = ("cores", "pipeline, rows/s", "encoding alone, rows/s", "share")
    yield from _table(titles, rows)


def _memory(memory: Json) -> Iterable[str]:
    if memory["bytes_in_use"] is None:
        yield "This backend keeps no account of the device's memory."
    else:
        names = {"bytes_in_use": "in use", "peak_bytes_in_use": "at most", "bytes_limit": "limit"}
        parts = (f"{text} {_giga(memory[name])} GB" for name, text in names.items())
        yield f"Of the device: {', '.join(parts)}."
    yield f"Of the process: at most {_giga(memory['process_peak'])} GB."


def _stages(seconds: Json, more: str) -> Iterable[str]:
    stages = ", ".join(f"{stage} {value:.2f} s" for stage, value in seconds.items())
    yield f"Of a million rows: {stages}; {more}."


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield _line(titles)
    yield _line(["---"] * len(titles))
    for row in rows:
        yield _line(row)


def _line(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _errors(result: Json) -> list[str]:
    return [f"{result['errors'][name]:.0e}" for name in Derivatives._fields]


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _giga(size: float | None) -> str:
    return "" if size is None else f"{1e-9 * size:,.3g}"

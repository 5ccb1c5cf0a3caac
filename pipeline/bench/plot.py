"""A plot of the rates of kernels, ours and the best other, over that of the Jacobian alone."""

from pathlib import Path
from typing import Any

from .contestants import JACOBIAN_ALONE, OURS

_OURS, _OTHER, _INK, _FAINT = "#8db7d1", "#dcd9d2", "#333333", "#808080"
# A bar beyond so many times the Jacobian's rate is cut, and its number says how long it is.
_LONGEST = 4.0


def draw_plot(report: dict[str, Any], path: Path) -> str | None:
    """Write the plot of a report as PNG; return None, or a sentence on why there is none.

    Args:
        report: of `assemble`.
        path: of the file, in a folder that exists.
    """
    try:
        from matplotlib.figure import Figure  # late: an optional package
    except ImportError:
        return "no plot: it needs matplotlib (pip install 'hyperdiag[bench]')"
    bars = [bar for network in report["networks"] if (bar := _bar(network)) is not None]
    if not bars:
        return f"no plot: no network has {OURS}, {JACOBIAN_ALONE} and another exact contestant"
    longest = min(_LONGEST, 1.08 * max(1.3, *(max(bar["ours"], bar["other"]) for bar in bars)))
    figure = Figure(figsize=(9, 0.38 * len(bars) + 1.3), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for row, bar in enumerate(reversed(bars)):
        for offset, key, colour in ((0.2, "ours", _OURS), (-0.2, "other", _OTHER)):
            axes.barh(row + offset, min(bar[key], longest), height=0.38, color=colour)
            beyond = f" ({bar[key]:.1f} times) »" if bar[key] > longest else ""
            text = bar[f"{key}_text"] + beyond
            axes.text(0.012 * longest, row + offset, text, va="center", fontsize=7, color=_INK)
        speedup = f"{bar['ours'] / bar['other']:.1f}x"
        axes.text(1.015 * longest, row, speedup, va="center", fontsize=10, color=_INK)
    axes.axvline(1, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xlim(0, longest)
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.set_yticks(range(len(bars)), [bar["label"] for bar in reversed(bars)])
    axes.tick_params(length=0, colors=_INK, labelsize=9)
    axes.set_xlabel("rate, as a multiple of the Jacobian alone (jacfwd, dashed)", color=_FAINT)
    axes.spines[:].set_visible(False)
    axes.legend(
        [axes.barh(0, 0, color=colour) for colour in (_OURS, _OTHER)],
        ["hyperdiag: value, Jacobian, Hessian diagonal", "the best other exact method: the same"],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
        handlelength=1.2,
    )
    figure.savefig(path, facecolor="white")
    return None


def _bar(network: dict[str, Any]) -> dict[str, Any] | None:
    """Return the lengths and the texts of a network's two bars; None where one is missing."""
    if network["speedup"] is None or network["time_over_jacfwd"] is None:
        return None
    contestants, best = network["contestants"], network["best_other"]
    ours = 1 / network["time_over_jacfwd"]
    return {
        "label": network["name"],
        "ours": ours,
        "other": ours / network["speedup"],
        "ours_text": f"{_short(contestants[OURS]['rows_per_s'])} rows/s",
        "other_text": f"{_short(contestants[best]['rows_per_s'])} rows/s, {best.replace('_', ' ')}",
    }


def _short(rate: float) -> str:
    """Return a rate in at most four characters and a unit: 5.4M, 171k, 617, 97."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.{1 if rate < 10 * size else 0}f}{unit}"
    return f"{rate:.0f}"

import io
import json
import math

import pytest
from rich.console import Console

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.report import assemble, print_report
from hyperdiag.bench.timing import Result

DENSE = BenchmarkNetwork("dense", "2-3-1", lambda dtype: None, n=2, m=1, rows=9, widths=(2, 3, 1))
OTHER = BenchmarkNetwork("other", "of its own kind", lambda dtype: None, n=4, m=2, rows=9)
ERRORS = {"value": 0.0, "jacobian": 1e-7, "hessian_diag": 2e-6}


def _timed(rows, seconds, **more):
    settings = {"calls": 6, "build_seconds": 4.0, "compile_seconds": 1.5, "errors": ERRORS} | more
    return Result(rows=rows, seconds=seconds, **settings)


def _report():
    dense = {
        "ours": _timed(1000, 0.5, choice={"method": "mine", "tile": 32}),  # 2000 rows/s
        "jvp_of_jvp": _timed(1000, 2.0),  # 500 rows/s
        "taylor": Result(cannot="NotImplementedError: no rule for 'while'"),
        "dense_hessian": _timed(20, 0.025, slow=True, calls=2),  # 800 rows/s
        "jacfwd": _timed(1000, 1.0, errors={"jacobian": 0.0}),  # 1000 rows/s
        "folx": _timed(1000, 0.1, errors={"laplacian": 0.0}),  # no exact contestant
    }
    other = {
        "ours": _timed(100, 1.0, compile_seconds=3.0),
        "jvp_of_jvp": _timed(100, 10.0),
        "taylor": _timed(100, 20.0),
        "dense_hessian": Result(cannot="wrong numbers"),
        "jacfwd": _timed(100, 0.5, errors={"jacobian": 0.0}),
        "folx": Result(cannot="TypeError"),
    }
    machine = {"processor": "a processor"}
    return assemble([(DENSE, dense), (OTHER, other)], 84_000.0, machine, ["qlknn is left out: why"])


def test_assemble_compares_ours_with_the_fastest_other_exact_contestant():
    report = _report()
    dense, other = report["networks"]
    assert (dense["best_other"], dense["speedup"]) == ("dense_hessian", 2.5)
    assert dense["time_over_jacfwd"] == 0.5
    assert dense["share_of_peak"] == pytest.approx(2000 * 21 / 84_000)  # 9 + 6 + 6 multiply-adds
    assert (other["best_other"], other["speedup"]) == ("jvp_of_jvp", 10.0)
    assert other["time_over_jacfwd"] == 2.0
    assert other["share_of_peak"] is None
    assert report["distributions"]["speedup"] == {
        "geometric_mean": pytest.approx(5.0),
        "median": 6.25,
        "tenth_percentile": 2.5,
        "worst": 2.5,
        "worst_network": "dense",
    }
    assert report["distributions"]["time_over_jacfwd"]["geometric_mean"] == pytest.approx(1.0)
    assert report["distributions"]["time_over_jacfwd"]["worst"] == 2.0
    assert report["distributions"]["time_over_jacfwd_tiled"] is None
    assert [network["compile_over_jvp_of_jvp"] for network in (dense, other)] == [1.0, 2.0]
    assert report["distributions"]["compile_over_jvp_of_jvp"]["worst"] == 2.0


def test_assemble_keeps_its_schema_through_json():
    report = _report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    top = {"subject", "machine", "peak_multiply_adds_per_s", "notes", "networks", "distributions"}
    assert report.keys() == top
    contestants = report["networks"][0]["contestants"]
    assert contestants["ours"] == {
        "cannot": None,
        "rows_per_s": 2000.0,
        "rows": 1000,
        "slow": False,
        "calls": 6,
        "seconds": 0.5,
        "build_seconds": 4.0,
        "compile_seconds": 1.5,
        "errors": ERRORS,
        "choice": {"method": "mine", "tile": 32},
    }
    assert contestants["taylor"] == {"cannot": "NotImplementedError: no rule for 'while'"}


@pytest.mark.parametrize("names", [["jvp_of_jvp", "jacfwd"], ["ours"], ["folx"]])
def test_assemble_without_one_side_leaves_the_comparison_empty(names):
    report = assemble([(DENSE, {name: _timed(10, 1.0) for name in names})], 1e6, {})
    network = report["networks"][0]
    assert network["speedup"] is None
    assert network["time_over_jacfwd"] is None
    compared = [key for key in network if "_over_" in key or key == "speedup"]
    assert [report["distributions"][key] for key in compared] == [None] * 4
    _printed(report)


def test_print_report_says_every_rate_and_every_reason():
    text = _printed(_report())
    for part in (
        *("dense", "2,000", "500", "800", "2.50 dense hessian", "mine, 32", "50%", "2e-06"),
        *("4.0 s", "1.5 s (1.0x)", "3.0 s (2.0x)"),
        "note: qlknn is left out: why",
        "note: taylor cannot do dense: NotImplementedError: no rule for 'while'",
        "note: dense_hessian is slow or large on dense: timed on 20 rows, 2 calls",
        "note: folx gives less",
        "geometric mean 5.00, tenth percentile 2.50, worst 2.50 times the rate of the best other",
        "geometric mean 1.00, tenth percentile 2.00, worst 2.00 of the time of the Jacobian alone",
    ):
        assert part in text
    assert "…" not in text


def test_print_report_where_ours_cannot_says_so():
    results = {"ours": Result(cannot="MethodError: no"), "jacfwd": _timed(10, math.pi)}
    text = _printed(assemble([(OTHER, results)], 1e6, {}))
    assert "note: ours cannot do other: MethodError: no" in text


def _printed(report):
    file = io.StringIO()
    print_report(report, Console(file=file, width=132))
    return file.getvalue()

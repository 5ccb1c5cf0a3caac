"""The report in a terminal: the numbers are DuckDB's, and names are text."""

import math

import pytest

from hyperdiag.run.report import read_report
from hyperdiag.run.report.terminal import print_report

from .networks import INPUTS, OUTPUTS
from .tables import column


def _lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_table_of_an_output_has_what_duckdb_makes_of_the_rows(data, capsys):
    print_report(read_report(str(data.folder)))
    lines = _lines(capsys)
    for output in OUTPUTS:
        (start,) = (at for at, line in enumerate(lines) if line.startswith(f"{output}: mean"))
        mean = data.numbers(column("value", output))["mean", None]
        assert float(lines[start].split("mean ")[1].split(",")[0]) == pytest.approx(mean, rel=1e-3)
        rows = lines[start + 2 : start + 2 + len(INPUTS)]
        assert {row.rsplit(maxsplit=5)[0] for row in rows} == set(INPUTS)
        strengths = []
        for row in rows:
            name, *shown, convex = row.rsplit(maxsplit=5)
            s = data.numbers(column("input", None, name))["deviation", None]
            right = []
            for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
                found = data.numbers(column(quantity, output, name))
                root = math.sqrt(found["mean_square", None])
                right += [root * s**power, found["mean", None] * s**power]
            assert [float(x) for x in shown] == pytest.approx(right, rel=1e-3, abs=1e-9)
            positive = data.numbers(column("hessian_diag", output, name))["positive", None]
            assert float(convex[:-1]) == pytest.approx(100 * positive, abs=0.51)
            strengths.append(right[0])
        assert strengths == sorted(strengths, reverse=True)


def test_run_without_statistics_says_what_it_can(published, capsys):
    print_report(read_report(str(published)))
    lines = _lines(capsys)
    assert lines[-1].startswith("The run kept no summaries (run/summary.parquet, summary.enabled)")
    assert any(line.startswith("look at this: Quarantine. ") for line in lines)

"""The report in a terminal: the numbers are DuckDB's, and names are text."""

import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.table import Table

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report
from hyperdiag.run.report.terminal import _print_table, print_report

from .conftest import overrides
from .networks import INPUTS, OUTPUTS
from .tables import bounds, column, is_group


def _lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_table_of_an_output_has_what_duckdb_makes_of_the_rows(data, capsys):
    print_report(read_report(str(data.folder)))
    lines = _lines(capsys)
    above = 0
    for output in OUTPUTS:
        (start,) = (at for at, line in enumerate(lines) if line.startswith(f"{output}: mean"))
        mean = data.numbers(column("value", output))["mean", None]
        assert float(lines[start].split("mean ")[1].split(",")[0]) == pytest.approx(mean, rel=1e-3)
        rows = lines[start + 2 : start + 2 + len(INPUTS)]
        cells = [re.split(" {2,}", row) for row in rows]
        assert {row[0] for row in cells} == set(INPUTS)
        strengths = []
        for name, rms, rms_error, mean_shown, mean_error, *second, convex, uniform, normal in cells:
            s = data.numbers(column("input", None, name))["deviation", None]
            right = []
            for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
                numbers = data.numbers(column(quantity, output, name))
                root = math.sqrt(numbers["mean_square", None])
                right += [root * s**power, numbers["mean", None] * s**power]
            shown = [float(x) for x in (rms, mean_shown, *second)]
            assert shown == pytest.approx(right, rel=1e-3, abs=1e-9)
            of_mean, most, _ = data.errors(column("jacobian", output, name))
            assert float(mean_error) == pytest.approx(of_mean * s, rel=1e-3)
            assert float(rms_error) == pytest.approx(most * s, rel=1e-3)
            positive = data.numbers(column("hessian_diag", output, name))["positive", None]
            assert float(convex[:-1]) == pytest.approx(100 * positive, abs=0.51)
            for said, bound in zip(
                (uniform, normal), bounds(data, output, name).values(), strict=True
            ):
                if bound >= 1:
                    assert said == ">= 1 (nothing)"
                    above += 1
                else:
                    assert float(said) == pytest.approx(bound, rel=1e-3)
            strengths.append(right[0])
        assert strengths == sorted(strengths, reverse=True)
    assert above >= 2  # each output has an input of which a bound says nothing
    assert any(line.startswith("index: ") and "says nothing" in line for line in lines)


def test_groups_have_a_line_each_with_the_numbers_of_their_rows(data, capsys):
    report = read_report(str(data.folder))
    print_report(report)
    lines = _lines(capsys)
    starts = [at for at, line in enumerate(lines) if line.startswith("desk ")]
    assert len(starts) == len(OUTPUTS)
    for start, output, record in zip(starts, OUTPUTS, report.records, strict=True):
        names = [INPUTS[place] for place in record["inputs"]]
        heads = re.split(" {2,}", lines[start])
        assert heads == [
            "desk",
            "rows",
            "mean",
            "+-",
            "deviation",
            *(f"rms J s, {n}" for n in names),
        ]
        rows = [re.split(" {2,}", line) for line in lines[start + 1 : start + 5]]
        assert [row[0] for row in rows] == list(report.groups)
        for group, *shown in rows:
            where = is_group("desk", group)
            value = data.numbers(column("value", output), where)
            right = [value["count", None], value["mean", None]]
            right += [data.errors(column("value", output), where)[0], value["deviation", None]]
            for name in names:
                s = data.numbers(column("input", None, name))["deviation", None]
                square = data.numbers(column("jacobian", output, name), where)["mean_square", None]
                right.append(math.sqrt(square) * s)
            numbers = [float(x.replace(",", "")) for x in shown]
            assert numbers == pytest.approx(right, rel=1e-3)


def test_table_that_is_wider_than_the_terminal_loses_no_number(capsys):
    names = [f"column {at}" for at in range(40)]
    table = Table(*names, box=None)
    table.add_row(*(f"{at}.123456789" for at in range(40)))
    _print_table(table)
    head, row = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", head.strip()) == names
    assert row.split() == [f"{at}.123456789" for at in range(40)]


def test_run_without_statistics_says_what_it_can(published, capsys):
    print_report(read_report(str(published)))
    lines = _lines(capsys)
    assert lines[-1].startswith("The run kept no summaries (run/summary.parquet, summary.enabled)")
    assert any(line.startswith("look at this: Quarantine. ") for line in lines)


def test_more_is_as_much_as_there_is_and_not_as_the_page_has(many, capsys):
    report = many(50, 310, groups=0, curves=1)
    assert len(report.records) == 300
    assert len(report.records[0]["inputs"]) == 5  # and so many lines
    print_report(report)
    lines = _lines(capsys)
    assert [line for line in lines if re.match(r"\d+ more", line)] == ["45 more"] * 24
    assert (
        "286 outputs more: 276 of them in the page (format=html), all in run/summary.parquet"
        in lines
    )
    start = lines.index("What the page (format=html) does not show")
    assert lines[start + 1 :] == report.left_out
    assert "300 of 310 outputs are shown, the first in the network's order." in lines[start + 1]


def test_groups_that_are_not_printed_are_counted(many, capsys):
    report = many(3, 2, groups=4993, curves=1)
    assert len(report.groups) < 4993
    print_report(report)
    lines = _lines(capsys)
    assert [line.strip() for line in lines if "more" in line.split()[1:2]] == ["4,981 more"] * 2


def test_columns_and_groups_of_derived_quantities_that_are_not_printed_are_counted(
    tmp_path, compose_run, capsys
):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    columns = {name: rng.uniform(0.1, 0.4, 200) for name in INPUTS}
    columns |= {"desk": [f"desk {at % 14}" for at in range(200)], "note": ["n"] * 200}
    pq.write_table(pa.table(columns), tmp_path / "in/rows.parquet")
    derive(*compose_run(*overrides(tmp_path, "summary.by=desk", "derived=[elasticity,relative]")))
    report = read_report(str(tmp_path / "out"))
    assert len(report.derived.rows) > 8
    print_report(report)
    lines = _lines(capsys)
    said = f"8 of {len(report.derived.rows)} columns are here. All are in run/summary.parquet."
    assert said in lines
    assert any(line.startswith("12 of 14 groups are here of each column") for line in lines)

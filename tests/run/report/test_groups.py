"""What is said of groups, and of groups side by side, against DuckDB on their rows."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report
from hyperdiag.run.report.labels import labels_of

from .checks import QUANTILE, check_errors, check_statistics, close, strongest_first
from .conftest import overrides
from .networks import INPUTS, OUTPUTS, SCRIPT
from .tables import QUANTILES, column, is_group


@pytest.fixture(scope="module")
def report(data):
    return read_report(str(data.folder))


def test_numbers_of_a_group_are_those_of_its_rows(report, data):
    assert report.grouped_by == "desk"
    assert set(report.groups) == {"rates", "fx", SCRIPT, "(no value)"}
    rows = [records[0]["value"]["count"] for records in report.groups.values()]
    assert rows == sorted(rows, reverse=True)
    assert sum(rows) == report.facts.manifest.rows.derived
    for group, records in report.groups.items():
        where = is_group("desk", group)
        for output, whole, record in zip(OUTPUTS, report.records, records, strict=True):
            deviations = dict(zip(whole["inputs"], whole["deviation"], strict=True))
            assert record["deviation"] == [deviations[place] for place in record["inputs"]]
            # The strongest in the group first, which need not be over all rows.
            names = strongest_first(data, output, where)
            assert [INPUTS[place] for place in record["inputs"]] == names
            value = data.numbers(column("value", output), where)
            check_statistics(record["value"], value)
            for at, place in enumerate(record["inputs"]):
                for quantity in ("jacobian", "hessian_diag"):
                    this = column(quantity, output, INPUTS[place])
                    check_statistics(record[quantity], data.numbers(this, where), at)
                    check_errors(record[quantity], data.errors(this, where), at)


def test_a_few_groups_have_quantiles_curves_and_extreme_rows(report, data):
    assert report.less_of_groups == ""
    settings = json.loads((data.folder / "run/plan.json").read_text())["settings"]
    for group, records in report.groups.items():
        where = is_group("desk", group)
        for output, record in zip(OUTPUTS, records, strict=True):
            value = data.numbers(column("value", output), where)
            ends = [value["minimum", None], *(value["quantile", q] for q in QUANTILES)]
            points = [*ends, value["maximum", None]]
            for shown, expected in zip(record["value"]["points"], points, strict=True):
                assert close(shown, expected, QUANTILE)
            for at, place in enumerate(record["inputs"]):
                this = column("hessian_diag", output, INPUTS[place])
                numbers = data.numbers(this, where)
                for q in QUANTILES:
                    shown = record["hessian_diag"][f"q{round(100 * q):02d}"][at]
                    assert close(shown, numbers["quantile", q], QUANTILE)
            for curve in record["curves"]:
                name = INPUTS[curve["input"]]
                ends = settings["summary"]["ranges"][name]
                this = column("jacobian", output, name)
                _, means, counts = data.curve(this, name, *ends, where)
                assert curve["rows"] == counts
                scale = max(map(abs, means))
                for number, expected in zip(curve["jacobian"], means, strict=True):
                    assert close(number, expected, scale=scale)
            largest = [
                row
                for row in record["extremes"]
                if (row["quantity"], row["extreme"]) == ("value", "largest")
            ]
            value = column("value", output)
            right = data.query(f"{value}, desk", f"{where} ORDER BY 1 DESC LIMIT 5")
            assert [row["rank"] for row in largest] == [1, 2, 3, 4, 5]
            for row, (x, desk) in zip(largest, right, strict=True):
                assert close(row["value"], x)
                assert row["columns"][1] == (desk or "")


@pytest.mark.parametrize("place", [0, 1])
def test_groups_side_by_side_have_the_numbers_of_their_rows(report, data, place):
    output, record = OUTPUTS[place], report.records[place]
    beside = record["by_group"]
    wheres = ["true", *(is_group("desk", group) for group in report.groups)]
    assert beside["labels"] == labels_of(["all rows", *report.groups])
    assert beside["positions"] == [0, 1, 2, 3, 4]
    assert beside["inputs"] == record["labels"]
    largest = 0.0
    for at, where in enumerate(wheres):
        value = data.numbers(column("value", output), where)
        assert close(beside["mean"][at], value["mean", None], scale=value["deviation", None])
        assert close(beside["deviation"][at], value["deviation", None])
        for cell, name in zip(beside["strength"][at], strongest_first(data, output), strict=True):
            s = data.numbers(column("input", None, name))["deviation", None]
            square = data.numbers(column("jacobian", output, name), where)["mean_square", None]
            assert close(cell, math.sqrt(square) * s)
            largest = max(largest, cell)
    assert beside["largest"] == largest
    (dots,) = report.figure("group_values", output).data
    assert list(dots.x) == beside["mean"]
    assert list(dots.error_x.array) == beside["deviation"]
    (cells,) = report.figure("group_strengths", output).data
    assert [list(row) for row in cells.z] == beside["strength"]
    # Of all groups, whichever is asked for.
    assert report.figure("group_values", output, "fx").data == (dots,)


def test_groups_that_are_called_as_no_group_is_are_told_apart_from_it(tmp_path, compose_run):
    names = ["(null)", "(no value)", '"(no value)"', "all rows", "", '"', None]
    counts = range(20, 13, -1)
    desks = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(2)
    columns = {name: rng.uniform(0.1, 0.4, len(desks)) for name in INPUTS}
    columns |= {"desk": desks, "note": ["n"] * len(desks)}
    pq.write_table(pa.table(columns), tmp_path / "in/rows.parquet")
    derive(*compose_run(*overrides(tmp_path, "summary.by=desk")))
    report = read_report(str(tmp_path / "out"))
    rows = {group: each[0]["value"]["count"] for group, each in report.groups.items()}
    shown = ["(null)", '"(no value)"', '""(no value)""', '"all rows"', '""', '"""', "(no value)"]
    assert rows == dict(zip(shown, counts, strict=True))


def test_maps_are_root_mean_squares_in_units_of_deviations(report, data):
    maps = report.shared["maps"]
    for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
        for output, row in zip(OUTPUTS, maps[quantity], strict=True):
            unit = data.numbers(column("value", output))["deviation", None]
            for place, number in zip(maps["input_places"], row, strict=True):
                x = data.numbers(column("input", None, INPUTS[place]))
                square = data.numbers(column(quantity, output, INPUTS[place]))["mean_square", None]
                expected = math.sqrt(square) * x["deviation", None] ** power / unit
                assert close(number, expected)
        (cells,) = report.figure(f"{quantity}_map").data
        assert cells.zmin == 0
        assert close(cells.zmax, max(max(row) for row in maps[quantity]))

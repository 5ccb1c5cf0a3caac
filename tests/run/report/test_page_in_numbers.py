"""What the tables of a page in a browser say: bounds, groups side by side, dependence curves."""

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report, write_report
from hyperdiag.run.report.terminal import print_report

from .conftest import overrides, write_rows
from .looks import DRAWN, drawn_all, rows_of, same, text
from .networks import INPUTS, OUTPUTS
from .tables import Data, bounds, column, is_group


def test_bound_that_says_nothing_is_said_to(page, data):
    head, *lines = rows_of(page, "input-numbers")
    assert head == [
        "input", "deviation s", "bound for a uniform input", "bound for a normal input",
    ]  # fmt: skip
    above = 0
    for name, deviation, *cells in lines:
        assert same(deviation, data.numbers(column("input", None, name))["deviation", None])
        for cell, bound in zip(cells, bounds(data, OUTPUTS[0], name).values(), strict=True):
            number, _, said = cell.partition(" ")
            assert same(number, bound)
            assert said == ("(≥ 1: says nothing)" if bound >= 1 else "")
            above += bound >= 1
    assert above  # else nothing was seen of it
    assert "An index is at most 1: a bound that is not below 1 says nothing." in text(page, "#one")


def test_groups_stand_side_by_side_in_numbers_and_stay_as_one_is_chosen(page, data):
    head, *lines = rows_of(page, "group-numbers")
    assert head[:6] == ["desk", "rows", "mean", "± standard error", "deviation", "minimum"]
    names = [title.removeprefix("rms of J s, ") for title in head[7:]]
    assert sorted(names) == sorted(INPUTS)
    assert lines[0][0] == "all rows"
    assert len(lines) == 5
    value = column("value", OUTPUTS[0])
    for group, count, mean, error, deviation, least, most, *strengths in lines:
        where = "true" if group == "all rows" else is_group("desk", group)
        numbers = data.numbers(value, where, quantiles=False)
        assert count == f"{int(numbers['count', None]):,}"
        assert same(mean, numbers["mean", None])
        assert same(error, data.errors(value, where)[0])
        assert same(deviation, numbers["deviation", None])
        assert same(least, numbers["minimum", None])
        assert same(most, numbers["maximum", None])
        for name, strength in zip(names, strengths, strict=True):
            s = data.numbers(column("input", None, name))["deviation", None]
            square = data.numbers(column("jacobian", OUTPUTS[0], name), where)["mean_square", None]
            assert same(strength, s * square**0.5)
    cells = "[...document.querySelectorAll('[data-figure=group_strengths] .heatmap-label')].length"
    assert page.run(cells) == 15
    page.run("document.querySelector('#group').value = '2'")
    page.run("document.querySelector('#group').dispatchEvent(new Event('change'))")
    drawn_all(page)
    assert page.run(DRAWN)["group_values"] == 5
    assert rows_of(page, "group-numbers") == [head, *lines]


def test_bands_are_drawn_and_in_a_table_that_is_made_when_it_is_opened(banded, browser):
    folder, right = banded
    write_report(str(folder))
    browser.open(folder / "run/report.html")
    panels = "[...document.querySelectorAll('[data-figure=value_curves] .subplot')]"
    bars = browser.run(f"{panels}.map(panel => panel.querySelectorAll('.bars path').length)")
    bins = [sum(key[:3] == ("value", OUTPUTS[0], name) for key in right) for name in INPUTS]
    assert sorted(bars) == sorted(bins)  # a bar for each bin, in the panel of each of three inputs
    titles = "document.querySelectorAll('[data-figure=value_curves] .infolayer text[class^=x]')"
    shown = browser.run(f"[...{titles}].map(title => title.textContent)")
    assert sorted(shown) == sorted(INPUTS)
    assert rows_of(browser, "curve-numbers") == []
    browser.run("document.querySelector('#curves summary').focus()")
    browser.press("Enter", "Enter", 13, "\r")
    browser.run("new Promise(done => setTimeout(done, 100))")
    head, *lines = rows_of(browser, "curve-numbers")
    assert head[:3] == ["input", "middle of the bin", "rows of the sample"]
    assert head[3:7] == ["value: mean", "value: 10%", "value: median", "value: 90%"]
    powers = {"value": 0, "jacobian": 1, "hessian_diag": 2}
    for name, at, _, *cells in lines:
        s = read_deviation(folder, name)
        for (quantity, power), place in zip(powers.items(), (1, 5, 9), strict=True):
            (numbers,) = (
                numbers
                for (q, output, x, middle), numbers in right.items()
                if (q, output, x) == (quantity, OUTPUTS[0], name) and same(at, middle)
            )
            for cell, number in zip(cells[place : place + 3], numbers, strict=True):
                assert same(cell, number * s**power)
    assert "mean value from" in text(browser, "#value_curves .reading")
    assert browser.complaints == []


def read_deviation(folder, name):
    return Data(folder, OUTPUTS, INPUTS).numbers(column("input", None, name))["deviation", None]


def run_of(folder, compose_run, *more):
    """The output of a run of other rows than `data` has."""
    derive(*compose_run(*overrides(folder, *more)))
    write_report(str(folder / "out"))
    return folder / "out"


def test_rows_that_do_not_vary_have_no_empty_figure(tmp_path, compose_run, browser):
    (tmp_path / "in").mkdir()
    rows = {"spot": [0.7] * 4, "vol<b>": [0.2] * 4, "rate": [0.01] * 4, "desk": ["fx"] * 4}
    pq.write_table(pa.table(rows | {"note": ["n"] * 4}), tmp_path / "in/rows.parquet")
    folder = run_of(tmp_path, compose_run, "summary.by=desk")
    browser.open(folder / "run/report.html")
    drawn = browser.run(DRAWN)
    assert {name for name, count in drawn.items() if count is None} >= {
        *("jacobian_map", "hessian_diag_map", "second_order"),
    }
    assert "No output varies over the rows" in text(browser, "#jacobian_map .absent")
    assert 0 not in drawn.values()
    assert browser.complaints == []
    assert "-0" not in [cell for table in TABLES for row in rows_of(browser, table) for cell in row]


TABLES = ("jacobian-numbers", "hessian_diag-numbers", "group-numbers", "all")


def test_laplacians_have_their_mean_and_deviation(tmp_path, compose_run, browser, capsys):
    write_rows(tmp_path, rows=300)
    less = ("derivatives.outputs=[value,laplacian,hessian_diag]",)
    folder = run_of(tmp_path, compose_run, *less)
    browser.open(folder / "run/report.html")
    head, *lines = rows_of(browser, "all")
    assert head[5:7] == ["mean Laplacian", "its deviation"]
    made = Data(folder, OUTPUTS, INPUTS)
    print_report(read_report(str(folder)))
    printed = capsys.readouterr().out
    for output, line in zip(OUTPUTS, lines, strict=True):
        sums = " + ".join(column("hessian_diag", output, name) for name in INPUTS)
        ((mean, deviation),) = made.query(f"avg({sums}), stddev_pop({sums})")
        assert same(line[5], mean)
        assert same(line[6], deviation)
        assert f"; Laplacian: mean {line[5]}, deviation {line[6]}" in printed
    assert browser.complaints == []


def test_run_of_values_and_laplacians_alone_prints_no_empty_table(tmp_path, compose_run, capsys):
    write_rows(tmp_path, rows=300)
    folder = run_of(tmp_path, compose_run, "derivatives.outputs=[value,laplacian]")
    print_report(read_report(str(folder)))
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("input")]
    assert len([line for line in lines if "Laplacian: mean" in line]) == len(OUTPUTS)

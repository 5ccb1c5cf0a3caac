"""What the tables of a page in a browser say: bounds, groups side by side, dependence curves."""

from hyperdiag.run.report import write_report

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
    fills = "[...document.querySelectorAll('[data-figure=value_curves] .fills path')].length"
    assert browser.run(fills) == 3  # a band in the panel of each of three inputs
    titles = "document.querySelectorAll('[data-figure=value_curves] .infolayer text[class^=x]')"
    shown = browser.run(f"[...{titles}].map(title => title.textContent)")
    assert sorted(shown) == sorted(INPUTS)
    assert rows_of(browser, "curve-numbers") == []
    browser.run("document.querySelector('#curves summary').focus()")
    browser.press("Enter", "Enter", 13, "\r")
    browser.run("new Promise(done => setTimeout(done, 100))")
    head, *lines = rows_of(browser, "curve-numbers")
    assert head[:3] == ["input", "middle of the bin", "rows"]
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

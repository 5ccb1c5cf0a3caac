"""The page in a real browser: it draws, complains of nothing, obeys keys, light, dark and paper."""

import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.report import read_report, write_report

from .networks import INPUTS, OUTPUTS, SCRIPT
from .tables import Data, bounds, column, is_group

# Figures that are drawn, by name, with the number of their bars, markers, boxes and pictures.
DRAWN = """
Object.fromEntries([...document.querySelectorAll('.plot')].map(place => [
  place.dataset.figure,
  place.hidden
    ? null
    : place.querySelectorAll('.point path, path.point, path.box, .hm image').length,
]))
"""


@pytest.fixture
def page(browser, data):
    """The report of the run with names that would run scripts, opened anew."""
    place = write_report(str(data.folder))
    browser.open(data.folder / "run/report.html")
    assert place.path == str(data.folder / "run/report.html")
    return browser


def text(browser, selector):
    return browser.run(f"document.querySelector({selector!r}).textContent")


def test_page_draws_all_figures_without_a_complaint_or_a_request(page):
    drawn = page.run(DRAWN)
    assert len(drawn) == 13
    assert None not in drawn.values()
    # Three inputs: a bar and a mean of each; boxes; two and three bars of each; three curves.
    assert drawn["sensitivity"] == 6
    errors = page.run("document.querySelectorAll('[data-figure=sensitivity] .xerror').length")
    assert errors == 6
    assert drawn["spread"] == drawn["second_spread"] == 3
    assert drawn["second_order"] == 5  # price is linear in vol<b>: nothing on a logarithmic scale
    assert drawn["group_values"] == 5  # four desks, and all rows
    assert drawn["group_strengths"] == 1
    assert drawn["jacobian_map"] == drawn["hessian_diag_map"] == 1
    assert page.run("document.title") == "python: derivatives of 5,994 rows"  # not 'broken'
    assert page.complaints == []
    asked = [address for address in page.requests if not address.startswith("data:")]
    assert len(asked) == 1  # the file itself; pictures of heat maps are in the page


def test_script_that_gets_into_the_page_is_not_run_and_reaches_no_network(page):
    page.run(
        "document.body.append(Object.assign(document.createElement('script'), "
        "{textContent: 'document.title = 1'}))"
    )
    assert page.run("document.title") == "python: derivatives of 5,994 rows"
    refused = page.run("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')")
    assert refused == "refused"
    assert any("Content Security Policy" in each for each in page.complaints)
    assert any("script-src" in each for each in page.complaints)


def test_labels_show_names_as_they_are(page):
    labels = page.run(
        "[...document.querySelectorAll('[data-figure=sensitivity] .ytick')].map(e => e.textContent)"
    )
    assert sorted(labels) == ["rate", "spot", "vol<b>"]
    assert page.run("document.querySelectorAll('.ytick b, .ytick script').length") == 0


def test_output_and_group_are_chosen_with_keys_alone(page):
    order = []
    for _ in range(40):
        page.press("Tab", "Tab", 9)
        order.append(page.run("document.activeElement.id || document.activeElement.tagName"))
        if order[-1] == "output":
            break
    assert order[-1] == "output"
    assert order[0] == "A"  # past all that stands before the figures
    page.press("ArrowDown", "ArrowDown", 40)
    assert text(page, "#chosen") == f"{OUTPUTS[1]}, all rows"
    page.press("Tab", "Tab", 9)
    assert page.run("document.activeElement.id") == "group"
    page.press("ArrowDown", "ArrowDown", 40)
    name = page.run("document.querySelector('#group').selectedOptions[0].textContent")
    assert text(page, "#chosen") == f"{OUTPUTS[1]}, {name}"
    drawn = page.run(DRAWN)
    assert [name for name, count in drawn.items() if count is None] == [
        *("distribution", "spread", "second_spread"),
        *("value_curves", "jacobian_curves", "hessian_diag_curves"),
    ]
    assert "not by group" in text(page, "#spread .absent")
    assert page.complaints == []


def test_tables_say_in_words_what_the_figures_show(page, data):
    rows = page.run(
        "[...document.querySelectorAll('#jacobian-numbers tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [row[0] for row in rows] == ["spot", "vol<b>", "rate"]
    (mean, count) = data.query("avg(d_price__d_spot::DOUBLE), count(*)")[0]
    assert rows[0][1] == f"{count:,}"
    assert float(rows[0][4]) == pytest.approx(mean, rel=1e-3)
    unnamed = page.run(
        "[...document.querySelectorAll('.plot')].filter(place => "
        "!document.getElementById(place.getAttribute('aria-labelledby')) || "
        "!document.getElementById(place.getAttribute('aria-describedby'))).length"
    )
    assert unnamed == 0
    assert "spot" in text(page, "#sensitivity .reading")


def rows_of(browser, table):
    """The cells of a table's lines, its head first."""
    return browser.run(
        f"[...document.querySelectorAll('#{table} tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )


def same(cell, number):
    """Whether a cell says a number, to the four digits that it has."""
    return float(cell) == pytest.approx(number, rel=1e-3, abs=1e-12)


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


def drawn_all(browser):
    """Wait until all figures stand there."""
    browser.run(
        "new Promise(done => { const look = () => document.documentElement.dataset.drawn === 'yes' "
        "? done() : setTimeout(look, 20); look(); })"
    )


DRAWN_PLACES = "document.querySelectorAll('.plot .main-svg:first-child').length"


@pytest.fixture
def busy(started_browser, browser):
    """The browser, which never has nothing else to do."""
    script = "window.requestIdleCallback = () => 0;"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    yield browser
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def opened_in_part(browser, path):
    """Open a page and wait until what is near the window is drawn."""
    browser.call("Page.navigate", url=path.resolve().as_uri())
    browser.run(
        "new Promise(done => { const look = () => document.documentElement?.dataset.drawn === "
        "'window' ? done() : setTimeout(look, 20); look(); })"
    )


def test_figures_are_drawn_as_they_come_near_and_all_of_them_on_paper(busy, data):
    write_report(str(data.folder))
    opened_in_part(busy, data.folder / "run/report.html")
    first = busy.run(DRAWN_PLACES)
    assert first < 4
    # Texts, tables and pickers need no figure.
    assert len(rows_of(busy, "jacobian-numbers")) == 4
    assert text(busy, "#chosen") == f"{OUTPUTS[0]}, all rows"
    heights = "[...document.querySelectorAll('.plot')].map(place => place.clientHeight)"
    before = busy.run(heights)
    busy.run("document.querySelector('#spread').scrollIntoView()")
    busy.run("new Promise(done => setTimeout(done, 1000))")
    second = busy.run(DRAWN_PLACES)
    assert first < second < 13
    assert busy.run("document.querySelectorAll('#spread path.box').length") == 3
    busy.run("dispatchEvent(new Event('beforeprint'))")
    assert busy.run(DRAWN_PLACES) == 13
    assert None not in busy.run(DRAWN).values()
    busy.run("dispatchEvent(new Event('afterprint'))")
    assert busy.run(heights) == before  # nothing moved as figures came
    assert busy.complaints == []


def test_page_that_is_printed_before_a_figure_is_drawn_has_all_of_them(busy, data, tmp_path):
    write_report(str(data.folder))
    busy.resize(1300, 300)  # no figure is near
    opened_in_part(busy, data.folder / "run/report.html")
    assert busy.run(DRAWN_PLACES) == 0
    assert busy.run("typeof Plotly") == "undefined"  # nor was the library run
    busy.run("dispatchEvent(new Event('beforeprint'))")
    assert busy.run(DRAWN_PLACES) == 13
    assert busy.complaints == []


def luminance(colour):
    channels = [int(part) / 255 for part in colour[4:-1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one_colour, other):
    low, high = sorted([luminance(one_colour), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_lines_stand_out_in_light_and_dark(page, scheme):
    page.emulate(scheme=scheme)
    page.run("new Promise(done => setTimeout(done, 300))")
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for selector in ("body", "dt", "a[href]", "figcaption", ".mark", ".look .mark", "label"):
        colour = page.run(f"getComputedStyle(document.querySelector('{selector}')).color")
        assert contrast(colour, paper) >= 4.5, selector
    for figure, mark in (("sensitivity", ".bars path"), ("spread", "path.box")):
        of = f"getComputedStyle(document.querySelector('[data-figure={figure}] {mark}'))"
        colour = page.run(f"{of}.{'fill' if 'bars' in mark else 'stroke'}")
        assert contrast(colour, paper) >= 3, figure
    ticks = page.run("getComputedStyle(document.querySelector('.ytick text')).fill")
    assert contrast(ticks, paper) >= 4.5


def test_page_on_paper_is_light_whole_and_no_wider_than_a_sheet(page, tmp_path):
    page.emulate(scheme="dark")
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.emulate(media="print", scheme="dark")
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert luminance(paper) > 0.9
    widths = page.run("[...document.querySelectorAll('.plot .main-svg')].map(s => s.clientWidth)")
    assert set(widths) == {680}
    ticks = page.run("getComputedStyle(document.querySelector('.ytick text')).fill")
    assert contrast(ticks, paper) >= 4.5
    assert page.run("getComputedStyle(document.querySelector('#extremes')).overflow") == "visible"
    page.emulate(scheme="dark")
    page.run("dispatchEvent(new Event('afterprint'))")
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().count(b"/Type /Page\n") >= 5


def test_page_fits_a_narrow_window(page):
    page.resize(480, 900)
    page.run("new Promise(done => setTimeout(done, 500))")
    assert page.run("document.documentElement.scrollWidth") <= 480
    widths = page.run("[...document.querySelectorAll('.plot .main-svg')].map(s => s.clientWidth)")
    assert max(widths) <= 480


def test_figures_keep_their_heights_as_the_window_changes(page):
    heights = "[...document.querySelectorAll('.plot')].map(place => place.clientHeight)"
    drawn = "[...document.querySelectorAll('.plot .main-svg')].map(s => s.clientHeight)"
    before = page.run(heights), page.run(drawn)
    assert min(before[0]) > 150  # a bar or a row of cells for each of two or three names
    for width in (1000, 400):
        page.resize(width, 900)
        page.run("new Promise(done => setTimeout(done, 700))")
        assert (page.run(heights), page.run(drawn)) == before
        assert page.run("document.querySelector('.plot .main-svg').clientWidth") <= width


def test_page_without_summaries_complains_of_nothing(browser, published, tmp_path):
    write_report(str(published), str(tmp_path / "plain.html"))
    browser.open(tmp_path / "plain.html")
    assert {name.partition("_")[0] for name in browser.run(DRAWN)} <= {"throughput"}
    assert "kept no summaries" in text(browser, "#one")
    assert browser.complaints == []


@pytest.mark.parametrize("intervals", [1, 3])
def test_times_of_a_run_that_was_over_at_once_are_told_and_not_drawn(
    intervals, published, browser, tmp_path
):
    folder = tmp_path / "out"
    shutil.copytree(published, folder)
    path = folder / "run/throughput.json"
    times = json.loads(path.read_text()) | {
        "interval_seconds": 2.0,
        "rows": {"a:1": [4000] * intervals, "<b>": [5] * intervals},
        "other_workers": 0,
        "other_rows": [0] * intervals,
        "stages": {"read": [0.25] * intervals, "compute": [0.75] * intervals},
    }
    path.write_text(json.dumps(times))
    write_report(str(folder))
    browser.open(folder / "run/report.html")
    said = text(browser, "#time")
    at_once = "Its work, 4,005 rows, was over within 2 s"
    if intervals == 1:
        assert browser.run(DRAWN) == {}
        assert at_once in said
    else:
        assert browser.run(DRAWN) == {"throughput_by_worker": 6, "throughput_by_stage": 6}
        assert "was over within" not in said
    rows = "[...document.querySelectorAll('#time tbody tr')].map(row => row.innerText)"
    assert browser.run(rows) == [
        f"a:1\t{4000 * intervals:,}",
        f"<b>\t{5 * intervals}",
        f"read\t{0.25 * intervals}\t25%",
        f"compute\t{0.75 * intervals}\t75%",
    ]
    assert browser.complaints == []


@pytest.mark.parametrize(
    ("kept", "absent"),
    [
        (("value",), {"sensitivity", "spread", "second_spread", "second_order", "convexity"}),
        (("jacobian",), {"distribution", "second_spread", "convexity", "value_curves"}),
        (("value", "hessian_diag"), {"sensitivity", "spread", "jacobian_map"}),
    ],
)
def test_page_of_a_run_that_computed_less_shows_what_there_is(
    kept, absent, data, browser, tmp_path
):
    folder = tmp_path / "out"
    shutil.copytree(data.folder, folder)
    path = folder / "run/summary.parquet"
    table = pq.read_table(path)
    # As such a run keeps it: of all rows, without curves and extreme rows.
    keep = pc.is_in(table["quantity"], pa.array([*kept, "input"]))
    keep = pc.and_(keep, pc.is_null(table["grouped_by"]))
    keep = pc.and_(keep, pc.invert(pc.match_substring(table["statistic"], "bin_count")))
    pq.write_table(table.filter(keep), path)
    (folder / "run/extremes.parquet").unlink()
    write_report(str(folder))
    browser.open(folder / "run/report.html")
    drawn = browser.run(DRAWN)
    assert {name for name, count in drawn.items() if count is None} >= absent
    assert ("distribution" in absent) == (drawn["distribution"] is None)
    assert browser.run("document.getElementById('group')") is None
    assert "nothing that this could show" in text(browser, f"#{min(absent)} .absent")
    assert browser.complaints == []


def test_page_of_a_run_that_kept_neither_quantiles_nor_curves_says_so(data, browser, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(data.folder, folder)
    path = folder / "run/summary.parquet"
    table = pq.read_table(path)
    # As a run of very many outputs and inputs keeps it.
    left_out = pa.array(["quantile", "curve_mean", "bin_count"])
    pq.write_table(table.filter(pc.invert(pc.is_in(table["statistic"], left_out))), path)
    report = read_report(str(folder))
    said = " ".join(report.left_out)
    assert "The run kept no quantiles" in said
    assert "The run kept no dependence curves" in said
    assert "inputs have dependence curves" not in said
    write_report(str(folder))
    browser.open(folder / "run/report.html")
    drawn = browser.run(DRAWN)
    assert {name for name, count in drawn.items() if count is None} == {
        *("distribution", "spread", "second_spread"),
        *("value_curves", "jacobian_curves", "hessian_diag_curves"),
    }
    assert drawn["sensitivity"] == 6  # the bar and the mean of each of three inputs
    assert "no quantiles" in text(browser, "#distribution .absent")
    assert "no dependence curves" in text(browser, "#value_curves .absent")
    assert browser.run("document.querySelector('#distribution .caption').hidden")
    assert "5%" not in text(browser, "#jacobian-numbers thead")
    browser.run("document.querySelector('#group').value = '1'")
    browser.run("document.querySelector('#group').dispatchEvent(new Event('change'))")
    assert "no quantiles" in text(browser, "#distribution .absent")  # of all rows neither
    assert browser.complaints == []


def test_page_of_constants_and_of_what_is_not_finite_shows_dashes(data, browser, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(data.folder, folder)
    path = folder / "run/summary.parquet"
    table = pq.read_table(path).to_pandas()
    numbers = ~table.statistic.isin(["count", "mean_square"])
    table.loc[numbers & (table.output == "price"), "value"] = float("nan")
    table.loc[numbers & (table.quantity == "input"), "value"] = 0.0
    table.loc[numbers & (table.output == SCRIPT), "value"] = float("inf")
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    write_report(str(folder))
    browser.open(folder / "run/report.html")
    assert text(browser, "#jacobian-numbers tbody tr").count("–") >= 8
    assert browser.complaints == []

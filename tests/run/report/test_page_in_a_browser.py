"""The page in a real browser: it draws, complains of nothing, obeys keys, light, dark and paper."""

import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.report import read_report, write_report

from .bands import LEVELS
from .looks import DRAWN, drawn_all, text
from .networks import OUTPUTS, SCRIPT


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
    assert None not in page.run(DRAWN).values()
    assert page.run("[...document.querySelectorAll('.of-all')].map(each => each.textContent)") == [
        *("", "", "")
    ]
    assert page.complaints == []


def test_what_is_kept_of_all_rows_alone_does_not_stand_under_the_name_of_a_group(of_books, browser):
    write_report(str(of_books.folder))
    browser.open(of_books.folder / "run/report.html")
    drawn_all(browser)
    shown = "document.querySelector('#value_curves figcaption').innerText"
    assert "mean value from" in browser.run(shown)
    browser.run("document.querySelector('#group').value = '1'")
    browser.run("document.querySelector('#group').dispatchEvent(new Event('change'))")
    drawn_all(browser)
    drawn = browser.run(DRAWN)
    assert [name for name, count in drawn.items() if count is None] == [
        *("distribution", "spread", "second_spread"),
        *("value_curves", "jacobian_curves", "hessian_diag_curves"),
    ]
    assert "not by group" in text(browser, "#spread .absent")
    for name in ("value_curves", "spread"):
        said = f"document.querySelector('#{name} figcaption').innerText.trim()"
        assert browser.run(said) == ""
    assert browser.run(
        "[...document.querySelectorAll('.of-all')].map(each => each.textContent)"
    ) == 3 * ["Of all rows: there are too many groups."]
    assert browser.complaints == []


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_the_map_of_groups_stand_out_from_any_of_its_colours(page, scheme):
    page.emulate(scheme=scheme)
    page.run("new Promise(done => setTimeout(done, 300))")
    label = "document.querySelector('[data-figure=group_strengths] .heatmap-label text')"
    text_colour = page.run(f"getComputedStyle({label}).fill")
    drawn = page.run(
        "document.querySelector('[data-figure=group_strengths]')._fullData[0].colorscale"
    )
    (start, first), (end, last) = drawn
    assert (start, end) == (0, 1)
    ends = [[int(c[at : at + 2], 16) for at in (1, 3, 5)] for c in (first, last)]
    for share in range(101):
        mixed = [a + (b - a) * share / 100 for a, b in zip(*ends, strict=True)]
        cell = f"rgb({', '.join(str(round(channel)) for channel in mixed)})"
        assert contrast(text_colour, cell) >= 4.5, cell


def test_ticks_of_a_logarithmic_axis_are_whole_numbers(page):
    for output in range(2):
        page.run(f"document.querySelector('#output').value = '{output}'")
        page.run("document.querySelector('#output').dispatchEvent(new Event('change'))")
        drawn_all(page)
        plot = "document.querySelector('#second_order .plot')"
        low, high = page.run(f"{plot}._fullLayout.xaxis.range")
        ticks = page.run(
            f"[...{plot}.querySelectorAll('.xtick text')].map(t => "
            "[t.getBoundingClientRect().x, t.textContent])"
        )
        values = [float(label) for _, label in sorted(ticks)]
        assert len(values) >= 2
        assert values == sorted(set(values))
        assert all(10**low <= value <= 10**high for value in values)


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
    left_out = pa.array(["quantile", "curve_mean", "bin_count", *LEVELS])
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

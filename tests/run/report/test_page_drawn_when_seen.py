"""Figures are drawn as they come near the window, and all of them on paper."""

import pytest

from hyperdiag.run.report import write_report

from .looks import DRAWN, rows_of, text
from .networks import OUTPUTS

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

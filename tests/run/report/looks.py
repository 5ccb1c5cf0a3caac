"""What a page in a browser shows."""

import pytest

# Figures that are drawn, by name, with the number of their bars, markers, boxes and pictures.
DRAWN = """
Object.fromEntries([...document.querySelectorAll('.plot')].map(place => [
  place.dataset.figure,
  place.hidden
    ? null
    : place.querySelectorAll('.point path, path.point, path.box, .hm image').length,
]))
"""


def text(browser, selector):
    return browser.run(f"document.querySelector({selector!r}).textContent")


def rows_of(browser, table):
    """The cells of a table's lines, its head first."""
    return browser.run(
        f"[...document.querySelectorAll('#{table} tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )


def same(cell, number):
    """Whether a cell says a number, to the four digits that it has."""
    return float(cell) == pytest.approx(number, rel=1e-3, abs=1e-12)


def drawn_all(browser):
    """Wait until all figures stand there."""
    browser.run(
        "new Promise(done => { const look = () => document.documentElement.dataset.drawn === 'yes' "
        "? done() : setTimeout(look, 20); look(); })"
    )

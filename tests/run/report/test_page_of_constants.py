"""An input, and an output, that do not vary: drawn where they are, and said not to."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report, write_report
from hyperdiag.run.report.facts import LOOK
from hyperdiag.run.report.terminal import print_report

from .looks import drawn_all, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory, compose_run):
    """An output whose second input is 1e9 on each row."""
    folder = tmp_path_factory.mktemp("constant")
    (folder / "in").mkdir()
    rows = {"a": np.random.default_rng(3).normal(size=3000), "b": np.full(3000, 1e9)}
    pq.write_table(pa.table(rows), folder / "in/rows.parquet")
    derive(
        *compose_run(
            *("cluster=inline", "network=python", "dataset=parquet"),
            *("network.target=tests.run.report.networks:of_two", f"dataset.path={folder}/in"),
            *("derivatives.method=hyperdual", f"output.path={folder}/out"),
        )
    )
    write_report(str(folder / "out"))
    return folder / "out"


def test_curve_of_an_input_that_does_not_vary_is_at_its_number(folder):
    record = read_report(str(folder)).records[0]
    (curve,) = (curve for curve in record["curves"] if curve["label"] == "b")
    assert curve["at"] == [1e9]
    assert curve["rows"] == [3000]


def test_input_that_does_not_vary_is_said_not_to(folder, browser, capsys):
    report = read_report(str(folder))
    print_report(report)
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if line.startswith("b (s = 0) ")]) == 3
    assert not [line for line in printed if line.startswith("a (s")]
    assert report.html().decode().count(", b does not vary (s = 0)</td>") == 3
    (ranges,) = (check for check in report.facts.checks if check.title == "Trained ranges")
    assert ranges.state == LOOK
    assert ranges.text.startswith("None is known")
    assert "none: its row is blank" in report.figures["jacobian_map"].caption
    assert report.shared["maps"]["jacobian"][2] == [None, None]
    browser.open(folder / "run/report.html")
    drawn_all(browser)
    ticks = "[...document.querySelectorAll('#jacobian_map .ytick text')].map(t => t.textContent)"
    assert sorted(browser.run(ticks)) == ["$wave$ in $", "constant", "line"]  # and no mathematics
    assert text(browser, "#sensitivity .reading").endswith(", b does not vary (s = 0).")
    assert browser.complaints == []


def test_curves_that_are_level_have_no_two_ends(folder, browser):
    browser.open(folder / "run/report.html")
    browser.run("document.querySelector('#output').value = '1'")
    browser.run("document.querySelector('#output').dispatchEvent(new Event('change'))")
    drawn_all(browser)
    deviation = pq.read_table(folder / "data")["a"].to_numpy().std()
    said = text(browser, "#jacobian_curves .reading").strip()
    assert said == f"Here, by a: mean J s {3 * deviation:.4g} throughout."
    assert "a: mean value from" in text(browser, "#value_curves .reading")

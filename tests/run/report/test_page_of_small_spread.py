"""A run whose outputs vary little beside their size, in a browser: axes, sentences, tables."""

import re

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report, write_report
from hyperdiag.run.report.quantiles import are_coarse
from hyperdiag.run.report.summary_batch import STATISTICS
from hyperdiag.run.report.terminal import print_report

from .looks import drawn_all, rows_of, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory, compose_run):
    """An output of inputs that are normal, so that bins at either end have few rows."""
    folder = tmp_path_factory.mktemp("far")
    rng = np.random.default_rng(3)
    (folder / "in").mkdir()
    rows = {"a": rng.normal(size=4000), "b": rng.normal(size=4000)}
    rows["g"] = np.repeat(["many", "few"], [3980, 20])
    pq.write_table(pa.table(rows), folder / "in/rows.parquet")
    derive(
        *compose_run(
            *("cluster=inline", "network=python", "summary.by=g"),
            *("network.target=tests.run.report.networks:far_from_zero", "dataset=parquet"),
            *(f"dataset.path={folder}/in", "derivatives.method=hyperdual"),
            f"output.path={folder}/out",
        )
    )
    write_report(str(folder / "out"))
    return folder / "out"


def choose(browser, picker, name):
    browser.run(
        f"(() => {{ const picker = document.getElementById('{picker}');"
        f"picker.value = [...picker.options].findIndex(each => each.textContent === '{name}');"
        "picker.dispatchEvent(new Event('change')); })()"
    )
    drawn_all(browser)


def test_axis_of_dependence_curves_reaches_as_far_as_they_do(folder, browser):
    browser.open(folder / "run/report.html")
    drawn_all(browser)
    plot = "document.querySelector('#value_curves .plot')"
    low, high = browser.run(f"{plot}._fullLayout.yaxis.range")
    ((least, most),) = duckdb.sql(
        f"SELECT min(y), max(y) FROM read_parquet('{folder}/data/*.parquet')"
    ).fetchall()
    # Means and quantiles over bins lie within the values; Plotly leaves a margin.
    margin = 0.2 * (most - least)
    assert least - margin < low < high < most + margin
    (curve,) = (c for c in read_report(str(folder)).records[0]["curves"] if c["label"] == "a")
    without = [at for at, low in zip(curve["at"], curve["value_p10"], strict=True) if low is None]
    assert without  # else nothing was seen of it
    bars = browser.run(
        f"{plot}._fullData.filter(trace => trace.type === 'bar').map(trace => "
        "({x: trace.x, base: trace.base, y: trace.y, width: trace.width}))"
    )
    for bar in bars:
        assert None not in [*bar["x"], *bar["base"], *bar["y"]]
        assert len(bar["x"]) == len(bar["base"]) == len(bar["y"])
        # As wide as a bin, however far apart those with a band are.
        steps = np.diff(bar["x"])
        assert bar["width"] == pytest.approx(steps.min(), rel=1e-4)
    assert not set(without) & set(bars[0]["x"])
    assert browser.complaints == []


def test_few_rows_have_no_standard_errors(folder, browser, capsys):
    report = read_report(str(folder))
    (few, many) = (report.groups[name][0] for name in ("few", "many"))
    assert few["value"]["count"] == 20
    assert few["value"]["mean_error"] is None
    assert set(few["jacobian"]["mean_error"]) == {None}
    assert set(few["jacobian"]["root_mean_square_error"]) == {None}
    assert many["value"]["mean_error"] > 0
    browser.open(folder / "run/report.html")
    errors = "document.querySelectorAll('[data-figure=sensitivity] .xerror').length"
    assert browser.run(errors) == 4
    choose(browser, "group", "few")
    assert browser.run(errors) == 0
    lines = rows_of(browser, "group-numbers")
    assert {line[0]: line[3] for line in lines[2:]}["few"] == "–"
    print_report(report)
    (line,) = {x for x in capsys.readouterr().out.splitlines() if re.match("few +20 +100", x)}
    assert re.split(" {2,}", line)[3] == "-"
    assert browser.complaints == []


def test_group_of_few_rows_has_no_curves_of_others(folder, browser):
    browser.open(folder / "run/report.html")
    shown = "document.querySelector('#value_curves figcaption').innerText"
    assert "Here, by a: mean value from" in browser.run(shown)
    choose(browser, "group", "few")
    browser.run("document.getElementById('curves').open = true")
    drawn_all(browser)
    curves = rows_of(browser, "curve-numbers")
    rows = [int(line[2]) for line in curves[1:] if line[0] == "a"]
    assert 0 < sum(rows) <= 20
    assert browser.complaints == []


def test_quantiles_that_are_coarser_than_the_spread_are_not_shown(folder, browser):
    """Of y, about 1000 with a deviation below 1, and of J of z by a, which is 100 +- 1."""
    y, z = read_report(str(folder)).records
    ((deviation, median),) = duckdb.sql(
        f"SELECT stddev_pop(y), median(y) FROM read_parquet('{folder}/data/*.parquet')"
    ).fetchall()
    assert 0.008 * median > 0.1 * deviation
    assert "points" not in y["value"]
    points = z["value"]["points"]
    levels = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
    ((right, minimum, maximum),) = duckdb.sql(
        f"SELECT quantile_disc(z, {levels}), min(z), max(z) "
        f"FROM read_parquet('{folder}/data/*.parquet')"
    ).fetchall()
    assert points == pytest.approx([minimum, *right, maximum], rel=0.008)
    assert z["jacobian"]["q50"] == [None, 1.0]  # by b equal on all rows: exact
    browser.open(folder / "run/report.html")
    drawn_all(browser)
    place = "document.querySelector('#distribution .plot').hidden"
    assert browser.run(place)
    why = "Quantiles are kept to 0.8% of the number, which here is more than a tenth"
    assert why in text(browser, "#distribution .absent")
    choose(browser, "output", "z")
    assert not browser.run(place)
    assert "within 0.8% of the number" in text(browser, "#distribution .caption")
    boxes = "document.querySelectorAll('#spread path.box').length"
    assert browser.run(boxes) == 1
    head, *lines = rows_of(browser, "jacobian-numbers")
    (at,) = (at for at, title in enumerate(head) if title.startswith("50%"))
    assert [(line[0], line[at]) for line in lines] == [("a", "–"), ("b", "1")]
    assert "5% (within 0.8%)" in head
    assert browser.complaints == []


def test_quantiles_are_coarse_by_the_deviation_and_not_by_their_size():
    def of(deviation, quantile, minimum=0.0):
        named = {"deviation": deviation, "minimum": minimum, "maximum": quantile}
        return are_coarse(
            np.array([named.get(n, quantile if "quantile" in n else 0.0) for n in STATISTICS])
        )

    # 0.8% of 1000 is 8: a tenth of 80.
    assert of(79.0, 1000.0)
    assert not of(81.0, 1000.0)
    assert of(79.0, -1000.0)
    assert not of(0.0, 5.0, minimum=5.0)

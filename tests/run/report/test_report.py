"""Every number of a report, against DuckDB on all rows of the output."""

import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report, reading
from hyperdiag.run.report.terminal import print_report

from .checks import DIGITS, QUANTILE, check_errors, check_statistics, close, strongest_first
from .conftest import NOTE, overrides, write_rows
from .networks import INPUTS, OUTPUTS, SCRIPT
from .tables import QUANTILES, Data, bounds, column, is_group


@pytest.fixture(scope="module")
def report(data):
    return read_report(str(data.folder))


@pytest.mark.parametrize("place", [0, 1])
def test_numbers_of_an_output_are_those_of_its_rows(report, data, place):
    output, record = OUTPUTS[place], report.records[place]
    names = strongest_first(data, output)
    assert [INPUTS[at] for at in record["inputs"]] == names
    assert record["positions"] == [0, 1, 2]
    value = data.numbers(column("value", output))
    check_statistics(record["value"], value)
    check_errors(record["value"], data.errors(column("value", output)))
    ends = [value["minimum", None], *(value["quantile", q] for q in QUANTILES)]
    for shown, expected in zip(
        record["value"]["points"], [*ends, value["maximum", None]], strict=True
    ):
        assert close(shown, expected, QUANTILE)
    for at, name in enumerate(names):
        deviation = data.numbers(column("input", None, name))["deviation", None]
        assert close(record["deviation"][at], deviation)
        for quantity in ("jacobian", "hessian_diag"):
            numbers = data.numbers(column(quantity, output, name))
            check_statistics(record[quantity], numbers, at)
            check_errors(record[quantity], data.errors(column(quantity, output, name)), at)
            for q in QUANTILES:
                shown = record[quantity][f"q{round(100 * q):02d}"][at]
                assert close(shown, numbers["quantile", q], QUANTILE)
        for (kind, _), bound in bounds(data, output, name).items():
            assert close(record[kind][at], bound)


@pytest.mark.parametrize("place", [0, 1])
def test_curves_of_an_output_are_means_over_bins_of_its_rows(report, data, place):
    output, record = OUTPUTS[place], report.records[place]
    assert [curve["input"] for curve in record["curves"]] == record["inputs"]
    settings = json.loads((data.folder / "run/plan.json").read_text())["settings"]
    for curve in record["curves"]:
        name = INPUTS[curve["input"]]
        numbers = data.numbers(column("input", None, name))
        assert close(curve["mean"], numbers["mean", None])
        assert close(curve["deviation"], numbers["deviation", None])
        for quantity in ("value", "jacobian", "hessian_diag"):
            at, means, counts = data.curve(
                column(quantity, output, name), name, *settings["summary"]["ranges"][name]
            )
            scale = max(map(abs, means))
            for number, expected in zip(curve[quantity], means, strict=True):
                assert close(number, expected, scale=scale)
        assert all(map(close, curve["at"], at))
        assert curve["rows"] == counts


@pytest.mark.parametrize("place", [0, 1])
def test_extreme_rows_are_those_of_the_data_with_their_columns(report, data, place):
    output, record = OUTPUTS[place], report.records[place]
    lists = {}
    for row in record["extremes"]:
        lists.setdefault((row["quantity"], row["extreme"]), []).append(row)
        where = f"_source_file = '{row['file']}' AND _row_index = {row['row']}"
        name = None if row["input"] is None else INPUTS[row["input"]]
        what = f'{column(row["quantity"], output, name)}, trade, desk, note, spot, "vol<b>", rate'
        ((value, trade, desk, note, *point),) = data.query(what, where)
        assert close(row["value"], value)
        assert row["columns"] == [str(trade), desk or "", note]
        assert all(map(close, row["point"], (point[at] for at in record["inputs"])))
    kinds = [("value", "largest"), ("value", "smallest")]
    assert list(lists) == [*kinds, ("jacobian", "largest"), ("hessian_diag", "largest")]
    assert all([row["rank"] for row in rows] == [1, 2, 3, 4, 5] for rows in lists.values())
    this = column("value", output)
    for kind, order in zip(kinds, ("DESC", "ASC"), strict=True):
        right = data.query(this, f"true ORDER BY 1 {order} LIMIT 5")
        assert all(close(row["value"], x) for row, (x,) in zip(lists[kind], right, strict=True))
    assert report.columns == ["trade", "desk", "note"]


def test_report_of_some_inputs_and_of_no_rows_shows_what_was_derived(tmp_path, compose_run):
    write_rows(tmp_path, rows=300)
    less = ("derivatives.wrt=[rate,spot]", "summary.only=true", "summary.extreme_rows=2")
    derive(*compose_run(*overrides(tmp_path, *less)))
    report = read_report(str(tmp_path / "out"))
    for record in report.records:
        assert sorted(INPUTS[at] for at in record["inputs"]) == ["rate", "spot"]
        assert [row["columns"][2] for row in record["extremes"]] == [NOTE] * 8
    assert [report.inputs[at] for at in report.shared["maps"]["input_places"]] == ["spot", "rate"]
    assert report.groups == {}


def test_report_without_summaries_says_so_and_shows_the_rest(published):
    report = read_report(str(published))
    assert not report.records
    page = report.html().decode()
    assert "The run kept no summaries (run/summary.parquet, summary.enabled)" in page
    assert "6,000 read: 5,994 derived, 0 filtered out, 6 quarantined." in page
    assert 'id="output"' not in page
    assert set(report.figures) == {"throughput_by_worker", "throughput_by_stage"}


def test_report_of_a_run_that_derived_no_row_says_so_and_why(tmp_path, compose_run, capsys):
    (tmp_path / "in").mkdir()
    rows = {"spot": [math.nan] * 5, "vol<b>": [0.2] * 5, "rate": [0.0] * 5, "note": ["n"] * 5}
    pq.write_table(pa.table(rows | {"desk": ["fx"] * 5}), tmp_path / "in/bad.parquet")
    less = ("limits.max_bad_fraction=1", "summary.by=desk", "summary.extreme_rows=2")
    derive(*compose_run(*overrides(tmp_path, *less)))
    report = read_report(str(tmp_path / "out"))
    said = "No row was derived: of 5 read, 0 were filtered out and 5 quarantined."
    page = report.html().decode()
    assert said in page
    assert "Examples of quarantined rows" in page
    print_report(report)
    assert said in capsys.readouterr().out


def test_derived_columns_have_a_line_with_the_numbers_of_their_rows(tmp_path, compose_run, capsys):
    write_rows(tmp_path, rows=400)
    less = ("derived=[greeks]", "derived.greeks.spot=spot", "summary.by=desk")
    derive(*compose_run(*overrides(tmp_path, *less)))
    folder = tmp_path / "out"
    report = read_report(str(folder))
    made = Data(folder, OUTPUTS, INPUTS)
    names = json.loads((folder / "run/manifest.json").read_text())["derived"]["greeks"]
    assert [name for name, _ in report.derived.rows] == names
    shown = ["mean", "deviation", "minimum", "5%", "50%", "95%", "maximum"]
    assert report.derived.head == shown
    for name, values in report.derived.rows:
        quoted = name.replace('"', '""')
        numbers = made.numbers(f'"{quoted}"')
        for title, value in zip(shown, values, strict=True):
            quantile = ("quantile", float(title[:-1]) / 100) if "%" in title else (title, None)
            scale = math.sqrt(numbers["mean_square", None])
            near = QUANTILE if "%" in title else DIGITS
            assert close(value, numbers[quantile], near, scale=scale), (name, title)
    groups = ["fx", "rates", SCRIPT, "(no value)"]
    assert report.derived.groups_left_out == 0
    assert {(name, group) for name, group, _, _ in report.derived.group_rows} == {
        (name, group) for name in names for group in groups
    }
    for name, group, count, values in report.derived.group_rows:
        quoted = name.replace('"', '""')
        numbers = made.numbers(f'"{quoted}"', is_group("desk", group))
        assert count == numbers["count", None]
        for title, value in zip(report.derived.group_head, values, strict=True):
            quantile = ("quantile", float(title[:-1]) / 100) if "%" in title else (title, None)
            scale = math.sqrt(numbers["mean_square", None])
            near = QUANTILE if "%" in title else DIGITS
            assert close(value, numbers[quantile], near, scale=scale), (name, group, title)
    page = report.html().decode()
    assert "<h3>Derived quantities</h3>" in page
    assert "<h3>Derived quantities by desk</h3>" in page
    print_report(report)
    printed = capsys.readouterr().out
    assert f"\n{names[0]} " in printed
    assert "\nderived quantities by desk\n" in printed


def test_report_is_of_one_publication_though_another_takes_its_place(
    tmp_path, compose_run, monkeypatch
):
    write_rows(tmp_path, rows=300)
    derive(*compose_run(*overrides(tmp_path)))
    read_facts, read = reading.read_facts, []

    def updated_after(*arguments):
        facts = read_facts(*arguments)
        if not read:
            shutil.copy(tmp_path / "in/monday.parquet", tmp_path / "in/wednesday.parquet")
            derive(*compose_run(*overrides(tmp_path, "output.mode=update")))
        read.append(facts.manifest.rows.derived)
        return facts

    monkeypatch.setattr(reading, "read_facts", updated_after)
    report = read_report(str(tmp_path / "out"))
    assert read == [594, 891]
    assert report.facts.manifest.rows.derived == report.records[0]["value"]["count"] == 891


def test_more_than_a_hundred_derived_columns_are_left_out_and_said(tmp_path, compose_run):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    names = [f"input {at:04d} of many, with a long name" for at in range(60)]
    table = pa.table({name: rng.standard_normal(50) for name in names})
    pq.write_table(table, tmp_path / "in/rows.parquet")
    derive(
        *compose_run(
            *("cluster=inline", "network=python", "network.target=tests.run.report.networks:wide"),
            *("+network.kwargs={n: 60, m: 2}", "dataset=parquet", f"dataset.path={tmp_path}/in"),
            *("derivatives.method=hyperdual", "derivatives.tile=8", "derived=[elasticity]"),
            f"output.path={tmp_path}/out",
        )
    )
    report = read_report(str(tmp_path / "out"))
    columns = [f"elasticity_output {j:03d}__by_{name}" for j in range(2) for name in names]
    assert [name for name, _ in report.derived.rows] == columns[:100]  # though there are arrays
    said = "100 of 120 derived columns are shown, the first in the output's order."
    assert any(said in sentence for sentence in report.left_out)


def test_figures_are_plotly_objects_of_the_output_and_group_asked_for(report, data):
    figure = report.figure("sensitivity", OUTPUTS[1], "fx")
    assert type(figure).__module__ == "plotly.graph_objs._figure"
    bars, mean = figure.data
    names = [INPUTS[at] for at in report.records[1]["inputs"]]
    for at, name in enumerate(names):
        this, where = column("jacobian", OUTPUTS[1], name), is_group("desk", "fx")
        s = data.numbers(column("input", None, name))["deviation", None]
        of_mean, most, _ = data.errors(this, where)
        assert close(mean.error_x.array[at], 1.96 * of_mean * s)
        assert close(bars.error_x.array[at], 1.96 * most * s)
        assert close(bars.error_x.arrayminus[at], min(1.96 * most * s, bars.x[at]))
    name = INPUTS[report.records[1]["inputs"][0]]
    this, where = column("jacobian", OUTPUTS[1], name), is_group("desk", "fx")
    deviation = data.numbers(column("input", None, name))["deviation", None]
    numbers = data.numbers(this, where)
    assert close(bars.x[0], math.sqrt(numbers["mean_square", None]) * deviation)
    assert close(mean.x[0], numbers["mean", None] * deviation)
    assert figure.layout.title.text == (
        "Which inputs matter – &lt;script&gt;document…broken'&lt;/script&gt;, fx"
    )
    alone = report.figure("sensitivity", OUTPUTS[0]).layout.title.text
    assert alone == "Which inputs matter – price"
    for each in report.figures:
        assert report.figure(each).data, each
    for name, output, group, what in (
        ("sensibility", None, None, "no figure 'sensibility'"),
        ("spread", "cost", None, "output 'cost'"),
        ("spread", None, "oil", "group 'oil'"),
    ):
        with pytest.raises(UsageError, match=what):
            report.figure(name, output, group)


def test_figure_that_is_kept_of_all_rows_together_is_refused_of_a_group(of_books):
    report = read_report(str(of_books.folder))
    assert report.less_of_groups == "there are too many groups"
    of_all = {name for name in report.figures if name.endswith("_map") or "throughput" in name}
    refused = {name for name in report.figures if name.endswith("_curves")}
    refused |= {"distribution", "spread", "second_spread"}
    for name in report.figures.keys() - refused - of_all:
        assert report.figure(name, OUTPUTS[0], "book 3").data, name
    for name in refused:
        with pytest.raises(UsageError, match="all rows together, since there are too many"):
            report.figure(name, OUTPUTS[0], "book 3")
    for name in of_all:
        with pytest.raises(UsageError, match="is of all rows together: leave group out"):
            report.figure(name, OUTPUTS[0], "book 3")
    with pytest.raises(UsageError, match="group 'book' is not in the report: there are book 0"):
        report.figure("spread", OUTPUTS[0], "book")
    assert any("Of up to 64 groups such a run keeps these, too." in s for s in report.left_out)


def test_output_that_is_not_published_has_no_report(published, tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        read_report(str(tmp_path / "nowhere"))
    shutil.copytree(published, tmp_path / "out")
    (tmp_path / "out/_SUCCESS").unlink()
    shutil.rmtree(tmp_path / "out/run/current")
    with pytest.raises(UsageError, match=r"nothing is published in .*hyperdiag status"):
        read_report(str(tmp_path / "out"))

"""Very many outputs, inputs and groups: what is shown fits, and what is not is said."""

import duckdb
import numpy as np
import pytest

from hyperdiag.run.report.detail import MOST_BYTES, first_detail, strongest

from .browser import CHROMIUM


def test_strongest_come_first_and_equals_in_their_order():
    assert strongest(np.array([1.0, 3.0, 2.0, 3.0]), 3) == [1, 3, 2]


def test_few_outputs_are_shown_in_full_and_many_in_less():
    options = {"bins": 32, "bands": False, "complete": False}
    full = first_detail(outputs=1, inputs=10, groups=5, **options)
    assert (full.outputs, full.inputs, full.curves, full.groups) == (1, 30, 8, 60)
    most = first_detail(outputs=5000, inputs=10**6, groups=10**4, **options)
    assert most.outputs == 300
    assert 1 <= most.inputs < 30
    assert most.groups < 60
    options |= {"bands": True}
    moments, whole = (
        first_detail(outputs=8, inputs=10, groups=60, **options | {"complete": complete})
        for complete in (False, True)
    )
    assert whole.curves < moments.curves


@pytest.mark.slow
def test_what_is_left_out_is_said_and_the_strongest_are_shown(many, tmp_path):
    report = many(42, 62, groups=61, curves=9)
    assert len(report.records) == 62
    shown = len(report.records[0]["inputs"])
    assert 1 < shown < 42
    said = " ".join(report.left_out)
    rows = "the strongest over the rows shown, by J s."
    assert f"{shown} of 42 inputs are shown of each output: {rows}" in said
    assert "60 of 62 outputs are in the maps" in said
    assert f"{len(report.groups)} of 61 groups can be chosen" in said
    assert "run/summary.parquet" in said
    summary = f"'{tmp_path}/out/run/summary.parquet'"
    names = duckdb.sql(
        f"SELECT j.input FROM {summary} j JOIN {summary} x ON j.input = x.input "
        "WHERE j.group_name IS NULL AND j.quantity = 'jacobian' AND j.statistic = 'mean_square' "
        "AND j.output = 'output 033' AND x.quantity = 'input' AND x.statistic = 'deviation' "
        f"ORDER BY sqrt(j.value) * x.value DESC LIMIT {shown}"
    ).fetchall()
    assert [report.inputs[at] for at in report.records[33]["inputs"]] == [name for (name,) in names]
    assert len(report.html()) < MOST_BYTES


@pytest.mark.slow
def test_three_hundred_outputs_of_a_thousand_inputs_are_below_ten_megabytes(
    many, tmp_path, request
):
    report = many(1000, 300, groups=3, curves=20)
    page = report.html()
    assert len(page) < MOST_BYTES
    assert len(report.records) == 300
    assert len(report.records[0]["inputs"]) >= 5
    if CHROMIUM:
        (tmp_path / "report.html").write_bytes(page)
        browser = request.getfixturevalue("browser")
        browser.open(tmp_path / "report.html")
        assert browser.complaints == []

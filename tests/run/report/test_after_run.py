"""`report.enabled`: refused without Plotly before any work; a report that fails fails no run."""

import logging

import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.forecast.forecast import Price, forecast
from hyperdiag.run.report import reading
from hyperdiag.run.report.after_run import check_report
from hyperdiag.run.report.drawing import library

from .conftest import overrides, write_rows


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path, rows=300)
    return tmp_path


def test_run_ends_with_a_report_if_asked_for(folder, compose_run, caplog):
    caplog.set_level(logging.INFO, "hyperdiag")
    derive(*compose_run(*overrides(folder)))
    assert not (folder / "out/run/report.html").exists()
    derive(*compose_run(*overrides(folder, "report.enabled=true")))  # all is done already
    page = (folder / "out/run/report.html").read_text(encoding="utf-8")
    assert "600 read: 594 derived" in page
    assert f"report: {folder}/out/run/report.html" in caplog.messages


def test_run_that_could_make_no_report_is_refused_with_all_else(folder, compose_run, monkeypatch):
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    asked = overrides(folder, "report.enabled=true", "derivatives.wrt=[spott]")
    with pytest.raises(UsageError) as refused:
        derive(*compose_run(*asked))
    first, second = refused.value.problems
    assert first == (
        "report.enabled=true needs the package plotly: pip install 'hyperdiag[report]'"
    )
    assert "spott" in second
    assert not (folder / "out").exists()
    config, _ = compose_run(*overrides(folder, "report.enabled=true"))
    with pytest.raises(UsageError, match=r"hyperdiag\[report\]"):  # a forecast foretells that
        forecast(config, Price(None, "USD"), launch_seconds=0.0)
    check_report(compose_run(*overrides(folder))[0])  # who asks for none needs none


def test_report_that_fails_leaves_the_run_published(folder, compose_run, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("password=hunter2 is no reason")

    monkeypatch.setattr(reading, "read_facts", fails)
    manifest = derive(*compose_run(*overrides(folder, "report.enabled=true")))
    assert manifest.rows.derived == 594
    assert (folder / "out/_SUCCESS").exists()
    (line,) = [text for text in caplog.messages if text.startswith("there is no report")]
    assert line.startswith("there is no report: password=")
    assert "hunter2" not in line
    assert f"hyperdiag report output.path={folder}/out tries again" in line

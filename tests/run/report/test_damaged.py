"""Files of an output that are missing or damaged: each is named, and mended as is said."""

import html
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.report import read_report
from hyperdiag.run.report.facts import LOOK
from hyperdiag.run.report.terminal import print_report

from .conftest import overrides, write_rows

SUMMARY, EXTREMES = "run/summary.parquet", "run/extremes.parquet"
QUARANTINED = "quarantine/part-0000000.parquet"


@pytest.fixture(scope="module")
def written(tmp_path_factory, compose_run):
    """The folder of an output, and what derives it (again)."""
    folder = tmp_path_factory.mktemp("damaged")
    write_rows(folder, rows=300)

    def step():
        derive(*compose_run(*overrides(folder)))

    step()
    return folder / "out", step


@pytest.fixture
def output(written):
    """The output, which is put back."""
    folder, _ = written
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder)
    kept.rename(folder)


def contents(path):
    """What may stand in place of a Parquet file."""
    whole = path.read_bytes()
    other = path.with_name("other.parquet")
    pq.write_table(pa.table({"quantity": ["value"]}), other)
    strange = other.read_bytes()
    other.unlink()
    half = len(whole) // 2
    return {
        "empty": b"",
        "cut": whole[:half],
        "overwritten": whole[:4] + bytes(half) + whole[4 + half :],
        "another": strange,
        "random": np.random.default_rng(1).bytes(999),
    }


def test_damaged_statistics_are_named_and_mended_as_is_said(output, written):
    path = output / SUMMARY
    whole = path.read_bytes()
    for what, content in contents(path).items():
        path.write_bytes(content)
        with pytest.raises(UsageError) as refused:
            read_report(str(output))
        said = str(refused.value)
        assert said.startswith(f"{path} is damaged: "), what
        assert "Delete it, and the same command as before" in said, what
        assert "hyperdiag verify" in said, what
    path.unlink()
    written[1]()
    assert path.read_bytes() == whole
    assert audit(str(output), None, 1, 1).findings == []
    assert read_report(str(output)).records


@pytest.mark.parametrize("name", [EXTREMES, QUARANTINED])
def test_damaged_rows_are_said_with_the_mend_and_the_rest_is_shown(name, output, written, capsys):
    path = output / name
    whole = path.read_bytes()
    for what, content in contents(path).items():
        path.write_bytes(content)
        report = read_report(str(output))
        assert report.records, what
        if name == EXTREMES:
            assert "extremes" not in report.records[0]
            assert report.facts.examples
            (said, *_) = (each for each in report.left_out if str(path) in each)
        else:
            assert report.records[0]["extremes"]
            assert {Path(each.file).name for each in report.facts.examples} == {"tues<day>.parquet"}
            (check,) = (each for each in report.facts.checks if str(path) in each.text)
            assert check.state == LOOK
            said = check.text
        assert said.startswith(f"{path} is damaged: "), what
        assert "Delete it, and the same command as before" in said, what
        assert said.endswith("hyperdiag verify checks the rest of the output."), what
        assert html.escape(said) in report.html().decode()
        print_report(report)
        assert said in capsys.readouterr().out
    path.unlink()
    written[1]()
    assert path.read_bytes() == whole
    assert audit(str(output), None, 1, 1).findings == []
    assert read_report(str(output)).facts.examples


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"plan": 3}'])
def test_damaged_manifest_is_named_and_mended_as_is_said(content, output, written):
    path = output / "run/manifest.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"manifest\.json is damaged: .*Delete it, and the same"):
        read_report(str(output))
    path.unlink()
    with pytest.raises(UsageError, match=r"manifest\.json is missing: the same command as before"):
        read_report(str(output))
    written[1]()
    assert read_report(str(output)).records


def test_damaged_listing_is_named_and_mended_as_is_said(output, written):
    (path,) = (output / "run").glob("listing-*.parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"listing-\w+\.parquet is damaged: .*Delete it, and the"):
        read_report(str(output))
    path.unlink()
    with pytest.raises(UsageError, match=r"listing-\w+\.parquet is missing: the same command as"):
        read_report(str(output))
    written[1]()
    assert read_report(str(output)).records


def test_missing_quarantine_file_is_named_and_mended_as_is_said(output, written):
    path = output / QUARANTINED
    whole = path.read_bytes()
    path.unlink()
    report = read_report(str(output))
    assert report.records
    (said,) = (each.text for each in report.facts.checks if each.title == "Quarantined rows")
    assert re.match(r".*part-0000000\.parquet is missing: .*derives its shard again", said)
    written[1]()
    assert path.read_bytes() == whole
    assert read_report(str(output)).facts.examples


def test_missing_statistics_are_no_statistics_that_were_not_kept(output, written, capsys):
    path = output / "run/summary.parquet"
    path.unlink()
    report = read_report(str(output))
    said = "run/summary.parquet is missing: the same command as before makes it again from the"
    page = report.html().decode()
    assert page.count(said) == 3  # among what bears on trust, and where figures would stand
    assert "kept no summaries" not in page
    print_report(report)
    printed = capsys.readouterr().out
    assert said in printed
    assert f"look at this: Statistics. {said}" in printed
    (finding,) = audit(str(output), None, 1, 1).findings
    assert finding.startswith("run/summary.parquet cannot be read")
    written[1]()
    assert read_report(str(output)).records
    assert audit(str(output), None, 1, 1).findings == []


def test_missing_extreme_rows_are_said_and_the_rest_is_shown(output, written):
    (output / "run/extremes.parquet").unlink()
    report = read_report(str(output))
    said = "run/extremes.parquet is missing: the same command as before makes it again from the"
    assert any(sentence.startswith(said) for sentence in report.left_out)
    assert report.records
    assert "extremes" not in report.records[0]
    written[1]()
    assert read_report(str(output)).records[0]["extremes"]


def test_file_that_may_not_be_read_is_not_said_to_be_damaged(output):
    path = output / "run/summary.parquet"
    path.unlink()
    path.mkdir()  # cannot be opened, by root neither
    with pytest.raises(UsageError) as refused:
        read_report(str(output))
    assert "Delete it" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_missing_plan_beside_data_is_said_with_the_mend(output):
    kept = (output / "run/plan.json").read_bytes()
    (output / "run/plan.json").unlink()
    with pytest.raises(
        UsageError, match=r"there is no run/plan\.json, though there is data: put a"
    ):
        read_report(str(output))
    (output / "run/plan.json").write_bytes(kept)
    assert read_report(str(output)).records

"""Where a report may go: it takes the place of no file of another kind, and leaves no other."""

import re
from pathlib import Path

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.messages.errors import OutputError, UsageError
from hyperdiag.run.report import write_report
from hyperdiag.run.report.destination import write_page


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("book.parquet", "give a name that ends in .html or .htm"),
        ("report", "give a name that ends in .html or .htm"),
        (".html", "give a name that ends in .html or .htm"),
        ("folder.html", "folder.html is a folder"),
        ("nowhere/report.html", "there is no folder {}/nowhere: make it"),
        ("book.parquet/report.html", "there is no folder {}/book.parquet"),
    ],
)
def test_place_that_cannot_be_a_reports_is_refused_and_stays_as_it_is(
    published, tmp_path, name, said
):
    (tmp_path / "book.parquet").write_bytes(b"rows")
    (tmp_path / "folder.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=re.escape(said.format(tmp_path))):
        write_report(str(published), f"{tmp_path}/{name}")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "book.parquet").read_bytes() == b"rows"


@pytest.mark.parametrize("name", ["a.html", "b.HTM"])
def test_report_is_the_only_file_that_is_written(published, tmp_path, name):
    (tmp_path / name).write_bytes(b"a former report")
    (tmp_path / f"{name}.part").write_bytes(b"somebody's")
    write_report(str(published), f"{tmp_path}/{name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.part"]
    assert (tmp_path / name).read_bytes().startswith(b"<!DOCTYPE html>")
    assert (tmp_path / f"{name}.part").read_bytes() == b"somebody's"


def test_page_that_cannot_take_its_place_leaves_nothing(tmp_path):
    (tmp_path / "a.html/full").mkdir(parents=True)  # made a folder after it was looked at
    with pytest.raises(OutputError, match=r"cannot write .*a\.html"):
        write_page(resolve(f"{tmp_path}/a.html"), b"page")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["a.html"]

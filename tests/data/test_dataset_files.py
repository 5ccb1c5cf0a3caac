"""Which files of a folder are data: links, circles, hidden names and odd endings."""

import logging

import pytest

from hyperdiag.data.dataset_files import find_files
from hyperdiag.messages.errors import UsageError


@pytest.fixture
def put(tmp_path):
    """Make empty files; return the folder of the dataset."""

    def made(*names):
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "in"

    return made


def _names(folder, pattern=""):
    _, infos = find_files(str(folder / pattern))
    return [info.path.removeprefix(f"{folder}/") for info in infos]


def test_folder_that_a_link_leads_to_again_is_read_once_where_it_is(put, caplog):
    caplog.set_level(logging.INFO)
    folder = put("day1/a.parquet", "day2/a.parquet", "day2/b.parquet")
    (folder / "latest").symlink_to("day2")
    (folder / "current").symlink_to("day2")  # before it by name, and of another day tomorrow
    (folder / "c.parquet").symlink_to("day1/a.parquet")
    assert _names(folder) == ["day1/a.parquet", "day2/a.parquet", "day2/b.parquet"]
    first = f"5 files (the first: {folder}/c.parquet)"
    assert f"{first} are read once, though links lead there again" in caplog.text


def test_files_outside_that_links_lead_to_are_read_once_at_the_first_path(put, tmp_path):
    folder = put("b.parquet")
    (tmp_path / "kept/on").mkdir(parents=True)
    (tmp_path / "kept/on/x.parquet").touch()
    (folder / "k2").symlink_to(tmp_path / "kept")
    (folder / "k1").symlink_to(tmp_path / "kept/on")
    (folder / "a.parquet").symlink_to(tmp_path / "kept/on/x.parquet")
    assert _names(folder) == ["a.parquet", "b.parquet"]


def test_links_in_circles_end_and_the_log_names_them(put, tmp_path, caplog):
    """Two of them in one folder: followed forty deep, they would never end."""
    caplog.set_level(logging.INFO)
    folder = put("x/a.parquet", "y/b.parquet")
    for name in ("loop1", "loop2"):
        (folder / name).symlink_to(".")
    (folder / "up").symlink_to("..")
    (folder / "x/to_y").symlink_to("../y")
    (folder / "y/to_x").symlink_to("../x")
    assert _names(folder) == ["x/a.parquet", "y/b.parquet"]
    assert f"{folder}/loop1 leads back to {folder}: not followed" in caplog.text


def test_link_alone_shows_what_a_hidden_folder_or_another_pattern_does_not(put):
    """As Kubernetes mounts a ConfigMap."""
    folder = put("..2025_01/a.parquet", "day2/b.parquet")
    (folder / "..data").symlink_to("..2025_01")
    (folder / "a.parquet").symlink_to("..data/a.parquet")
    (folder / "latest").symlink_to("day2")
    assert _names(folder) == ["a.parquet", "day2/b.parquet"]
    assert _names(folder, "l*/*.parquet") == ["latest/b.parquet"]


def test_dataset_that_is_a_link_itself_is_as_its_folder(put, tmp_path):
    folder = put("day/a.parquet")
    (folder / "b.parquet").symlink_to("day/a.parquet")
    (tmp_path / "link").symlink_to(folder)
    assert _names(tmp_path / "link") == ["day/a.parquet"]


def test_key_that_begins_with_an_underscore_is_a_key_and_endings_may_be_capitals(put):
    folder = put("_year=2025/a.parquet", "c.PARQUET", "d.Pq", "_tmp/e.parquet", ".k=1/f.parquet")
    assert _names(folder) == ["_year=2025/a.parquet", "c.PARQUET", "d.Pq"]


def test_files_that_are_passed_over_are_counted_and_the_first_is_named(put, caplog):
    caplog.set_level(logging.INFO)
    folder = put("a.parquet", "b.snappy", "_c.parquet", "parquet")
    assert _names(folder) == ["a.parquet"]
    first = f"3 files (the first: {folder}/_c.parquet)"
    assert f"{first} are taken for no data: data are *.parquet" in caplog.text
    caplog.clear()
    assert _names(folder, "*.parquet") == ["a.parquet"]
    assert f"{folder}/_c.parquet is taken for no data" in caplog.text


def test_folder_without_data_is_refused(put):
    with pytest.raises(UsageError, match="no Parquet file"):
        find_files(str(put("parquet", "_a.parquet")))

from pathlib import Path

import pytest
from pyarrow import fs

from hyperdiag.data.filesystem import (
    absolute,
    files_in,
    is_uri,
    publish,
    resolve,
    scan,
    write_whole,
)
from hyperdiag.data.output_folder import write_file
from hyperdiag.messages.errors import OutputError, UsageError
from hyperdiag.messages.masking import masked


def test_absolute_relative_and_home_paths_mean_the_same_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert absolute("a/b") == f"{tmp_path}/a/b"
    assert absolute("~/a") == f"{tmp_path}/home/a"
    assert absolute("/a") == "/a"
    assert absolute("s3://bucket/key") == "s3://bucket/key"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/a", True),
        ("file:///a", True),
        ("gs+x://a", True),
        ("/a/b", False),
        ("a:b", False),
        ("C:/a", False),
        ("/a://b", False),
    ],
)
def test_is_uri_tells_uris_from_paths(path, expected):
    assert is_uri(path) is expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://user:password@bucket/a", "s3://***@bucket/a"),
        ("s3://bucket/a?secret_key=abc/d&region=x", "s3://bucket/a?secret_key=***&region=x"),
        ("s3://b?access_key=AK&secret_key=SK", "s3://b?access_key=***&secret_key=***"),
        ("s3://b?Session_Token=abc", "s3://b?Session_Token=***"),
        ("s3://bucket/a?region=x", "s3://bucket/a?region=x"),
        ("/data/rows.parquet", "/data/rows.parquet"),
        ("/data/user@host/rows", "/data/user@host/rows"),
        ("/data/key=1/rows.parquet", "/data/key=1/rows.parquet"),
        ("s3://b/monkey=1/rows.parquet", "s3://b/monkey=1/rows.parquet"),
    ],
)
def test_masked_hides_credentials_and_nothing_else(uri, expected):
    assert masked(uri) == expected
    assert masked(masked(uri)) == expected


@pytest.mark.parametrize("password", ["p/q", "p@q", "p@q/r"])
def test_masked_hides_a_password_with_any_character(password):
    assert password not in masked(f"s3://user:{password}@bucket/a")
    assert password.split("@")[-1] not in masked(f"s3://user:{password}@bucket/a")


def test_resolve_path_and_file_uri_are_the_same_place(tmp_path):
    path = tmp_path / "a b"
    path.mkdir()
    for name in (str(path), path.as_uri()):
        place = resolve(name)
        assert place.is_local
        assert (place.path, place.exists()) == (str(path), True)
    assert not (resolve(str(path)) / "gone").exists()


def test_place_slash_joins_with_one_slash():
    assert (resolve("/") / "a" / "b").path == "/a/b"


STORE = "s3://k:s@b/out?region=us-east-1&endpoint_override=h:1&scheme=http"

AZURE = "abfs://account@h:1/container/out?enable_tls=false&"


@pytest.mark.parametrize(
    ("place", "other", "expected"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b", "/a/b/c/d", True),
        ("/a/b", "/a/bc", False),
        ("/a/b", "/a", False),
        ("/a/b", "file:///a/b/c", True),
        ("/b/out", STORE, False),
        (STORE, "/b/out", False),
        (STORE, STORE.replace("/out", "/out/data"), True),
        (STORE, STORE.replace("/out", "/out2"), False),
        # One store, whoever asks it and however often; another store.
        (STORE, STORE.replace("k:s@", "") + "&max_attempts=3", True),
        (STORE, STORE.replace("h:1", "h:2"), False),
        (AZURE + "sig=a", AZURE.replace("/out", "/out/data") + "sig=b", True),
        (AZURE + "sig=a", AZURE.replace("account@", "other@") + "sig=a", False),
        ("gs://anonymous@b/out", "gs://b/out/data", True),
        ("gs://anonymous@b/out", "gs://anonymous@b/out?endpoint_override=h:1", False),
    ],
)
def test_contains_is_true_of_what_lies_there_on_the_same_filesystem(place, other, expected):
    assert resolve(place).contains(resolve(other)) is expected


@pytest.mark.parametrize("uri", ["ftp://user:pw@host/a", "nothing://a"])
def test_resolve_unknown_scheme_is_refused_without_the_password(uri):
    with pytest.raises(UsageError, match="cannot open") as caught:
        resolve(uri)
    assert "pw" not in str(caught.value)


def test_publish_replaces_the_file_in_one_step(tmp_path):
    (tmp_path / "name").write_bytes(b"old")
    (tmp_path / "scratch").write_bytes(b"new")
    inode = (tmp_path / "scratch").stat().st_ino
    with (tmp_path / "name").open("rb") as reader:
        publish(resolve(str(tmp_path / "scratch")), resolve(str(tmp_path / "name")))
        assert reader.read() == b"old"  # who reads the old file still sees it whole
    assert (tmp_path / "name").read_bytes() == b"new"
    assert (tmp_path / "name").stat().st_ino == inode  # moved, not copied
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_write_whole_content_reads_back_and_scratch_is_gone(tmp_path):
    place, scratch = resolve(str(tmp_path / "name")), resolve(str(tmp_path / "scratch"))
    write_whole(place, b"\0 content", scratch)
    assert place.read_bytes() == b"\0 content"
    assert not scratch.exists()


def test_file_below_a_regular_file_is_an_output_error_that_names_it_and_the_mend(tmp_path):
    (tmp_path / "file").touch()
    said = r"cannot write .*file/name: .*run the same command again"
    with pytest.raises(OutputError, match=said):
        write_file(resolve(str(tmp_path / "file")), "name", b"content")
    assert Path(tmp_path / "file").read_bytes() == b""


def test_publish_on_another_filesystem_replaces_too(tmp_path):
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    scratch, place = (resolve("/")._replace(filesystem=store, path=p) for p in ("s", "n"))
    write_whole(place, b"old", scratch)
    write_whole(place, b"new", scratch)
    assert not place.is_local
    assert (tmp_path / "n").read_bytes() == b"new"
    assert not (tmp_path / "s").exists()


def test_scan_yields_what_pyarrow_lists(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(b"x" * number)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "3.bin")
    scanned = {found.base_name: found[1:] for found in scan(resolve(str(tmp_path)))}
    listed = {
        info.base_name: (info.size, info.mtime_ns) for info in files_in(resolve(str(tmp_path)))
    }
    assert scanned == listed
    assert scanned["3.bin"] == scanned["link"] == (3, (tmp_path / "3.bin").stat().st_mtime_ns)


def test_scan_passes_over_a_link_that_leads_nowhere_and_finds_nothing_in_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert list(scan(resolve(str(tmp_path)))) == []
    assert list(scan(resolve(str(tmp_path / "gone")))) == []

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray._private.runtime_env.packaging import unzip_package

from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.package import JobSpec, content_digest, packed, take_job_spec

from .texts import awkward


@settings(max_examples=200)
@given(st.lists(awkward, max_size=6), st.dictionaries(awkward, awkward, max_size=3))
def test_job_specification_arrives_as_it_was_written(tmp_path_factory, arguments, environment):
    folder = tmp_path_factory.mktemp("unpacked")
    with packed({}, JobSpec(arguments, environment)) as package, zipfile.ZipFile(package) as opened:
        opened.extractall(folder)
    assert take_job_spec(folder) == JobSpec(arguments, environment)
    assert not package.parent.exists()


def test_package_holds_files_by_their_paths_and_each_is_one_of_its_own(tmp_path):
    (tmp_path / "a.npz").write_bytes(bytes(range(256)))
    files = {"data/é b.npz": tmp_path / "a.npz"}
    contents = set()
    for _ in range(2):
        with packed(files, JobSpec(["x=1"], {})) as package:
            contents.add(package.read_bytes())
            with zipfile.ZipFile(package) as opened:
                assert opened.read("data/é b.npz") == bytes(range(256))
    assert len(contents) == 2  # a node that has kept the first has no job specification any more


def test_job_specification_is_nobody_elses_to_read_and_is_taken_once(tmp_path):
    with packed({}, JobSpec(["output.path=s3://me:hunter2@b/o"], {})) as package:
        unzip_package(str(package), str(tmp_path), False, False)  # as Ray does it on each node
    file = tmp_path / "_hyperdiag.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert take_job_spec(tmp_path).arguments == ["output.path=s3://me:hunter2@b/o"]
    assert not file.exists()
    assert (tmp_path / "_hyperdiag.py").exists()


def test_digest_is_of_names_and_content(tmp_path):
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    digests = {
        content_digest(files)
        for files in (
            {},
            {"a": tmp_path / "one"},
            {"b": tmp_path / "one"},
            {"a": tmp_path / "two"},
            {"a": tmp_path / "one", "b": tmp_path / "two"},
            {"b": tmp_path / "one", "a": tmp_path / "two"},
        )
    }
    assert len(digests) == 6


def test_file_that_went_away_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = {"w.npz": tmp_path / "w.npz"}
    with (
        pytest.raises(UsageError, match=r"cannot read .*/w\.npz: No such file"),
        packed(gone, JobSpec([], {})),
    ):
        pass
    assert not list(tmp_path.iterdir())


_KILLED = """
import os
from hyperdiag.submission.package import JobSpec, packed
with packed({}, JobSpec(["output.path=s3://me:hunter2@bucket/out"], {})) as package:
    print(package)
    os.kill(os.getpid(), 9)
"""


def test_package_of_a_killed_process_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = subprocess.run(
        [sys.executable, "-u", "-c", _KILLED],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9
    left = Path(killed.stdout.strip())
    assert left.exists()
    with packed({}, JobSpec([], {})) as package:
        assert package.exists()
        assert [path.name for path in tmp_path.iterdir()] == [package.parent.name]


def test_folder_without_a_job_specification_is_refused(tmp_path):
    with pytest.raises(UsageError, match="entrypoint of jobs that `hyperdiag submit` sends"):
        take_job_spec(tmp_path)

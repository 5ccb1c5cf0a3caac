"""Temporary folders of runs, of which killed ones leave some."""

import fcntl
import tempfile
from pathlib import Path

import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.process import temporary_folder
from hyperdiag.process.temporary_folder import TemporaryFolder


def test_folder_is_never_taken_for_abandoned_while_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lock, others = fcntl.flock, []

    def lock_late(file, operation):
        monkeypatch.setattr(temporary_folder.fcntl, "flock", lock)
        others.append(TemporaryFolder())  # another run begins, and looks for abandoned folders
        lock(file, operation)

    monkeypatch.setattr(temporary_folder.fcntl, "flock", lock_late)
    folders = [TemporaryFolder(), *others]
    assert len(others) == 1
    assert {str(path) for path in tmp_path.iterdir()} == {folder.path for folder in folders}
    for folder in folders:
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_process_that_was_killed_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = TemporaryFolder()
    killed._lock.close()  # as the kernel does
    following = TemporaryFolder()
    assert [str(path) for path in tmp_path.iterdir()] == [following.path]
    following.remove()


def test_folder_whose_path_would_be_too_long_is_made_elsewhere(tmp_path, monkeypatch):
    deep = tmp_path / ("batch-job-" * 4)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    longest = len(str(deep)) + len("/hd-12345678")
    near, far, any_length = (
        TemporaryFolder(longest),
        TemporaryFolder(longest - 1),
        TemporaryFolder(),
    )
    assert [Path(folder.path).parent for folder in (near, any_length)] == [deep, deep]
    assert Path(far.path).parent == Path("/tmp")
    far._lock.close()  # as the kernel does where a run is killed
    TemporaryFolder(longest).remove()
    assert not Path(far.path).exists()
    for folder in (near, any_length):
        folder.remove()


def test_no_place_for_a_temporary_folder_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(temporary_folder, "_SHORT_PARENTS", (str(tmp_path / "none"),))
    with pytest.raises(UsageError, match=r"too long a path.*set TMPDIR to .* at most 2 characters"):
        TemporaryFolder(14)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(UsageError, match=r"No usable temporary directory.*set TMPDIR"):
        TemporaryFolder()

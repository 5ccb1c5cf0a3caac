"""Temporary folders of runs, of which killed ones leave some."""

import fcntl

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

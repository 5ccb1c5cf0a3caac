import os
import threading

import pytest

from hyperdiag.data.atomic_file import NumberedFiles, atomic_file
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.object_store.conditional import Conflict


@pytest.fixture
def file(tmp_path):
    return atomic_file(resolve(f"{tmp_path}/current.json"))


def test_content_is_replaced_by_who_has_seen_it_alone(file):
    assert file.read() == (None, 0)
    first = file.swap(b"a", 0)
    with pytest.raises(Conflict):
        file.swap(b"b", 0)
    second = file.swap(b"c", first)
    with pytest.raises(Conflict):
        file.swap(b"d", first)
    assert file.read() == (b"c", second)


def test_numbers_that_have_come_and_gone_are_not_taken_again(file, tmp_path):
    version = stale = file.swap(b"0", 0)
    for turn in range(1, 10):
        version = file.swap(str(turn).encode(), version)
    with pytest.raises(Conflict):  # its next number is free again
        file.swap(b"late", stale)
    assert file.read() == (b"9", version)
    file.swap(b"10", version)
    assert len(list((tmp_path / "current").iterdir())) == 3


def test_file_of_a_process_that_died_in_writing_goes_when_others_have_gone_on(file, tmp_path):
    seen = file.swap(b"0", 0)
    left = next(tmp_path.rglob("*.json")).with_name(".0000000002-left")
    left.write_bytes(b"1")
    seen = file.swap(b"1", seen)
    assert left.exists()  # it may still get its name
    for turn in range(2, 5):
        seen = file.swap(b"%d" % turn, seen)
    assert not left.exists()
    assert file.read() == (b"4", seen)


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_of_many_at_once_one_succeeds_each_time(tmp_path, monkeypatch, links):
    if not links:

        def refuse(*arguments):
            raise PermissionError("no hard links")

        monkeypatch.setattr(os, "link", refuse)
    swaps, lost = [], []

    def add(count):
        mine = NumberedFiles(tmp_path / "current")
        while count:
            content, version = mine.read()
            try:
                swaps.append(
                    mine.swap(str(int(b"0" if content is None else content) + 1).encode(), version)
                )
                count -= 1
            except (Conflict, ValueError) as error:  # without links one may be read half written
                lost.append(error)

    threads = [threading.Thread(target=add, args=(25,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # A conflict may be told of a swap that was done, where the others went on at once.
    assert 100 <= int(NumberedFiles(tmp_path / "current").read()[0]) <= 100 + len(lost)
    assert len(set(swaps)) == 100

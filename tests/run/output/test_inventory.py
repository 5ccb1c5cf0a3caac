import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperdiag.data import sink
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.output_folder import JOURNAL, SCRATCH, shard_of
from hyperdiag.run.output import inventory as inventory_module
from hyperdiag.run.output import journal as journal_module
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.journal import Journal
from hyperdiag.run.output.receipt import Tally
from hyperdiag.run.plan.plan_file import load_plan
from tests.run.book import KILLED, Book


@pytest.fixture
def book(tmp_path, configure, monkeypatch):
    """Six shards in the journal's segments of two, two of them with bad rows."""
    monkeypatch.setattr(journal_module, "_SEGMENT_SHARDS", 2)
    book = Book(tmp_path, configure)
    for name in "abc":
        book.write(name, bad=name != "a")
    book.derive()
    return book


@pytest.fixture
def reads(monkeypatch):
    """The names of data files whose footers were read."""
    names, read = [], sink.read_receipt

    def counted(place):
        names.append(place.path.rpartition("/")[2])
        return read(place)

    monkeypatch.setattr(inventory_module, "read_receipt", counted)
    return names


def _opened(book):
    output = resolve(str(book.out))
    return Inventory(output, load_plan(output)), Journal(output / JOURNAL, output / SCRATCH)


def _journal(book):
    return sorted((book.out / "run/journal").iterdir())


def _data(book, shard, folder="data"):
    return book.out / folder / f"part-{shard:07d}.parquet"


def test_segments_that_hold_count_without_a_footer(book, reads):
    inventory, journal = _opened(book)
    assert inventory.take(journal) == []
    assert list(inventory.from_footers()) == []
    assert (inventory.count, inventory.shards, reads) == (6, 6, [])
    assert inventory.bad.tolist() == [False, False, True, False, True, False]


def test_tally_is_the_sum_of_the_receipts_whatever_the_way(book):
    journaled, journal = _opened(book)
    journaled.take(journal)
    read, _ = _opened(book)
    total = Tally()
    for receipt in read.from_footers():
        assert read.add(receipt)
        assert not read.add(receipt)
        total.add(receipt.tally)
    mixed, journal = _opened(book)
    _journal(book)[1].unlink()
    mixed.take(journal)
    for receipt in mixed.from_footers():
        mixed.add(receipt)
    assert total == read.tally == journaled.tally == mixed.tally
    assert total.read == 9
    assert read.count == journaled.count == mixed.count == 6


def _edit(path, harm):
    content = json.loads(path.read_text())
    harm(content["entries"])
    path.write_text(json.dumps(content))


def _set(column, value):
    def harm(entries):
        entries[0][column] = value

    return harm


HARMS = {
    "file gone": lambda book, path: _data(book, 2).unlink(),
    "other size": lambda book, path: _edit(path, _set(2, 1)),
    "other time": lambda book, path: os.utime(_data(book, 2), ns=(0, 1)),
    "other key": lambda book, path: _edit(path, _set(1, 1)),
    "quarantine gone": lambda book, path: _data(book, 2, "quarantine").unlink(),
    "shard of no plan": lambda book, path: _edit(path, _set(0, 10**9)),
    "negative shard": lambda book, path: _edit(path, _set(0, -1)),
    "shard twice in it": lambda book, path: _edit(path, lambda found: found.append(found[0])),
    "damaged": lambda book, path: path.write_text("{"),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("harm", HARMS)
def test_segment_that_does_not_hold_is_named_and_its_footers_are_read(harm, book, reads):
    HARMS[harm](book, _journal(book)[1])
    inventory, journal = _opened(book)
    assert inventory.take(journal) == ["00000001.json"]
    assert inventory.count == 4
    found = [receipt.shard for receipt in inventory.from_footers()]
    lost = harm in ("file gone", "quarantine gone")
    assert found == ([3] if lost else [2, 3])
    names = {_data(book, shard).name for shard in (2, 3)}
    assert set(reads) == names - ({_data(book, 2).name} if harm == "file gone" else set())


@pytest.mark.one_in(4)
@pytest.mark.parametrize("harm", HARMS)
def test_run_after_harm_to_a_segment_leaves_a_journal_that_holds(harm, book, reads):
    HARMS[harm](book, _journal(book)[1])
    book.derive()
    book.check()
    reads.clear()
    inventory, journal = _opened(book)
    assert inventory.take(journal) == []
    assert inventory.count == 6
    assert reads == []


def test_shard_in_two_segments_counts_once(book, reads):
    first, *_ = _journal(book)
    (first.parent / "00000009.json").write_bytes(first.read_bytes())
    inventory, journal = _opened(book)
    assert inventory.take(journal) == ["00000009.json"]
    assert (inventory.count, inventory.tally.read) == (6, 9)
    assert list(inventory.from_footers()) == []


def test_files_of_no_shard_are_unknown(book):
    whole = _data(book, 0).read_bytes()
    for name in ("part-0000006.parquet", "part-00000001.parquet", "part-x.parquet"):
        (book.out / "data" / name).write_bytes(whole)
    (book.out / "quarantine/notes.txt").write_text("")
    inventory, journal = _opened(book)
    assert inventory.take(journal) == []
    assert inventory.count == 6
    assert sorted(inventory.files.unknown_files) == [
        *("data/part-00000001.parquet", "data/part-0000006.parquet", "data/part-x.parquet"),
        "quarantine/notes.txt",
    ]


def test_file_of_a_shard_that_is_no_longer_planned_is_unknown(book):
    old = _data(book, 2).read_bytes()
    book.write("b")
    book.update()
    assert _opened(book)[0].files.unknown_files == []
    _data(book, 2).write_bytes(old)
    assert _opened(book)[0].files.unknown_files == ["data/part-0000002.parquet"]


@pytest.mark.parametrize(
    ("name", "shard"),
    [
        *(("part-0000000.parquet", 0), ("part-1234567.parquet", 1234567)),
        *(("part-12345678.parquet", 12345678), ("part-00000001.parquet", -1)),
        *(("part-000001.parquet", -1), ("part-0000001.parquet.tmp", -1), ("_SUCCESS", -1)),
    ],
)
def test_shard_of_is_the_inverse_of_its_file_name(name, shard):
    assert shard_of(name) == shard


def test_resume_after_a_kill_reads_only_footers_that_the_journal_lacks(tmp_path, configure, reads):
    book = Book(tmp_path, configure)
    book.write("a", 12)
    small = "from hyperdiag.run.output import journal; journal._SEGMENT_SHARDS = 2\n"
    killed = subprocess.run(
        [sys.executable, "-c", small + KILLED, "work:5", *book.overrides()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    assert len(_journal(book)) == 2
    book.derive()
    assert reads == ["part-0000004.parquet"]
    book.check()
    reads.clear()
    book.derive()
    assert reads == []

import json

import numpy as np
import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.run.output import journal as journal_module
from hyperdiag.run.output.journal import Journal
from hyperdiag.run.output.receipt import Receipt, Tally


@pytest.fixture
def journal(tmp_path):
    """Return a function that opens the journal of one folder, as each run does."""
    for name in ("journal", "scratch"):
        (tmp_path / name).mkdir()
    return lambda: Journal(resolve(str(tmp_path / "journal")), resolve(str(tmp_path / "scratch")))


def _receipt(shard, bad=0):
    tally = Tally(10, 10 - bad, ranges={"value": [[-1.0 * shard], [1.0 * shard]]}, flat=[shard])
    tally.quarantined.update({"nan": bad} if bad else {})
    return Receipt(shard, tally, stamp=(1000 + shard, 2**60 + shard))


def _write(journal, shards):
    for shard in shards:
        journal.add(_receipt(shard, bad=shard % 2), f"{2**63 + shard:016x}")
    journal.flush()


def test_segments_hold_what_was_added(journal):
    _write(journal(), range(3))
    ((name, segment),) = journal().segments()
    assert name == "00000000.json"
    assert segment.entries.tolist() == [
        (n, 2**63 + n, 1000 + n, 2**60 + n, bool(n % 2)) for n in range(3)
    ]
    total = Tally()
    for shard in range(3):
        total.add(_receipt(shard, bad=shard % 2).tally)
    assert segment.tally == total


def test_segment_is_written_when_it_is_full_or_old(journal, monkeypatch):
    monkeypatch.setattr(journal_module, "_SEGMENT_SHARDS", 2)
    written = journal()
    for shard in range(5):
        written.add(_receipt(shard), "0")
    assert [len(s.entries) for _, s in journal().segments()] == [2, 2]
    monkeypatch.setattr(journal_module, "_SEGMENT_SECONDS", 0.0)
    written.add(_receipt(5), "0")
    assert [len(s.entries) for _, s in journal().segments()] == [2, 2, 2]


def test_nothing_added_writes_nothing(journal):
    journal().flush()
    assert list(journal().segments()) == []


def test_later_run_writes_over_no_segment(journal):
    _write(journal(), [0])
    again = journal()
    assert len(list(again.segments())) == 1
    _write(again, [1])
    assert [segment.entries["shard"].tolist() for _, segment in journal().segments()] == [[0], [1]]
    again.remove("00000000.json")
    assert [name for name, _ in journal().segments()] == ["00000001.json"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\xff\xfe",
        lambda content: b"[]",
        lambda content: b"{}",
        lambda content: content.replace(b'"read"', b'"raed"'),
        lambda content: content.replace(b'"entries":[[0', b'"entries":[["zero"'),
        lambda content: content.replace(b'"entries":[[0', b'"entries":[[null'),
        lambda content: content.replace(b'"entries":[[0', b'"entries":[[1e99'),
        lambda content: content.replace(b'"entries":[[0', b'"entries":[[99999999999999999999'),
        lambda content: content.replace(b'"entries":[[0,', b'"entries":[['),
        lambda content: content.replace(b'"entries":[[', b'"entries":[7,['),
    ],
)
def test_damaged_segment_is_none(journal, tmp_path, harm):
    _write(journal(), [0, 1])
    path = tmp_path / "journal/00000000.json"
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    assert path.read_bytes() != whole
    assert list(journal().segments()) == [("00000000.json", None)]


def test_other_files_in_the_folder_are_no_segments(journal, tmp_path):
    (tmp_path / "journal/notes.json").write_text(json.dumps({"mine": True}))
    (tmp_path / "journal/00000000.json.bak").write_text("")
    _write(journal(), [4])
    ((name, segment),) = journal().segments()
    assert name == "00000000.json"
    assert np.array_equal(segment.entries["shard"], [4])

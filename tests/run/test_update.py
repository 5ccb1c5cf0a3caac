"""Updates: input files come, change and go, and the output follows."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.workers.worker import Worker

from .book import Book, changes, check_against_fresh, shown, stamps


def _lengthen(book):
    book.write("f", 9)


def _shorten(book):
    book.write("f", 1)


def _rewrite(book):
    size = (book.folder / "f.parquet").stat().st_size
    book.write("f", 3, bad=1)
    assert (book.folder / "f.parquet").stat().st_size == size


CHANGES = {
    "new before": lambda book: book.write("a"),
    "new between": lambda book: book.write("d", 7),
    "new after": lambda book: book.write("z"),
    "without rows": lambda book: book.write("d", 0),
    "longer": _lengthen,
    "shorter": _shorten,
    "other rows, same size": _rewrite,
    "other time": lambda book: book.touch("f"),
    "removed": lambda book: book.remove("f"),
    "first removed": lambda book: book.remove("c"),
    "last removed": lambda book: book.remove("i"),
    "all at once": changes,
}


@pytest.mark.one_in(16)
@pytest.mark.parametrize("change", CHANGES)
def test_update_takes_over_changes_and_leaves_other_shards_alone(change, book, tmp_path, configure):
    shards, before = book.shards(), stamps(book.out / "data")
    unchanged = {name: rows for name, rows in book.files.items() if name in ("c", "f", "i")}
    times = {path.name: path.stat().st_mtime_ns for path in book.folder.iterdir()}
    CHANGES[change](book)
    book.update()
    same = [
        name
        for name in unchanged
        if (path := book.folder / f"{name}.parquet").exists()
        and path.stat().st_mtime_ns == times[path.name]
    ]
    after = stamps(book.out / "data")
    kept = {key: shard for key, shard in shards.items() if key[0] in same}
    assert kept.items() <= book.shards().items()
    for shard in kept.values():
        name = f"part-{shard:07d}.parquet"
        assert before[name] == after[name]
    new = {shard for key, shard in book.shards().items() if key[0] not in same}
    assert new.isdisjoint(shards.values())
    check_against_fresh(book, tmp_path, configure)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("mode", ["update", "resume"])
def test_update_of_what_did_not_change_touches_nothing(book, mode):
    changes(book)
    manifest = book.update()
    before = shown(book)
    assert book.derive(f"output.mode={mode}") == manifest
    assert shown(book) == before
    book.check()


def test_first_run_in_update_mode_fills_a_new_folder(tmp_path, configure):
    book = Book(tmp_path, configure)
    book.write("a")
    book.update()
    assert book.shards() == {("a", 0): 0, ("a", 2): 1}
    check_against_fresh(book, tmp_path, configure)


def test_update_shows_nothing_before_it_is_published(book, monkeypatch):
    before, seen = shown(book), []
    derive, publish = Worker.derive, Ledger.publish

    def watched(self, shard):
        receipt = derive(self, shard)
        seen.append(shown(book))
        return receipt

    def watched_publish(self, manifest):
        seen.append(shown(book))
        publish(self, manifest)

    monkeypatch.setattr(Worker, "derive", watched)
    monkeypatch.setattr(Ledger, "publish", watched_publish)
    changes(book)
    book.update()
    assert len(seen) == 12
    assert all(shown == before for shown in seen)
    assert shown(book) != before


def test_update_with_other_settings_is_refused_naming_them(book):
    before = shown(book)
    book.write("a")
    with pytest.raises(UsageError, match=r"derivatives\.dtype was \"float32\", now is \"float64\""):
        book.update("derivatives.dtype=float64")
    assert shown(book) == before


def test_update_with_a_limit_is_refused(book):
    with pytest.raises(UsageError, match=r"dataset\.limit and output\.mode=update exclude"):
        book.update("dataset.limit=3")


def test_resume_of_changed_inputs_is_refused_naming_them_and_update(book):
    before = shown(book)
    changes(book)
    with pytest.raises(UsageError) as refused:
        book.derive()
    text = str(refused.value)
    for part in (
        *("a.parquet and 2 more was added", "i.parquet was removed", "c.parquet was changed"),
        "take over the changed files with output.mode=update",
    ):
        assert part in text
    assert shown(book) == before


@pytest.mark.slow
def test_sizes_of_an_earlier_plan_are_kept_where_none_are_configured(book):
    """A longer file would make larger batches in a new folder."""
    sizes = ("dataset.shard_rows=null", "derivatives.batch=null")
    book.derive("output.mode=overwrite", *sizes)
    book.write("z", 40)
    with pytest.raises(UsageError, match=r"holds a run with another plan: input file.*=update"):
        book.derive(*sizes)
    before = book.shards()
    book.update(*sizes)
    assert before.items() <= book.shards().items()
    book.derive(*sizes)
    book.check()


def test_new_first_file_with_its_columns_in_another_order_is_taken(book):
    book.write("a")
    path = book.folder / "a.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).select(["b", "number", "a"]), path)
    book.update()
    book.check()


@pytest.mark.slow
def test_new_file_with_other_columns_that_nobody_uses_is_taken(book):
    only = "output.columns=[number]"
    book.derive("output.mode=overwrite", only)
    before = book.shards()
    book.write("z")
    path = book.folder / "z.parquet"
    table = pq.read_table(path, partitioning=None)
    table = table.set_column(0, "number", table["number"].cast("i4"))
    pq.write_table(table.append_column("new", table["a"]), path)
    book.update(only)
    assert before.items() <= book.shards().items()
    book.check()


def test_resume_with_other_columns_names_them(book):
    for path in book.folder.glob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        pq.write_table(table.set_column(0, "number", table["number"].cast("f8")), path)
    with pytest.raises(UsageError, match=r'columns\.number was "int64", now is "double"'):
        book.update()


def test_quarantine_of_replaced_and_removed_files_goes(book):
    book.write("i", bad=1)
    book.update()
    assert len(list((book.out / "quarantine").iterdir())) == 2
    book.write("f")
    book.remove("i")
    book.update()
    assert list((book.out / "quarantine").iterdir()) == []
    book.check()


def test_file_that_became_bad_goes_where_such_files_are_left_out(book):
    before = shown(book)
    (book.folder / "f.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match=r"f\.parquet: .*on_bad_file=skip"):
        book.update()
    assert shown(book) == before
    del book.files["f"]
    manifest = book.update("dataset.on_bad_file=skip")
    assert [Path(file.path).name for file in manifest.bad_files] == ["f.parquet"]
    book.check()
    book.write("f")
    book.update("dataset.on_bad_file=skip")
    book.check()


@pytest.mark.slow
def test_bad_files_that_come_and_go_are_told_though_nothing_is_left_to_derive(book, caplog):
    def follow(mode):
        """Return the bad files that the manifest names, having held all else against it."""
        caplog.clear()
        manifest = book.derive(f"output.mode={mode}", "dataset.on_bad_file=skip")
        written = json.loads((book.out / "run/manifest.json").read_text())
        assert manifest.to_json() == written
        said = [f"left out: {file.path}: {file.reason}" for file in manifest.bad_files]
        assert [w for w in manifest.warnings if "left out" in w] == said
        more = [f"left out: {len(said) - 8} more, which run/manifest.json names"]
        warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert warned == said[:8] + (more if len(said) > 8 else [])
        return [Path(file.path).stem for file in manifest.bad_files]

    before = stamps(book.out / "data")
    (book.folder / "j.parquet").write_bytes(b"PAR1 and no more")
    assert follow("update") == ["j"]
    (book.folder / "k.parquet").write_bytes(b"")
    assert follow("resume") == ["j", "k"]
    again = shown(book)
    assert follow("resume") == ["j", "k"]
    assert shown(book) == again
    for number in range(10):
        (book.folder / f"k{number}.parquet").write_bytes(b"")
    assert len(follow("update")) == 12
    for path in [*book.folder.glob("j*"), *book.folder.glob("k*")]:
        path.unlink()
    assert follow("resume") == []
    assert stamps(book.out / "data") == before
    book.check()

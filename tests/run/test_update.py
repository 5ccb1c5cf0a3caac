import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.run.ledger import Ledger
from pipeline.run.worker import Worker

from .book import Book, Died, Fragile


@pytest.fixture
def book(tmp_path, configure):
    """Three files, derived."""
    book = Book(tmp_path, configure)
    for name in ("c", "f", "i"):
        book.write(name, bad=name == "f")
    book.derive()
    return book


def _changes(book):
    """Let files come (before, between and after the others), change and go."""
    for name in ("a", "d", "z"):
        book.write(name, 5, bad=name == "d")
    book.write("c", 4)
    book.remove("i")


def _stamps(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _shown(book):
    """What a reader of the output sees: times, inodes and bytes."""
    stamps = {
        name: stamp
        for name, stamp in _stamps(book.out).items()
        if name.startswith(("data/", "quarantine/")) or name in ("_SUCCESS", "run/manifest.json")
    }
    return stamps, {name: (book.out / name).read_bytes() for name in stamps}


def _check_against_fresh(book, tmp_path, configure):
    book.check()
    fresh = Book(tmp_path, configure)
    fresh.out = tmp_path / "fresh"
    fresh.derive("output.mode=overwrite")
    assert book.content() == fresh.content()


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
    "all at once": _changes,
}


@pytest.mark.parametrize("change", CHANGES)
def test_update_takes_over_changes_and_leaves_other_shards_alone(change, book, tmp_path, configure):
    shards, before = book.shards(), _stamps(book.out / "data")
    unchanged = {name: rows for name, rows in book.files.items() if name in ("c", "f", "i")}
    stamps = {path.name: path.stat().st_mtime_ns for path in book.folder.iterdir()}
    CHANGES[change](book)
    book.update()
    same = [
        name
        for name in unchanged
        if (path := book.folder / f"{name}.parquet").exists()
        and path.stat().st_mtime_ns == stamps[path.name]
    ]
    after = _stamps(book.out / "data")
    kept = {key: shard for key, shard in shards.items() if key[0] in same}
    assert kept.items() <= book.shards().items()
    for shard in kept.values():
        name = f"part-{shard:07d}.parquet"
        assert before[name] == after[name]
    new = {shard for key, shard in book.shards().items() if key[0] not in same}
    assert new.isdisjoint(shards.values())
    _check_against_fresh(book, tmp_path, configure)


@pytest.mark.parametrize("mode", ["update", "resume"])
def test_update_of_what_did_not_change_touches_nothing(book, mode):
    _changes(book)
    manifest = book.update()
    before = _shown(book)
    assert book.derive(f"output.mode={mode}") == manifest
    assert _shown(book) == before
    book.check()


def test_first_run_in_update_mode_fills_a_new_folder(tmp_path, configure):
    book = Book(tmp_path, configure)
    book.write("a")
    book.update()
    assert book.shards() == {("a", 0): 0, ("a", 2): 1}
    _check_against_fresh(book, tmp_path, configure)


def test_update_shows_nothing_before_it_is_published(book, monkeypatch):
    before, seen = _shown(book), []
    derive, publish = Worker.derive, Ledger.publish

    def watched(self, shard):
        receipt = derive(self, shard)
        seen.append(_shown(book))
        return receipt

    def watched_publish(self, manifest):
        seen.append(_shown(book))
        publish(self, manifest)

    monkeypatch.setattr(Worker, "derive", watched)
    monkeypatch.setattr(Ledger, "publish", watched_publish)
    _changes(book)
    book.update()
    assert len(seen) == 12
    assert all(shown == before for shown in seen)
    assert _shown(book) != before


def _die_after(monkeypatch, shards):
    """Let the run die in place of the next shard."""
    left, derive = count(), Worker.derive

    def dies(self, shard):
        if next(left) == shards:
            raise Died
        return derive(self, shard)

    monkeypatch.setattr(Worker, "derive", dies)


def test_update_killed_in_its_work_does_only_the_rest(book, tmp_path, configure, monkeypatch):
    before = _shown(book)
    _changes(book)
    with monkeypatch.context() as patch:
        _die_after(patch, 4)
        with pytest.raises(Died):
            book.update()
    assert _shown(book) == before
    done = _stamps(book.out / "run/staged/data")
    assert len(done) == 4
    book.update()
    after = _stamps(book.out / "data")
    assert done.items() <= after.items()
    _check_against_fresh(book, tmp_path, configure)


def test_inputs_that_change_again_after_a_kill_are_taken_as_they_are(
    book, tmp_path, configure, monkeypatch
):
    _changes(book)
    with monkeypatch.context() as patch:
        _die_after(patch, 9)
        with pytest.raises(Died):
            book.update()
    staged = _stamps(book.out / "run/staged/data")
    book.write("a", 2)
    book.write("b", 3)
    book.remove("z")
    book.write("i", 3)
    book.update()
    # What was done of files that are as they were then is not done again.
    kept = {
        f"part-{shard:07d}.parquet" for (file, _), shard in book.shards().items() if file in "cd"
    }
    assert len(kept) == 5
    assert {name: staged[name] for name in kept}.items() <= _stamps(book.out / "data").items()
    _check_against_fresh(book, tmp_path, configure)


@pytest.mark.parametrize("mode", ["update", "resume"])
def test_killed_update_whose_inputs_are_as_before_again_is_forgotten(book, mode, monkeypatch):
    before, kept = _shown(book), book.folder.with_name("kept")
    shutil.copytree(book.folder, kept, copy_function=shutil.copy2)
    files = dict(book.files)
    _changes(book)
    with monkeypatch.context() as patch:
        _die_after(patch, 5)
        with pytest.raises(Died):
            book.update()
    shutil.rmtree(book.folder)
    kept.rename(book.folder)
    book.files = files
    book.derive(f"output.mode={mode}")
    assert _shown(book) == before
    book.check()


@pytest.mark.parametrize("mode", ["update", "resume"])
@pytest.mark.parametrize("dies", ["working", "publishing"])
def test_shard_that_a_killed_update_mended_is_not_taken_for_published(
    book, mode, dies, monkeypatch
):
    for name in ("part-0000000.parquet", "part-0000001.parquet"):
        (book.out / "data" / name).unlink()
    with monkeypatch.context() as patch:
        if dies == "working":
            _die_after(patch, 1)
        else:
            Fragile(patch, 1)
        with pytest.raises(Died):
            book.update()
    book.derive(f"output.mode={mode}")
    book.check()


def test_update_that_dies_at_any_step_of_publishing_is_completed(
    book, tmp_path, configure, monkeypatch
):
    _changes(book)
    book.touch("f")
    with monkeypatch.context() as patch:
        Fragile(patch, 1)
        with pytest.raises(Died):
            book.update()
    worked = book.out.rename(tmp_path / "worked")
    contents = []
    for step in count(1):
        shutil.rmtree(book.out, ignore_errors=True)
        shutil.copytree(worked, book.out, copy_function=shutil.copy2)
        with monkeypatch.context() as patch:
            fragile = Fragile(patch, step)
            try:
                book.update()
            except Died:
                assert not (book.out / "_SUCCESS").exists() or step == 1
            else:
                break
        book.update()
        book.check()
        contents.append(book.content())
    assert fragile.operations == step - 1 > 15
    _check_against_fresh(book, tmp_path, configure)
    assert all(content == book.content() for content in contents)


@pytest.mark.parametrize("step", [3, 9, 14])
def test_update_that_died_while_publishing_takes_inputs_that_changed_again(
    step, book, tmp_path, configure, monkeypatch
):
    _changes(book)
    with monkeypatch.context() as patch:
        Fragile(patch, step)
        with pytest.raises(Died):
            book.update()
    book.write("a", 2)
    book.remove("d")
    book.touch("f")
    book.update()
    _check_against_fresh(book, tmp_path, configure)


KILLED = """
import os, signal, sys
from jobs.derive import main
from pipeline.run import ledger, worker

def deadly(owner, name, survived):
    original = getattr(owner, name)
    def dies(*arguments):
        nonlocal survived
        survived -= 1
        if survived < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    setattr(owner, name, dies)

where, survived = sys.argv[1].split(":")
deadly({"work": worker.Worker, "publish": ledger.Ledger}[where],
       {"work": "derive", "publish": "_freeze"}[where], int(survived))
sys.argv[1:] = sys.argv[2:]
main()
"""


@pytest.mark.parametrize("where", ["work:5", "publish:1"])
def test_update_killed_by_the_kernel_is_completed(where, book, tmp_path, configure, monkeypatch):
    _changes(book)
    overrides = []
    with monkeypatch.context() as patch:
        patch.setattr(book, "_configure", lambda *given: overrides.extend(given))
        book.configured("output.mode=update")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, where, *overrides],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    book.update()
    _check_against_fresh(book, tmp_path, configure)


def test_update_with_other_settings_is_refused_naming_them(book):
    before = _shown(book)
    book.write("a")
    with pytest.raises(UsageError, match=r"derivatives\.dtype was \"float32\", now is \"float64\""):
        book.update("derivatives.dtype=float64")
    assert _shown(book) == before


def test_update_with_a_limit_is_refused(book):
    with pytest.raises(UsageError, match=r"dataset\.limit and output\.mode=update exclude"):
        book.update("dataset.limit=3")


def test_resume_of_changed_inputs_is_refused_naming_them_and_update(book):
    before = _shown(book)
    _changes(book)
    with pytest.raises(UsageError) as refused:
        book.derive()
    text = str(refused.value)
    for part in (
        *("a.parquet and 2 more was added", "i.parquet was removed", "c.parquet was changed"),
        "take over the changed files with output.mode=update",
    ):
        assert part in text
    assert _shown(book) == before


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
    before = _shown(book)
    (book.folder / "f.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match=r"f\.parquet: .*on_bad_file=skip"):
        book.update()
    assert _shown(book) == before
    del book.files["f"]
    manifest = book.update("dataset.on_bad_file=skip")
    assert [Path(file["path"]).name for file in manifest["bad_files"]] == ["f.parquet"]
    book.check()
    book.write("f")
    book.update("dataset.on_bad_file=skip")
    book.check()


NAMES = st.sampled_from("abcd")
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.integers(0, 5), st.integers(0, 1)),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("touch"), NAMES),
    st.tuples(st.just("die working"), st.integers(0, 3)),
    st.tuples(st.just("die publishing"), st.integers(1, 20)),
    st.tuples(st.just("update")),
)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(course=st.lists(STEPS, min_size=3, max_size=7))
def test_output_follows_whatever_becomes_of_its_files(course, tmp_path_factory, configure):
    book = Book(tmp_path_factory.mktemp("book"), configure)
    book.write("m")  # never touched: a dataset without rows is refused
    for step, *how in (*course, ("update",)):
        if step == "write":
            book.write(how[0], how[1], min(how[1], how[2]))
        elif step in ("remove", "touch"):
            if how[0] in book.files:
                getattr(book, step)(how[0])
        else:
            with pytest.MonkeyPatch.context() as patch:
                if step == "die working":
                    _die_after(patch, how[0])
                elif step == "die publishing":
                    Fragile(patch, how[0])
                try:
                    book.update()
                except Died:
                    continue
            book.check()

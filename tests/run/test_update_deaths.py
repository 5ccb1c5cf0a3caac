"""Updates that are killed, at work or while they publish, and are completed by the next run."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import chain, count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperdiag

from .book import (
    KILLED,
    Book,
    Died,
    Fragile,
    changes,
    check_against_fresh,
    die_after,
    shown,
    stamps,
)


@pytest.mark.slow
def test_update_killed_in_its_work_does_only_the_rest(book, tmp_path, configure, monkeypatch):
    before = shown(book)
    changes(book)
    with monkeypatch.context() as patch:
        die_after(patch, 4)
        with pytest.raises(Died):
            book.update()
    assert shown(book) == before
    done = stamps(book.out / "run/staged/data")
    assert len(done) == 4
    book.update()
    after = stamps(book.out / "data")
    assert done.items() <= after.items()
    check_against_fresh(book, tmp_path, configure)


@pytest.mark.slow
def test_inputs_that_change_again_after_a_kill_are_taken_as_they_are(
    book, tmp_path, configure, monkeypatch
):
    changes(book)
    with monkeypatch.context() as patch:
        die_after(patch, 9)
        with pytest.raises(Died):
            book.update()
    staged = stamps(book.out / "run/staged/data")
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
    assert {name: staged[name] for name in kept}.items() <= stamps(book.out / "data").items()
    check_against_fresh(book, tmp_path, configure)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("mode", ["update", "resume"])
def test_killed_update_whose_inputs_are_as_before_again_is_forgotten(book, mode, monkeypatch):
    before, kept = shown(book), book.folder.with_name("kept")
    shutil.copytree(book.folder, kept, copy_function=shutil.copy2)
    files = dict(book.files)
    changes(book)
    with monkeypatch.context() as patch:
        die_after(patch, 5)
        with pytest.raises(Died):
            book.update()
    shutil.rmtree(book.folder)
    kept.rename(book.folder)
    book.files = files
    book.derive(f"output.mode={mode}")
    assert shown(book) == before
    book.check()


@pytest.mark.one_in(16)
@pytest.mark.parametrize("mode", ["update", "resume"])
@pytest.mark.parametrize("dies", ["working", "publishing"])
def test_shard_that_a_killed_update_mended_is_not_taken_for_published(
    book, mode, dies, monkeypatch
):
    for name in ("part-0000000.parquet", "part-0000001.parquet"):
        (book.out / "data" / name).unlink()
    with monkeypatch.context() as patch:
        if dies == "working":
            die_after(patch, 1)
        else:
            Fragile(patch, 1)
        with pytest.raises(Died):
            book.update()
    book.derive(f"output.mode={mode}")
    book.check()


def _numbers(book):
    """The rows that a reader sees, by their numbers."""
    return sorted(hyperdiag.read(str(book.out), ["number"])["number"].to_pylist())


@pytest.mark.slow
def test_update_that_dies_at_any_step_of_publishing_is_completed(
    book, tmp_path, configure, monkeypatch
):
    before = _numbers(book)
    # Few, since each step is tried: files that come, with bad rows, that change and that go.
    book.write("a", 2)
    book.write("d", 3, bad=1)
    book.write("c", 2)
    book.touch("f")
    book.remove("i")
    with monkeypatch.context() as patch:
        Fragile(patch, 1)
        with pytest.raises(Died):
            book.update()
    after = sorted(set(chain.from_iterable(book.files.values())) - book.bad)
    assert _numbers(book) == before != after
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
                # What readers see is one publication, before the one step or after it.
                assert _numbers(book) in (before, after)
                if (book.out / "_SUCCESS").exists():  # for those who read the folder as it is
                    plain = pq.read_table(book.out / "data", columns=["number"])
                    assert sorted(plain["number"].to_pylist()) in (before, after)
            else:
                break
        book.update()
        book.check()
        contents.append(book.content())
    assert fragile.operations == step - 1 > 15
    check_against_fresh(book, tmp_path, configure)
    assert all(content == book.content() for content in contents)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 9, 14])
def test_update_that_died_while_publishing_takes_inputs_that_changed_again(
    step, book, tmp_path, configure, monkeypatch
):
    changes(book)
    with monkeypatch.context() as patch:
        Fragile(patch, step)
        with pytest.raises(Died):
            book.update()
    book.write("a", 2)
    book.remove("d")
    book.touch("f")
    book.update()
    check_against_fresh(book, tmp_path, configure)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("where", ["work:5", "publish:1"])
def test_update_killed_by_the_kernel_is_completed(where, book, tmp_path, configure):
    changes(book)
    overrides = book.overrides("output.mode=update")
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
    check_against_fresh(book, tmp_path, configure)


NAMES = st.sampled_from("abcd")
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.integers(0, 5), st.integers(0, 1)),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("touch"), NAMES),
    st.tuples(st.just("die working"), st.integers(0, 3)),
    st.tuples(st.just("die publishing"), st.integers(1, 20)),
    st.tuples(st.just("update")),
)


@pytest.mark.slow
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
                    die_after(patch, how[0])
                elif step == "die publishing":
                    Fragile(patch, how[0])
                try:
                    book.update()
                except Died:
                    continue
            book.check()

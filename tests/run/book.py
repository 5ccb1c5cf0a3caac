"""A folder of Parquet files that come, change and go, and the output that follows them."""

import json
import os
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place, resolve
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.output import publication
from hyperdiag.run.output.lease import Lease
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.plan.plan_file import load_plan
from hyperdiag.run.workers.worker import Worker

SHARD_ROWS = 2

# `derive` in a process that the kernel ends when a step is taken once too often.
KILLED = """
import os, signal, sys
from hyperdiag.jobs.derive import main
from hyperdiag.run.output import publication
from hyperdiag.run.workers import worker

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
deadly({"work": worker.Worker, "publish": publication}[where],
       {"work": "derive", "publish": "_copy"}[where], int(survived))
sys.argv[1:] = sys.argv[2:]
main()
"""


class Died(BaseException):
    """What a run that is killed does not survive."""


class Book:
    """Input files of numbered rows; no number comes twice, so that a row tells its file's version.

    Attributes:
        files: {name: numbers of its rows}.
        bad: the numbers of rows that cannot be derived.
    """

    def __init__(self, folder, configure):
        self.folder, self.out = folder / "in", folder / "out"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configure, self._configured = configure, {}
        self._numbers = count()
        self.files, self.bad = {}, set()

    def write(self, name, rows=3, bad=0):
        """Write a file, the first rows of which are bad."""
        numbers = [next(self._numbers) for _ in range(rows)]
        values = [None] * bad + [0.5 * number for number in numbers[bad:]]
        table = {"number": pa.array(numbers, pa.int64()), "a": values, "b": [1.0] * rows}
        table = pa.table(table, pa.schema({"number": "i8", "a": "f8", "b": "f8"}))
        pq.write_table(
            table, self.folder / f"{name}.parquet", row_group_size=SHARD_ROWS, compression="none"
        )
        self.files[name] = numbers
        self.bad |= set(numbers[:bad])

    def remove(self, name):
        (self.folder / f"{name}.parquet").unlink()
        del self.files[name]

    def touch(self, name):
        """Let a file be of another time."""
        path = self.folder / f"{name}.parquet"
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))

    def configured(self, *overrides):
        """Return the configuration of a run; composing the same again and again takes its time."""
        overrides = self.overrides(*overrides)
        if overrides not in self._configured:
            self._configured[overrides] = self._configure(*overrides)
        return self._configured[overrides]

    def overrides(self, *overrides):
        return (
            *("network=python", "network.target=tests.run.networks:rectified"),
            *("network.inputs=[a,b]", "network.outputs=[u,v]", "cluster=inline"),
            *("dataset=parquet", f"dataset.path={self.folder}", f"dataset.shard_rows={SHARD_ROWS}"),
            *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.batch=2"),
            *("derivatives.verify_rows=0", "limits.max_bad_fraction=1.0"),
            "network.ranges={a: [0, 1000], b: [0, 2]}",  # and not what is in the first files
            *(f"output.path={self.out}", *overrides),
        )

    def derive(self, *overrides):
        return derive(*self.configured(*overrides))

    def update(self, *overrides):
        return self.derive("output.mode=update", *overrides)

    def shards(self):
        """Return {(file, first row): shard id} of the plan in the output."""
        plan = load_plan(resolve(str(self.out)))
        return {(s.file.path.rpartition("/")[2][:-8], s.first_row): s.id for s in plan.shards()}

    def check(self):
        """Check that the output is whole, and holds each row of the files as they are once."""
        output = resolve(str(self.out))
        plan = load_plan(output)
        found = audit(str(self.out), None, shards=10**6, rows=0)
        assert (found.findings, found.notes) == ([], [])
        assert found.compared == found.files
        names = {shard.file_name for shard in plan.shards()}
        assert {path.name for path in (self.out / "data").iterdir()} == names
        assert {path.name for path in (self.out / "quarantine").iterdir()} <= names
        assert not (self.out / "run/staged").exists()
        assert list((self.out / "run/scratch").iterdir()) == []
        assert len(list((self.out / "run").glob("files-*"))) == 1
        numbers = sorted(number for rows in self.files.values() for number in rows)
        assert self.numbers("data") == [number for number in numbers if number not in self.bad]
        assert self.numbers("quarantine") == [number for number in numbers if number in self.bad]

    def numbers(self, folder):
        files = sorted((self.out / folder).iterdir())
        return sorted(n for path in files for n in pq.read_table(path)["number"].to_pylist())

    def content(self):
        """Return {(file, first row): table and receipt but for the shard's id}."""
        found = {}
        for key, shard in self.shards().items():
            metadata = {}
            for folder in ("data", "quarantine"):
                path = self.out / folder / f"part-{shard:07d}.parquet"
                if path.exists():
                    table = pq.read_table(path)
                    text = pq.read_metadata(path).metadata.get(b"hyperdiag.receipt", b"{}")
                    receipt = json.loads(text)
                    receipt = {k: v for k, v in receipt.items() if k not in ("shard", "checksum")}
                    metadata[folder] = (repr(table.to_pylist()), str(table.schema), receipt)
            found[key] = metadata
        return found


class Fragile:
    """Lets a `Ledger.publish` die before its k-th operation on files.

    Attributes:
        operations: how many there were in the last one.
    """

    def __init__(self, monkeypatch, dies_at):
        self.operations = 0
        filesystem = _filesystem(self, dies_at)
        original = Ledger.publish

        def publish(ledger, manifest):
            self.operations = 0
            whole = ledger.output
            ledger.output = Place(filesystem, whole.path)
            try:
                original(ledger, manifest)
            finally:
                ledger.output = whole

        monkeypatch.setattr(Ledger, "publish", publish)
        for place, name in ((publication, "_copy"), (Lease, "publish")):
            monkeypatch.setattr(place, name, self._counted(getattr(place, name), dies_at))

    def count(self, dies_at):
        """Count an operation, or die."""
        self.operations += 1
        if self.operations == dies_at:
            raise Died

    def _counted(self, step, dies_at):
        def counted(*arguments):
            self.count(dies_at)
            step(*arguments)

        return counted


def _filesystem(fragile, dies_at):
    class FragileFileSystem(type(resolve("/").filesystem)):
        def _count(self):
            fragile.count(dies_at)

        def move(self, *arguments):
            self._count()
            super().move(*arguments)

        def delete_file(self, *arguments):
            self._count()
            super().delete_file(*arguments)

        def delete_dir(self, *arguments):
            self._count()
            super().delete_dir(*arguments)

        def open_output_stream(self, *arguments, **options):
            self._count()
            return super().open_output_stream(*arguments, **options)

    return FragileFileSystem()


def changes(book):
    """Let files come (before, between and after the others), change and go."""
    for name in ("a", "d", "z"):
        book.write(name, 5, bad=name == "d")
    book.write("c", 4)
    book.remove("i")


def stamps(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shown(book):
    """What a reader of the output sees: times, inodes and bytes."""
    seen = {
        name: stamp
        for name, stamp in stamps(book.out).items()
        if name.startswith(("data/", "quarantine/")) or name in ("_SUCCESS", "run/manifest.json")
    }
    return seen, {name: (book.out / name).read_bytes() for name in seen}


def check_against_fresh(book, tmp_path, configure):
    book.check()
    fresh = Book(tmp_path, configure)
    fresh.out = tmp_path / "fresh"
    fresh.derive("output.mode=overwrite")
    assert book.content() == fresh.content()
    for name in ("summary", "extremes"):
        path = f"run/{name}.parquet"
        assert (book.out / path).read_bytes() == (fresh.out / path).read_bytes()


def die_after(monkeypatch, shards):
    """Let the run die in place of the next shard."""
    left, derive = count(), Worker.derive

    def dies(self, shard):
        if next(left) == shards:
            raise Died
        return derive(self, shard)

    monkeypatch.setattr(Worker, "derive", dies)

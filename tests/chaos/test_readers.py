"""Readers that look at an output all the time while updates are published, and killed in that."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.data.filesystem import resolve

pytestmark = pytest.mark.chaos
UPDATES = int(os.environ.get("HYPERDIAG_CHAOS_ROUNDS", "20"))
FILES, ROWS = 12, 50
LOOK_SECONDS = 0.05
# `derive`, which a signal ends at a moment while it publishes: it says when that begins.
PUBLISHING = """
import sys
from hyperdiag.jobs.derive import main
from hyperdiag.run.output.ledger import Ledger

publish = Ledger.publish
def announced(ledger, manifest):
    print("publishing", flush=True)
    publish(ledger, manifest)
Ledger.publish = announced
main()
"""


class Reader(threading.Thread):
    """Reads the ids of an output again and again; keeps each set of them that it has not seen."""

    def __init__(self, name, read):
        super().__init__(daemon=True)
        self.name, self._read = name, read
        self.looks, self.seen, self.errors = 0, Counter(), Counter()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                ids = tuple(sorted(self._read()))
            except Exception as error:
                self.errors[f"{type(error).__name__}: {str(error)[:80]}"] += 1
            else:
                self.seen[ids] += 1
            self.looks += 1
            time.sleep(LOOK_SECONDS)


def _overrides(folder, output):
    return [
        *("network=python", "network.target=tests.run.networks:rectified"),
        *("network.inputs=[a,b]", "network.outputs=[u,v]", "cluster=inline"),
        *("dataset=parquet", f"dataset.path={folder}", "dataset.shard_rows=10"),
        *("derivatives.method=hyperdual", "derivatives.tile=1", "derivatives.batch=16"),
        *("derivatives.verify_rows=0", f"output.path='{output}'", "output.mode=update"),
    ]


def _write(folder, file, version):
    """Write a file whose rows have ids of their own, that no other version had."""
    first = (version * FILES + file) * 1000
    # As many rows or fewer: shards come and go.
    ids = list(range(first, first + ROWS - 10 * ((version + file) % 3)))
    columns = {"id": ids, "a": [0.01 * each for each in ids], "b": [1.0] * len(ids)}
    pq.write_table(pa.table(columns), folder / f"f{file:02}.parquet", row_group_size=10)
    return ids


def test_reader_sees_one_publication_whatever_is_published_and_dies(tmp_path, outputs):
    output = outputs("out")
    folder = tmp_path / "in"
    folder.mkdir()
    dice = random.Random(3)
    rows = {file: _write(folder, file, 0) for file in range(FILES)}
    everything = lambda: tuple(sorted(i for ids in rows.values() for i in ids))
    publications = [everything()]
    _run(_overrides(folder, output))
    readers = [Reader("read", lambda: hyperdiag.read(output, ["id"])["id"].to_pylist())]
    readers += _plain(output)
    for reader in readers:
        reader.start()
    killed = version = 0
    while killed < UPDATES:
        version += 1
        for file in dice.sample(range(FILES), dice.randint(1, FILES)):
            rows[file] = _write(folder, file, version)
        publications.append(everything())
        # Some are done before they are killed.
        killed += _run(_overrides(folder, output), dice.uniform(0.0, 0.4))
        _run(_overrides(folder, output))
    for reader in readers:
        reader.over.set()
        reader.join(60)
    first, *others = readers
    print(f"{killed} of {version} updates killed while publishing")
    for reader in readers:
        strange = {ids: n for ids, n in reader.seen.items() if ids not in publications}
        twice = sum(n for ids, n in strange.items() if len(set(ids)) < len(ids))
        line = f"{sum(strange.values())} mixed, {twice} of them with a row twice"
        print(f"{reader.name}: {reader.looks} looks, {line}, errors {dict(reader.errors)}")
    assert not first.errors
    assert set(first.seen) <= set(publications)
    assert len(first.seen) > UPDATES // 2
    assert hyperdiag.read(output, ["id"])["id"].sort().to_pylist() == list(everything())
    for reader in others:
        assert tuple(sorted(reader._read())) == everything()


def _plain(output):
    """Readers that know nothing of publications, and read the folder as it is."""
    place = resolve(output) / "data"
    if not place.is_local:
        table = lambda: pq.read_table(place.path, filesystem=place.filesystem, columns=["id"])
        return [Reader("pyarrow", lambda: table()["id"].to_pylist())]
    folder = place.path
    sql = f"SELECT id FROM '{folder}/*.parquet'"
    return [
        Reader("pyarrow", lambda: pq.read_table(folder, columns=["id"])["id"].to_pylist()),
        Reader("DuckDB", lambda: [row[0] for row in duckdb.connect().execute(sql).fetchall()]),
        Reader("polars", lambda: pl.read_parquet(f"{folder}/*.parquet", columns=["id"])["id"]),
    ]


def _run(overrides, dies_after=None):
    """Run the command; return whether it was killed, so many seconds after it began to publish."""
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISHING, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if dies_after is not None:
        while (line := process.stdout.readline()) and line != "publishing\n":
            pass
        time.sleep(dies_after)
        process.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode in ({0} if dies_after is None else {0, -signal.SIGKILL}), said
    return process.returncode != 0

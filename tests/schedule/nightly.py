"""A schedule over a folder that grows, its processes, and what there is to see of them."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

CHAIN = ("network=chain", "network.layers='Chain(Dense(2,2,tanh))'", "network.inputs=[a,b]")
# In the command of the process that derives, which shows no override.
RUN = "hyperdiag.jobs._scheduled"
QUICK = ("cluster=inline", "derivatives.method=hyperdual", "derivatives.verify_rows=0")


class Nightly:
    """An entry `grow` that updates an output from a folder.

    Args:
        folder: for everything.
        keys: of the entry but its overrides, as YAML lines.
        network: overrides that say which.
    """

    def __init__(self, folder, *keys, network=CHAIN):
        self.folder, self.out, self.state = folder, folder / "out", folder / "state"
        self._input = folder / "in"
        self._input.mkdir()
        self._numbers = 0
        overrides = [*network, *QUICK, "dataset=parquet", f"dataset.path={self._input}"]
        overrides += [f"output.path={self.out}", "output.mode=update", "dataset.shard_rows=2"]
        self.entry(*keys, f"overrides: {overrides}")

    def entry(self, *lines):
        (self.folder / "conf/schedule").mkdir(parents=True, exist_ok=True)
        (self.folder / "conf/schedule/grow.yaml").write_text("\n".join(lines))

    def grow(self, rows=3):
        """Add a file, whole from the first moment on; its rows have numbers of their own."""
        numbers = range(self._numbers, self._numbers + rows)
        self._numbers += rows
        table = pa.table(
            {"number": list(numbers), "a": [0.1 * n for n in numbers], "b": [1.0] * rows}
        )
        name = f"file-{numbers[0]:05d}"
        pq.write_table(table, self.folder / name, row_group_size=2)
        (self.folder / name).rename(self._input / f"{name}.parquet")

    @property
    def expected(self):
        return list(range(self._numbers))

    def derived(self):
        """Return the numbers of the rows in the output, sorted."""
        files = sorted((self.out / "data").glob("*.parquet")) if self.out.exists() else []
        return sorted(n for path in files for n in pq.read_table(path)["number"].to_pylist())

    def stamps(self):
        """Return {numbers in a data file: what changes when it is written again}."""
        found = {}
        for path in (self.out / "data").glob("*.parquet"):
            info = path.stat()
            numbers = tuple(pq.read_table(path)["number"].to_pylist())
            found[numbers] = (info.st_mtime_ns, info.st_ino)
        return found

    def command(self, *arguments):
        return [
            *(sys.executable, "-m", "hyperdiag", "schedule"),
            *(f"--config-dir={self.folder / 'conf'}", f"schedule.state={self.state}", *arguments),
        ]

    @contextmanager
    def scheduler(self, *arguments):
        """Start the scheduler; end it and whatever it left behind."""
        with (self.folder / "scheduler.log").open("ab") as said:
            process = psutil.Popen(
                self.command(*arguments),
                stdout=said,
                stderr=said,
                cwd=self.folder,
                # With the tests' own networks.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        try:
            yield process
        finally:
            left = self.processes("hyperdiag.schedule.run_process") + self.processes(RUN)
            for each in [process, *left]:
                if each.is_running():
                    each.kill()
            process.wait(60)

    def processes(self, word):
        """Return the processes at work in the folder with a word in their command."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes().decode(errors="replace")
                if word in command and (path / "cwd").readlink() == self.folder:
                    found.append(psutil.Process(int(path.name)))
            except (OSError, psutil.Error):  # it has ended
                continue
        return found

    def history(self):
        """Return the table of runs as it is in the file, without our code: a dict for each."""
        path = self.state / "schedule.sqlite"
        if not path.exists():
            return []
        connection = sqlite3.connect(path, timeout=30)
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute("SELECT * FROM runs ORDER BY entry, tick, attempt").fetchall()
        except sqlite3.OperationalError:  # no table yet
            rows = []
        finally:
            connection.close()
        return [dict(row) for row in rows]

    def ended(self):
        return [run for run in self.history() if run["state"] == "ended"]

    def find(self, tick):
        (run,) = [run for run in self.history() if run["tick"] == tick]
        return run

    def log(self):
        return (self.folder / "scheduler.log").read_text()


class Watch(threading.Thread):
    """Counts how many processes derive into one output at a time."""

    def __init__(self, nightly):
        super().__init__(daemon=True)
        self._nightly, self._done = nightly, threading.Event()
        self.most, self.seen = 0, set()

    def run(self):
        while not self._done.wait(0.2):
            found = self._nightly.processes(RUN)
            self.most = max(self.most, len(found))
            self.seen |= {process.pid for process in found}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.join()


def wait(true, seconds=60, why=lambda: ""):
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
    return found


def kill_all(*processes):
    """Kill processes as a machine that loses its power does: none outlives another."""
    for process in processes:
        process.suspend()
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def overlaps(runs):
    """Return the pairs of runs whose times overlap."""
    runs = sorted((run for run in runs if run["started"]), key=lambda run: run["started"])
    return [(a, b) for a, b in pairwise(runs) if a["ended"] > b["started"]]


def finished(command, **options):
    """Run a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )

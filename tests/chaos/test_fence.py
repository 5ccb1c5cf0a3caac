"""Runs that start together on one output, and runs that stand still and go on, on every store."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.filesystem import files_in, resolve
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.output.fence import current_of
from hyperdiag.run.output.reader import read
from hyperdiag.run.plan.plan_file import load_plan

pytestmark = pytest.mark.chaos
ROUNDS = int(os.environ.get("HYPERDIAG_CHAOS_ROUNDS", "50"))
BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
QUICK = (
    *("network=chain", BOX, "cluster=inline", "derivatives.method=hyperdual"),
    *("derivatives.tile=8", "derivatives.batch=128", "derivatives.verify_rows=0"),
    "dataset.shard_rows=20",
)
LEASE_SECONDS = 2.0
BUSY = 75


class Contender:
    """A process that starts runs, see `contender`."""

    def __init__(self, number):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.contender", f"m{number}", str(LEASE_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, overrides):
        self.process.stdin.write(json.dumps(overrides) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def contenders():
    started = [Contender(number) for number in range(10)]
    for contender in started:
        assert contender.process.stdout.readline() == "ready\n"
    yield started
    for contender in started:
        contender.process.kill()
        contender.process.wait(10)


def _overrides(output, rows, mode="overwrite", wait=0, cluster=()):
    return [
        *(*QUICK, f"dataset.rows={rows}", f"output.path='{output}'"),
        *(f"output.mode={mode}", f"output.wait_seconds={wait}", *cluster),
    ]


def _check_one_runs(output):
    """Check that an output is one run's, whole, to plain readers too; return its rows."""
    place = resolve(output)
    plan = load_plan(place)
    assert (place / "_SUCCESS").read_bytes().decode().strip() == plan.digest
    assert current_of(place).published.plan == plan.digest
    assert current_of(place).holder is None
    found = audit(output, None, shards=1000, rows=0)
    assert (found.findings, found.notes) == ([], [])
    rows = read(output).num_rows
    assert rows == found.rows == sum(shard.rows for shard in plan.shards())
    folder = place / "data"
    assert pq.read_table(folder.path, filesystem=folder.filesystem).num_rows == rows
    return rows


@pytest.mark.parametrize("number", [2, 10])
@pytest.mark.parametrize("plans", ["equal", "different"])
def test_runs_started_together_leave_the_output_of_one(contenders, outputs, number, plans):
    codes = Counter()
    for turn in range(ROUNDS if number == 2 else -(-ROUNDS // 5)):
        output = outputs(f"{plans}{number}-{turn}")
        each = contenders[:number]
        rows = [400 if plans == "equal" else 300 + 20 * place for place in range(number)]
        for contender, count in zip(each, rows, strict=True):
            contender.start(_overrides(output, count))
        answers = [contender.answer() for contender in each]
        assert {answer["code"] for answer in answers} <= {0, BUSY}, answers
        done = {count for answer, count in zip(answers, rows, strict=True) if not answer["code"]}
        assert _check_one_runs(output) in done
        codes.update(answer["code"] for answer in answers)
    print(dict(codes))
    assert codes[0]
    assert codes[BUSY]


def test_run_that_stood_still_publishes_nothing_over_another(contenders, outputs):
    first, second = contenders[:2]
    dice = random.Random(1)
    outcomes = Counter()
    for turn in range(ROUNDS):
        output = outputs(f"still-{turn}")
        first.start(_overrides(output, 600))
        time.sleep(dice.uniform(0.0, 1.2))
        os.kill(first.process.pid, signal.SIGSTOP)
        second.start(_overrides(output, 400 if turn % 2 else 600, wait=30))
        # Sometimes it goes on while the other is at work.
        time.sleep(LEASE_SECONDS + dice.uniform(0.0, 3.0))
        os.kill(first.process.pid, signal.SIGCONT)
        answers = [first.answer(), second.answer()]
        assert {answer["code"] for answer in answers} <= {0, BUSY}, answers
        assert answers[1]["code"] == 0, answers
        # One that stood still before it held the output began when the other was done.
        done = {400 if turn % 2 else 600} | ({600} if answers[0]["code"] == 0 else set())
        assert _check_one_runs(output) in done
        outcomes[answers[0]["code"]] += 1
    print(dict(outcomes))
    assert outcomes[BUSY]


def test_worker_that_stood_still_writes_nothing_over_another_run(contenders, outputs, ray_address):
    """The driver is stopped with its worker, which goes on first."""
    first, second = contenders[8:]
    on_ray = ["cluster=existing", f"cluster.address={ray_address}", "cluster.workers=1"]
    dice = random.Random(2)
    outcomes = Counter()
    for turn in range(ROUNDS):
        output = outputs(f"worker-{turn}")
        first.start(_overrides(output, 1200, cluster=on_ray))
        worker = _wait_for_worker(resolve(output) / "data", ray_address)
        time.sleep(dice.uniform(0.0, 0.3))
        _signal_if_there(worker.pid, signal.SIGSTOP)
        os.kill(first.process.pid, signal.SIGSTOP)
        second.start(_overrides(output, 400 if turn % 2 else 1200, wait=30))
        time.sleep(LEASE_SECONDS + dice.uniform(0.0, 3.0))
        _signal_if_there(worker.pid, signal.SIGCONT)
        time.sleep(dice.uniform(0.0, 2.0))
        os.kill(first.process.pid, signal.SIGCONT)
        answers = [first.answer(), second.answer()]
        assert {answer["code"] for answer in answers} <= {0, BUSY}, answers
        assert answers[1]["code"] == 0, answers
        _check_one_runs(output)
        outcomes[answers[0]["code"]] += 1
    print(dict(outcomes))
    assert outcomes[BUSY]


def _signal_if_there(pid, number):
    """Signal a worker; its run may have ended, and the worker with it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_for_worker(data, ray_address):
    """Return the process of the one worker on a cluster, when it has written a file."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(_workers(ray_address)) if files_in(data) else []
        if found:
            (worker,) = found
            return worker
        time.sleep(0.02)
    raise AssertionError("no worker has written a file")


def _workers(ray_address):
    port = ray_address.rpartition(":")[2]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("ray::WorkerActor" in word for word in process.cmdline()):
                raylet = " ".join(process.parent().cmdline())
                if re.search(rf"--gcs-address=\S+:{port}\b", raylet):
                    yield process

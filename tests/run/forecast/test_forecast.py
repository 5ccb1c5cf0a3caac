"""What is foretold of a run, held against the run; and that foretelling writes nothing."""

import json
import os
import tempfile
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import Busy, RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.forecast import probe as forecast_probe
from hyperdiag.run.forecast.forecast import Price, forecast
from hyperdiag.run.forecast.result import Kernel
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.plan.planner import make_plan
from tests.run.book import Book

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
QUICK = (
    *("network=chain", "cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=8"),
    *("derivatives.verify_rows=0", "derivatives.batch=64"),
)
FREE = Price(None, "")


def _listing(folder):
    """Return size and times of all below a folder, and of the folder itself."""
    paths = [folder, *folder.rglob("*")]
    return {
        path: (s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path in paths for s in [path.stat()]
    }


def _bytes(out):
    return sum(
        path.stat().st_size for name in ("data", "quarantine") for path in (out / name).iterdir()
    )


@pytest.fixture
def foretell(tmp_path, monkeypatch):
    """Foretell a run; nothing may have changed in the folder of the test, or be left elsewhere."""
    scratch = tmp_path.with_name(f"{tmp_path.name}-scratch")
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def forecasted(configured, price=FREE):
        before = _listing(tmp_path)
        try:
            predicted = forecast(configured[0], price, 1.5)
        finally:
            assert _listing(tmp_path) == before
            assert list(scratch.iterdir()) == []
        values = predicted.to_json()
        assert json.loads(json.dumps(values)) == values
        return predicted

    return forecasted


@pytest.fixture
def tiny(configure, tmp_path):
    """Ten shards of a hundred points."""

    def configured(*overrides):
        return configure(
            *(*QUICK, BOX, "dataset.rows=1000", "dataset.shard_rows=100"),
            *(f"output.path={tmp_path}/out", *overrides),
        )

    return configured


@pytest.mark.slow
def test_forecast_of_a_new_run_is_what_the_run_then_does(foretell, tiny, tmp_path):
    predicted = foretell(tiny())
    manifest = derive(*tiny())
    assert predicted.plan == manifest.plan
    assert predicted.network == "chain"
    assert predicted.kernel == Kernel("hyperdual", 8, 64, "float32", "cpu", precision="highest")
    assert (predicted.output.state, predicted.output.path) == ("start", f"{tmp_path}/out")
    work = predicted.work
    assert (work.shards, work.rows, work.rows_derived) == (10, 1000, 1000)
    assert work.bytes_out == pytest.approx(_bytes(tmp_path / "out"), rel=0.02)
    assert predicted.probe.rows == 1000  # all: it takes no time
    assert 50e6 < predicted.probe.worker_bytes < 20e9


def test_times_and_costs_follow_from_the_rate(foretell, tiny):
    predicted = foretell(tiny(), Price(36.0, "EUR"))
    (time,) = predicted.times  # inline has one worker
    around = sum(asdict(predicted.seconds).values())
    assert predicted.seconds.launch == 1.5
    assert time.seconds == pytest.approx(around + predicted.probe.seconds)
    assert time.worker_hours == pytest.approx(time.seconds / 3600)
    assert time.cost == pytest.approx(time.seconds / 100)
    assert (time.workers, time.configured, predicted.currency) == (1, True, "EUR")


def test_what_workers_hold_at_least_is_said_where_it_is_much(foretell, tiny, monkeypatch):
    finished = tiny("output.mode=overwrite")
    assert not [note for note in foretell(finished).notes if "of memory at least" in note]
    monkeypatch.setattr("hyperdiag.run.plan.planner.least_bytes", lambda *_: 3 * 10**9)
    assert foretell(finished).notes[0].startswith("each worker needs 3 GB of memory at least, by")


def test_without_a_price_there_is_no_cost(foretell, tiny):
    assert [time.cost for time in foretell(tiny()).times] == [None]


def test_interrupted_run_would_be_resumed(foretell, tiny, tmp_path):
    derive(*tiny())
    for number in (2, 3, 7):
        (tmp_path / f"out/data/part-{number:07}.parquet").unlink()
    predicted = foretell(tiny())
    output, work = predicted.output, predicted.work
    assert (output.state, output.shards_done, output.rows_done) == ("resume", 7, 700)
    assert (work.shards, work.rows, predicted.probe.rows) == (3, 300, 300)


def test_finished_run_would_be_left_alone(foretell, tiny):
    derive(*tiny())
    predicted = foretell(tiny())
    assert predicted.output.state == "finished"
    assert (predicted.work.shards, predicted.probe, predicted.times) == (0, None, [])
    assert predicted.seconds.start is None


def test_overwriting_does_all_again(foretell, tiny):
    derive(*tiny())
    predicted = foretell(tiny("output.mode=overwrite", "dataset.seed=1"))
    assert (predicted.output.state, predicted.output.shards_done) == ("overwrite", 0)
    assert predicted.work.rows == 1000


def _refused(foretell, configured):
    """Return what a run would be refused with, which is what it is refused with."""
    predicted = foretell(configured)
    with pytest.raises((UsageError, Busy)) as refusal:
        derive(*configured)
    assert predicted.output.problems == str(refusal.value).split("\n")
    assert (predicted.probe, predicted.times) == (None, [])
    return predicted.output.state, str(refusal.value)


def test_other_plan_would_be_refused_as_it_is(foretell, tiny):
    derive(*tiny())
    state, why = _refused(foretell, tiny("dataset.seed=1"))
    assert state == "refused"
    assert "dataset.seed was 0, now is 1" in why


@pytest.mark.parametrize(("path", "why"), [("file", "is a file"), ("file/out", "is no folder")])
def test_output_that_cannot_be_made_would_be_refused_as_it_is(foretell, tiny, tmp_path, path, why):
    (tmp_path / "file").write_text("a letter")
    state, said = _refused(foretell, tiny(f"output.path={tmp_path}/{path}"))
    assert state == "refused"
    assert why in said


@pytest.mark.slow
def test_folder_of_other_files_would_be_refused_as_it_is(foretell, tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter.txt").write_text("a letter")
    assert "holds other files (letter.txt)" in _refused(foretell, tiny())[1]


def test_output_that_a_run_is_at_work_on_would_be_refused_as_it_is(foretell, tiny):
    ledger = Ledger(tiny()[0].output.path, make_plan(tiny()[0]).plan)
    ledger.open("resume", "")
    try:
        state, why = _refused(foretell, tiny())
    finally:
        ledger.close()
    assert state == "locked"
    assert "another run is at work" in why
    assert f"(process {os.getpid()} on " in why


@pytest.mark.slow
def test_update_would_do_what_came_and_changed(foretell, configure, tmp_path):
    book = Book(tmp_path, configure)
    for name in "abc":
        book.write(name, rows=6)
    book.derive()
    book.write("b", rows=4)
    book.write("d", rows=2)
    book.remove("c")
    state, why = _refused(foretell, book.configured())
    assert state == "refused"
    assert "take over the changed files with output.mode=update" in why
    predicted = foretell(book.configured("output.mode=update"))
    assert predicted.output.state == "update"
    assert [change.rpartition(" ")[2] for change in predicted.output.changes] == [
        *("added", "removed", "changed")
    ]
    assert predicted.output.shards_done == 3
    assert (predicted.work.shards, predicted.work.rows) == (3, 6)
    book.update()
    assert foretell(book.configured("output.mode=update")).output.state == "finished"


@pytest.mark.slow
def test_bad_files_are_all_named(foretell, configure, tmp_path):
    book = Book(tmp_path, configure)
    book.write("a", rows=6)
    for name in ("b", "c"):
        (book.folder / f"{name}.parquet").write_bytes(b"no Parquet")
    with pytest.raises(UsageError) as refusal:
        foretell(book.configured())
    assert [problem.partition(".parquet:")[0][-1] for problem in refusal.value.problems] == [
        "b",
        "c",
    ]
    dataset = foretell(book.configured("dataset.on_bad_file=skip")).input
    assert [file.path[-9:] for file in dataset.bad_files] == ["b.parquet", "c.parquet"]
    assert all("magic" in file.reason.lower() for file in dataset.bad_files)
    assert (dataset.files, dataset.rows, dataset.columns) == (1, 6, ["number", "a", "b"])


@pytest.mark.parametrize(("kept", "most"), [(20, 0.2), (12, 0.4)], ids=["all", "filtered"])
def test_bad_rows_are_foretold_with_what_they_lead_to(kept, most, foretell, configure, tmp_path):
    """As part of the rows that the filter keeps: what it leaves out is neither good nor bad."""
    book = Book(tmp_path, configure)
    book.write("a", rows=20, bad=6)
    limit = (f"limits.max_bad_fraction={most}", f"dataset.filter='number < {kept}'")
    predicted = foretell(book.configured(*limit))
    assert (predicted.work.rows_derived, predicted.work.rows_quarantined) == (kept - 6, 6)
    assert predicted.probe.quarantined == {"null": 6}
    (note,) = predicted.notes
    assert f"6 of the {kept} rows of the probe are bad (6 null)" in note
    with pytest.raises(RunIncomplete, match=f"6 of {kept} rows are bad"):
        book.derive(*limit)
    assert predicted.work.bytes_out == pytest.approx(_bytes(book.out), rel=0.02)


def test_what_is_read_of_files_follows_the_limit(foretell, configure, tmp_path):
    book = Book(tmp_path, configure)
    book.write("a", rows=30)
    book.write("b", rows=10)
    predicted = foretell(book.configured("dataset.limit=15"))
    a, b = ((book.folder / f"{name}.parquet").stat().st_size for name in "ab")
    assert (predicted.input.files, predicted.input.bytes) == (2, a + b)
    assert predicted.work.bytes_in == pytest.approx(a / 2, abs=1)


@pytest.mark.slow
def test_size_foretold_from_a_part_is_that_of_the_whole(foretell, configure, tmp_path, monkeypatch):
    """Rows that compress better and better, of which some are bad and some are filtered."""
    rows = 60_000
    steps = np.arange(rows) // 15_000
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, rows)).round(3) * (steps < 3)
    x[0, ::50] = np.nan
    columns = {f"x{i + 1}": x[i] for i in range(5)} | {"word": rng.integers(4, size=rows)}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=2000)
    configured = configure(
        *(*QUICK, "derivatives.batch=1024", "dataset=parquet", "dataset.shard_rows=4000"),
        *(f"dataset.path={tmp_path}/rows.parquet", "dataset.filter='word > 0'"),
        f"output.path={tmp_path}/out",
    )
    # The workers start at once, the first batch takes half a second, and twelve times as much six.
    ticks = iter([0.0, 0.0, 0.0, 0.5, 0.5, 6.5, 6.5, 6.5])
    monkeypatch.setattr(forecast_probe, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    predicted = foretell(configured)
    probe = predicted.probe
    assert 4 * 3072 <= probe.rows == 6 * probe.rows_per_s < rows / 2
    rows = derive(*configured).rows
    assert predicted.work.bytes_out == pytest.approx(_bytes(tmp_path / "out"), rel=0.25)
    assert predicted.work.rows_derived == pytest.approx(rows.derived, rel=0.05)
    assert predicted.work.rows_quarantined == pytest.approx(rows.quarantined["nan"], rel=0.2)


@pytest.mark.slow
def test_probe_of_which_nothing_can_be_derived_says_why(foretell, configure, tmp_path):
    with pytest.raises(
        RunIncomplete, match=r"no row of the probe could be derived: .*a float64 ref"
    ):
        foretell(
            configure(
                *("network=python", "network.target=tests.run.networks:straight_through"),
                *("network.n_inputs=2", "dataset.ranges={x1: [1, 2], x2: [1, 2]}"),
                *("dataset.rows=8", "cluster=inline", "derivatives.method=hyperdual"),
                *("derivatives.tile=8", f"output.path={tmp_path}/out"),
            )
        )

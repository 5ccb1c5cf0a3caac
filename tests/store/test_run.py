"""Whole runs from a store and to a store."""

import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from itertools import groupby

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.data.output_folder import CURRENT
from hyperdiag.messages.errors import OutputError, RunIncomplete, UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.summary import print_summary

from .conftest import KEY, SECRET

BOX = "dataset.ranges={x1: [0, 1], x2: [0, 1], x3: [0, 1], x4: [0, 1], x5: [0, 1]}"
QUICK = (
    *("network=chain", "cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=8"),
    *("derivatives.batch=128", "derivatives.verify_rows=0", "dataset.shard_rows=100"),
)
DESIGN = (*QUICK, BOX, "dataset.rows=600")  # six shards
PARTS = [f"part-{number:07}.parquet" for number in range(6)]


@pytest.fixture
def run(configure):
    def derived(*overrides):
        return derive(*configure(*overrides))

    return derived


def _to(uri):
    return f"output.path='{uri}'"


def _from(uri):
    return "dataset=parquet", f"dataset.path='{uri}'"


def _written(proxy, prefix="out/"):
    """Return the paths below the output that were uploaded, in order, but for the lease.

    Each once in a row: what is to replace an object is first sent as if there were none.
    """
    paths = [
        path.partition(prefix)[2].partition("?")[0]
        for method, path, fault in proxy.requests
        if method == "PUT" and prefix in path and not path.endswith("/") and not fault
    ]
    return [path for path, _ in groupby(paths) if path != CURRENT]


def _rows(content):
    return pq.read_table(io.BytesIO(content))


@pytest.fixture
def three_files(store, table):
    """Three Hive-partitioned files of a hundred rows each; of the last, two rows are bad."""
    bad = table.set_column(1, "x1", pa.array([None, float("inf"), *table["x1"].to_pylist()[2:]]))
    for book, content in (("a", table), ("b", table), ("c", bad)):
        store.put(f"in/book={book}/rows.parquet", content)
    return store


@pytest.mark.slow
def test_design_to_a_store_writes_the_bytes_of_a_local_run_and_success_last(
    run, store, proxy, tmp_path
):
    local = run(*DESIGN, f"output.path={tmp_path}/out")
    manifest = run(*DESIGN, _to(store.uri("out")))
    assert manifest.rows == local.rows
    written = store.objects("out/")
    before = ["run/plan.json", "run/axes.parquet", "run/config.yaml"]
    # A data file vouches for the statistics of its shard, too.
    shards = [name for part in PARTS for name in (_statistics(part), f"data/{part}")]
    after = ["run/summary.parquet", "run/extremes.parquet", "run/manifest.json", "_SUCCESS"]
    notes = ["run/journal/00000000.json", "run/progress.json", "run/throughput.json", CURRENT]
    notes.append(f"run/listing-{manifest.plan}.parquet")
    assert sorted(written) == sorted([*before, *shards, *after, *notes])
    for name in ("run/plan.json", *shards, *after[:2], "_SUCCESS"):
        assert written[name] == (tmp_path / "out" / name).read_bytes()
    in_order = [name for name in _written(proxy) if name not in notes]
    assert in_order == [*before, *shards, *after]


def _statistics(part):
    return f"run/statistics/{part.removesuffix('.parquet')}.statistics"


@pytest.mark.slow
def test_parquet_from_a_store_gives_the_rows_of_a_local_run(run, three_files, tmp_path, proxy):
    store = three_files
    for key, content in store.objects("in/").items():
        (tmp_path / "in" / key).parent.mkdir(parents=True)
        (tmp_path / "in" / key).write_bytes(content)
    limit = "limits.max_bad_fraction=0.5"
    run(*QUICK, *_from(tmp_path / "in"), f"output.path={tmp_path}/out", limit)
    manifest = run(*QUICK, *_from(store.uri("in")), _to(store.uri("out")), limit)
    assert manifest.rows.quarantined == {"infinite": 1, "null": 1}
    for kind, parts in (("data", 3), ("quarantine", 1)):
        written = store.objects(f"out/{kind}/")
        local = {path.name: path.read_bytes() for path in (tmp_path / "out" / kind).iterdir()}
        assert len(written) == parts
        assert written.keys() == local.keys()
        for name, content in written.items():
            expected = _rows(local[name])
            found = _rows(content)
            if kind == "quarantine":  # where a row comes from is another path
                paths = found["_source_file"].to_pylist()
                assert set(paths) == {f"{store.bucket}/in/book=c/rows.parquet"}
                found, expected = (t.drop_columns("_source_file") for t in (found, expected))
            assert found.equals(expected)
    assert store.table("out/data/")["book"].unique().to_pylist() == ["a", "b", "c"]
    names = [f"s3://{store.bucket}/out/data/part-{number:07d}.parquet" for number in range(3)]
    assert hyperdiag.files(store.uri("out")) == names
    # The quarantine file first: a data file vouches for its whole shard.
    names = _written(proxy)
    assert names.index(f"quarantine/{PARTS[2]}") < names.index(f"data/{PARTS[2]}")


@pytest.mark.slow
def test_lines_that_say_how_to_read_an_output_in_a_store_read_it(run, store, capsys):
    """Behind a question mark in its URI stands what these readers do not all understand."""
    manifest = run(*DESIGN, _to(store.uri("out")))
    print_summary(manifest, store.uri("out"))
    said = capsys.readouterr().out
    lines = dict(re.findall(r"^    (pandas|polars|DuckDB) +(.+)$", said, re.M))
    names = {"pandas": pandas, "polars": polars, "duckdb": duckdb, "pyarrow": pa}
    frames = [eval(lines[name], names) for name in ("pandas", "polars", "DuckDB")]
    assert len(frames[0]) == 600
    assert frames[1].collect().height == 600
    assert frames[2].count("*").fetchall() == [(600,)]


@pytest.mark.slow
def test_output_in_a_store_is_read_and_joined_to_its_input_there(run, three_files):
    store = three_files
    limit, columns = "limits.max_bad_fraction=0.5", "output.columns=[name]"
    places = (*_from(store.uri("in")), _to(store.uri("out")))
    run(*QUICK, *places, limit, columns, "output.provenance=true")
    output = hyperdiag.Output(store.uri("out"))
    table = store.table("out/data/")
    assert output.table().equals(table)
    assert output.quarantine().equals(store.table("out/quarantine/"))
    assert output.summary().equals(_rows(store.get("out/run/summary.parquet")))
    first = output.outputs[0]
    assert output.value.sel(output=first).values.tolist() == table[first].to_pylist()
    top = output.top(first, rows=3)
    assert top.equals(table.sort_by([(first, "descending")]).slice(0, 3))
    joined = output.joined(top, ["x1", "book", "name"])
    assert joined.column_names == [*top.column_names, "x1", "book"]
    for row in joined.to_pylist():
        source = _rows(store.get(row["_source_file"].partition("/")[2]))
        right = source.slice(row["_row_index"], 1).to_pylist()[0]
        assert (row["name"], row["x1"]) == (right["name"], right["x1"])
        assert row["_source_file"].endswith(f"in/book={row['book']}/rows.parquet")


@pytest.mark.slow
def test_second_run_changes_nothing_and_overwrite_leaves_nothing_of_the_first(run, store, proxy):
    run(*DESIGN, _to(store.uri("out")))
    before = store.objects("out/")
    proxy.reset()
    run(*DESIGN, _to(store.uri("out")))
    assert _written(proxy) == ["run/plan.json", "run/axes.parquet", "run/config.yaml"]
    after = store.objects("out/")
    assert json.loads(after.pop(CURRENT))["number"] == 2
    assert json.loads(before.pop(CURRENT))["number"] == 1
    assert after == before
    with pytest.raises(UsageError, match=r"another plan: dataset\.rows was 600"):
        run(*DESIGN, "dataset.rows=200", _to(store.uri("out")))
    run(*DESIGN, "dataset.rows=200", "output.mode=overwrite", _to(store.uri("out")))
    assert sorted(store.objects("out/data/")) == PARTS[:2]
    assert json.loads(store.get("out/run/manifest.json"))["rows"]["derived"] == 200


@pytest.mark.slow
def test_data_object_that_is_gone_or_torn_is_done_again_alone(run, store, proxy):
    run(*DESIGN, _to(store.uri("out")))
    before = store.objects("out/data/")
    store.client.delete_object(Bucket=store.bucket, Key=f"out/data/{PARTS[1]}")
    store.put(f"out/data/{PARTS[4]}", before[PARTS[4]][:-9])
    proxy.reset()
    run(*DESIGN, _to(store.uri("out")))
    assert [n for n in _written(proxy) if n[:4] == "data"] == [
        f"data/{PARTS[1]}",
        f"data/{PARTS[4]}",
    ]
    assert store.objects("out/data/") == before


@pytest.mark.slow
def test_receipts_that_the_store_does_not_give_are_not_taken_for_missing(run, store, proxy):
    overrides = (*DESIGN, _to(store.uri("out", max_attempts=1)))
    run(*overrides)
    store.client.delete_object(Bucket=store.bucket, Key="out/run/journal/00000000.json")
    with (
        proxy.fault("answer", method="HEAD", path=PARTS[4]),
        pytest.raises(OutputError, match=f"cannot read s3://{store.bucket}/out/data/{PARTS[4]}"),
    ):
        run(*overrides)
    assert store.get("out/_SUCCESS")


def test_folder_of_temporary_files_that_is_not_there_is_named(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"cannot write a temporary file \(TMPDIR\).*gone"):
        run(*DESIGN, _to(store.uri("out")))


@pytest.mark.slow
def test_run_killed_in_an_upload_leaves_whole_files_and_is_resumed(run, store, proxy):
    overrides = (*DESIGN, _to(store.uri("out", request_timeout=60)))
    with proxy.fault("hang", method="PUT", path=f"data/{PARTS[3]}"):
        process = subprocess.Popen(
            [sys.executable, "-m", "hyperdiag", "derive", *overrides], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not proxy.count("hang"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    left = store.objects("out/")
    notes = ["run/axes.parquet", "run/config.yaml", CURRENT, "run/plan.json", "run/progress.json"]
    notes += [_statistics(part) for part in PARTS[:4]]
    assert sorted(left) == [*(f"data/{p}" for p in PARTS[:3]), *notes]
    assert all(_rows(left[f"data/{part}"]).num_rows == 100 for part in PARTS[:3])
    proxy.reset()
    run(*overrides)
    assert [n for n in _written(proxy) if n[:4] == "data"] == [f"data/{p}" for p in PARTS[3:]]
    assert store.table("out/data/").num_rows == 600
    assert store.get("out/_SUCCESS")


@pytest.mark.slow
def test_run_through_passing_faults_writes_the_same_bytes(run, three_files, proxy):
    store = three_files
    arguments = (*QUICK, *_from(store.uri("in")), "limits.max_bad_fraction=0.5")
    run(*arguments, _to(store.uri("calm")))
    faults = [
        proxy.add("answer", path="in/", times=3),
        proxy.add("answer", method="PUT", path="rough/", times=3),
        proxy.add("answer", status=500, path="rough/run", times=2),
        proxy.add("reset", path="book=a", times=2),
        proxy.add("cut_answer", method="GET", path="book=b", after=30, times=2),
        proxy.add("cut_request", method="PUT", path="rough/data", after=500, times=2),
        proxy.add("lose_answer", method="PUT", path="rough/", times=2),
        proxy.add("hang", method="HEAD", path="book=c", times=1),
    ]
    manifest = run(*arguments, _to(store.uri("rough")))
    assert [fault.times for fault in faults] == [0] * len(faults)
    assert manifest.rows.read == 300
    for kind in ("data/", "quarantine/"):
        assert store.objects(f"rough/{kind}") == store.objects(f"calm/{kind}")


@pytest.mark.one_in(2)
@pytest.mark.parametrize("outage", ["busy", "refused"])
def test_lasting_outage_while_writing_stops_the_run_and_the_same_command_goes_on(
    run, store, proxy, outage
):
    overrides = (*DESIGN, _to(store.uri("out", max_attempts=3)))
    began = time.monotonic()
    if outage == "busy":
        with proxy.fault("answer", path="out/data/part-000000[3-9]"), pytest.raises(OutputError):
            run(*overrides)
    else:
        proxy.add("go_down", method="PUT", path=f"out/data/{PARTS[3]}", times=1)
        with pytest.raises(
            OutputError, match=f"cannot write s3://{store.bucket}/out/data/{PARTS[3]}"
        ):
            run(*overrides)
        proxy.up()
    assert time.monotonic() - began < 30
    assert sorted(store.objects("out/data/")) == PARTS[:3]
    assert store.get("out/_SUCCESS") is None
    proxy.reset()
    run(*overrides)
    assert [n for n in _written(proxy) if n[:4] == "data"] == [f"data/{p}" for p in PARTS[3:]]
    assert store.get("out/_SUCCESS")


@pytest.mark.slow
def test_lasting_outage_of_an_input_file_fails_its_shards_alone(run, store, proxy, table):
    for name in "abc":
        store.put(f"in/{name}.parquet", table)
    uri = store.uri("in", max_attempts=2)
    overrides = (*QUICK, *_from(uri), _to(store.uri("out")), "limits.max_attempts=2")
    proxy.add("answer", method="HEAD", path=r"in/b\.parquet", skip=1)  # the plan needs the first
    with pytest.raises(RunIncomplete, match=r"1 of 3 shards failed(.|\n)*HTTP status 503"):
        run(*overrides)
    assert sorted(store.objects("out/data/")) == [PARTS[0], PARTS[2]]
    proxy.reset()
    run(*overrides)
    assert sorted(store.objects("out/data/")) == PARTS[:3]


@pytest.mark.slow
def test_outage_at_the_command_line_is_one_sentence_and_exit_code_1(hyperdiag, store, proxy):
    uri = store.uri("out", user=f"{KEY}:{SECRET}@", max_attempts=2)
    with proxy.fault("answer", path=f"out/data/{PARTS[1]}"):
        done = hyperdiag("derive", *DESIGN, _to(uri), timeout=120)
    assert done.returncode == 1, done.stderr
    assert f"hyperdiag: cannot write s3://{store.bucket}/out/data/{PARTS[1]}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(SECRET.encode() in content for content in store.objects("out/").values())


@pytest.mark.slow
def test_wrong_credentials_at_the_command_line_are_exit_code_2(hyperdiag, store, proxy, table):
    store.put("in/a.parquet", table)
    proxy.access_keys = ("another",)
    uri = store.uri("in", user=f"{KEY}:{SECRET}@")
    began = time.monotonic()
    done = hyperdiag("derive", *QUICK, *_from(uri), "output.path=out", timeout=120)
    assert done.returncode == 2, done.stderr
    assert "hyperdiag: cannot look at s3://" in done.stderr
    assert "ACCESS_DENIED" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
@pytest.mark.parametrize("wrong", ["bucket", "credentials", "server"])
def test_output_that_cannot_be_is_said_before_any_work(run, store, proxy, wrong, mode):
    uri = store.uri("out", max_attempts=2)
    if wrong == "bucket":
        uri = uri.replace(store.bucket, "nowhere")
    elif wrong == "server":
        uri = uri.replace(str(proxy.port), "1")
    else:
        proxy.access_keys = ("another",)
    began = time.monotonic()
    name = "nowhere" if wrong == "bucket" else store.bucket
    with pytest.raises(UsageError, match=name) as caught:
        run(*DESIGN, _to(uri), f"output.mode={mode}")
    if wrong == "bucket":
        assert "there is no such bucket. Make it, or give the path of one that" in str(caught.value)
    assert "Free space" not in str(caught.value)
    assert time.monotonic() - began < 20
    assert store.objects() == {}


def test_weights_in_a_store_are_refused_by_name(run, store, tmp_path):
    with pytest.raises(UsageError, match=r"network\.weights: .*s3://"):
        run(*DESIGN, f"network.weights='{store.uri('w.npz')}'", f"output.path={tmp_path}/out")


@pytest.mark.slow
def test_workers_of_a_cluster_read_and_write_with_credentials_of_the_uri(
    run, three_files, proxy, ray_address, monkeypatch
):
    store = three_files
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    proxy.access_keys = (f"Credential={KEY}/",)
    proxy.add("answer", method="GET", path="book=b", times=2)
    proxy.add("cut_request", method="PUT", path="out/data", after=500, times=2)
    source, output = (store.uri(path, user=f"{KEY}:{SECRET}@") for path in ("in", "out"))
    cluster = ("cluster=existing", f"cluster.address={ray_address}", "cluster.workers=2")
    manifest = run(*(*QUICK, *_from(source), _to(output), *cluster, "limits.max_bad_fraction=0.5"))
    assert manifest.rows.derived == 298
    assert store.table("out/data/").num_rows == 298
    assert store.table("out/quarantine/").num_rows == 2
    assert not any(SECRET.encode() in content for content in store.objects("out/").values())


@pytest.mark.slow
def test_plan_that_the_store_does_not_give_is_said(run, store, proxy):
    run(*DESIGN, _to(store.uri("out")))
    with (
        proxy.fault("answer", method="GET", path="plan.json"),
        pytest.raises(UsageError, match=f"cannot read s3://{store.bucket}/out/run/plan.json"),
    ):
        run(*DESIGN, _to(store.uri("out", max_attempts=1)))

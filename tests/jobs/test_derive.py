"""The main job from the command line, end to end, on real Ray."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.networks.qlknn import golden_rows

SMALL = ("dataset.rows=20000", "network=chain", "dataset.shard_rows=2000")
BOX = "dataset.ranges={x1: [-1, 1], x2: [-1, 1], x3: [-1, 1], x4: [-1, 1], x5: [-1, 1]}"


# In a process that ends without a word: threads of Ray Data outlive `ray.shutdown`, and Ray ends
# the whole process when one of them asks it for something.
READ_WITH_RAY_DATA = """
import os, sys
import numpy as np, ray
ray.init(address=sys.argv[1], log_to_driver=False)
dataset = ray.data.read_parquet(sys.argv[2])
shape = np.shape(np.stack(list(dataset.take(1)[0]["hessian_diag"])))
print(f"{dataset.count()} rows, {shape}", flush=True)
os._exit(0)
"""


def _files(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def _said(done, code=0):
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_main_job_is_read_by_every_reader_with_the_right_shapes(hyperdiag, tmp_path, ray_address):
    text = _said(hyperdiag("derive", "output.path=out", "output.layout=tensor"))
    assert "100,000 rows read: 100,000 derived, 0 quarantined" in text
    data = str(tmp_path / "out/data")
    table = pq.read_table(data)
    assert table.num_rows == 100_000
    assert str(table.schema.field("jacobian").type).count("fixed_size_list") == 2
    frame = pd.read_parquet(data)
    assert (len(frame), len(frame["value"].iloc[0])) == (100_000, 8)
    lazy = pl.scan_parquet(f"{data}/*.parquet").select("jacobian", "hessian_diag")
    assert lazy.collect_schema()["hessian_diag"] == pl.Array(pl.Float32, (8, 10))
    assert lazy.select(pl.len()).collect().item() == 100_000
    shapes = "len(value), len(jacobian), len(jacobian[1]), len(hessian_diag), len(hessian_diag[8])"
    counted = duckdb.sql(f"SELECT {shapes}, count(*) FROM '{data}/*.parquet' GROUP BY ALL")
    assert counted.fetchall() == [(8, 8, 10, 8, 10, 100_000)]
    read = subprocess.run(
        [sys.executable, "-c", READ_WITH_RAY_DATA, ray_address, data],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "100000 rows, (8, 10)" in read.stdout, read.stderr
    manifest = json.loads((tmp_path / "out/run/manifest.json").read_text())
    value = np.stack(table["value"].combine_chunks().flatten().to_numpy().reshape(-1, 8))
    assert manifest["rows"]["ranges"]["value"] == [
        value.min(axis=0).tolist(),
        value.max(axis=0).tolist(),
    ]


def test_golden_rows_of_qlknn_come_out_as_shipped(hyperdiag, tmp_path):
    from fusion_surrogates.qlknn import qlknn_model

    model = qlknn_model.QLKNNModel.load_default_model()
    inputs, outputs = golden_rows()
    names = model.config.input_names
    pq.write_table(pa.table(dict(zip(names, inputs.T, strict=True))), tmp_path / "golden.parquet")
    common = ("dataset=parquet", "dataset.path=golden.parquet", "cluster=inline")
    results = {}
    for dtype in ("float64", "float32"):
        _said(hyperdiag("derive", *common, f"derivatives.dtype={dtype}", f"output.path={dtype}"))
        table = pq.read_table(tmp_path / dtype / "data")
        stack = lambda pattern, t=table: np.array(
            [[t[pattern.format(o, i)].to_numpy() for i in names] for o in model.config.target_names]
        )
        value = np.array([table[o].to_numpy() for o in model.config.target_names])
        results[dtype] = value, stack("d_{}_d_{}"), stack("d2_{}_d_{}2")
    wanted = _by_hand(model, inputs)
    scale = np.abs(outputs).max(axis=0)[:, None]
    assert (np.abs(results["float64"][0] - outputs.T) <= 1e-9 * scale).all()
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-3)):
        for found, reference in zip(results[dtype], wanted, strict=True):
            largest = np.abs(reference).reshape(8, -1).max(axis=1)
            error = np.abs(found - reference).reshape(8, -1).max(axis=1)
            assert (error <= tolerance * largest).all()


def _by_hand(model, inputs):
    """Value (m, rows), Jacobian and Hessian diagonal (m, n, rows) in NumPy float64, by the chain
    rule written out for tanh layers."""
    stats = model.config.stats_data
    mean, std = (np.asarray(a, np.float64) for a in (stats.input_mean, stats.input_stddev))
    layers = model.params["params"]
    h = (inputs - mean) / std
    dh = np.broadcast_to(np.diag(1 / std), (len(inputs), 10, 10))  # rows, unit, input
    d2h = np.zeros_like(dh)
    for number in range(6):
        kernel = np.asarray(layers[f"Dense_{number}"]["kernel"][0], np.float64)
        z = h @ kernel + np.asarray(layers[f"Dense_{number}"]["bias"][0], np.float64)
        dz, d2z = (np.einsum("uo,rui->roi", kernel, array) for array in (dh, d2h))
        if number == 5:
            break
        h = np.tanh(z)
        first, second = (1 - h**2)[..., None], (-2 * h * (1 - h**2))[..., None]
        dh, d2h = first * dz, second * dz**2 + first * d2z
    mean, std = (np.asarray(a, np.float64) for a in (stats.target_mean, stats.target_stddev))
    return (
        (z * std + mean).T,
        np.moveaxis(dz * std[:, None], 0, -1),
        np.moveaxis(d2z * std[:, None], 0, -1),
    )


@pytest.mark.parametrize(
    ("layers", "n"),
    [
        ("Chain(Dense(5, 3, elu), Dense(3, 3))", 5),
        ("Chain(Dense(10, 5, elu), Dense(5, 3))", 10),
    ],
)
def test_chains_of_the_thread_by_every_method_give_the_same_numbers(hyperdiag, tmp_path, layers, n):
    rng = np.random.default_rng(0)
    shapes = [(5 if n == 10 else 3, n), (3, 5 if n == 10 else 3)]
    w = {f"W{k + 1}": rng.standard_normal(shape) for k, shape in enumerate(shapes)}
    w |= {f"b{k + 1}": rng.standard_normal(shape[0]) for k, shape in enumerate(shapes)}
    np.savez(tmp_path / "weights.npz", **w)
    x = rng.standard_normal((200, n))
    columns = {f"x{i + 1}": x[:, i] for i in range(n)}
    pq.write_table(pa.table({"row": np.arange(200), **columns}), tmp_path / "x.parquet")
    z = x @ w["W1"].T + w["b1"]
    slope = np.where(z > 0, 1, np.exp(z))  # elu' ; elu'' = elu' below zero, 0 above
    curve = np.where(z > 0, 0, np.exp(z))
    wanted = {
        "value": np.where(z > 0, z, np.expm1(z)) @ w["W2"].T + w["b2"],
        "jacobian": np.einsum("jk,rk,ki->rji", w["W2"], slope, w["W1"]),
        "hessian_diag": np.einsum("jk,rk,ki->rji", w["W2"], curve, w["W1"] ** 2),
    }
    methods = ("taylor", "double_forward", "forward_over_reverse", "reverse_over_forward")
    for method in (*methods, "dense_hessian", "auto"):
        done = hyperdiag(
            *("derive", "network=chain", f"network.layers='{layers}'"),
            *("network.weights=weights.npz", "dataset=parquet", "dataset.path=x.parquet"),
            *("cluster=inline", "derivatives.dtype=float64", f"derivatives.method={method}"),
            *("output.layout=tensor", f"output.path={method}"),
        )
        _said(done)
        table = pq.read_table(tmp_path / method / "data")
        assert table["row"].to_pylist() == list(range(200))
        for name, array in wanted.items():
            found = table[name].combine_chunks()
            while pa.types.is_fixed_size_list(found.type):
                found = found.flatten()
            np.testing.assert_allclose(
                found.to_numpy().reshape(array.shape), array, rtol=0, atol=1e-12 * abs(array).max()
            )


def test_own_function_over_a_hive_tree_with_bad_rows_accounts_for_each(hyperdiag, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\n"
        "def build(power):\n"
        "    return lambda x: jnp.stack([jnp.sum(x ** power), x[0] * x[1] / (x[2] - 5.0)])\n"
    )
    rng = np.random.default_rng(3)
    kinds = {
        "null": lambda r: {"a": None},
        "nan": lambda r: {"b": float("nan")},
        "infinite": lambda r: {"b": float("-inf")},
        "overflow": lambda r: {"b": 1e300},
        "not_a_number": lambda r: {"c": "five"},
        "non_finite_result": lambda r: {"c": "5.0"},
    }
    expected, key = {}, 0
    for book in ("rates", "credit", "a b"):
        for part in range(2):
            rows = []
            for _ in range(1000):
                row = {"key": key, "a": int(rng.integers(-9, 9)), "b": float(rng.normal())}
                row["c"], row["tag"] = repr(float(rng.normal())), f"t{key % 7}"
                if rng.random() < 0.06:
                    code = list(kinds)[key % len(kinds)]
                    row |= kinds[code](row)
                    expected[key] = code
                rows.append(row)
                key += 1
            folder = tmp_path / f"tree/book={book}/day={part}"
            folder.mkdir(parents=True)
            schema = pa.schema(
                [
                    *(("key", pa.int64()), ("a", pa.int16()), ("b", pa.float64())),
                    *(("c", pa.string()), ("tag", pa.string())),
                ]
            )
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(table, folder / "rows.parquet", row_group_size=300)
    done = hyperdiag(
        *("derive", "network=python", "network.target=mine:build", "network.kwargs={power: 3}"),
        *("network.inputs=[a,b,c]", "dataset=parquet", "dataset.path=tree"),
        *("output.path=out", "cluster.workers=2", "output.provenance=true"),
    )
    text = _said(done)
    good = pq.read_table(tmp_path / "out/data").to_pandas()
    bad = pq.read_table(tmp_path / "out/quarantine").to_pandas()
    assert f"{len(bad):,} quarantined" in text
    assert sorted([*good["key"], *bad["key"]]) == list(range(6000))
    assert dict(zip(bad["key"], bad["_error_code"], strict=True)) == expected
    assert set(good["book"]) == {"rates", "credit", "a b"}
    assert (good["day"] == (good["key"] // 1000) % 2).all()
    assert (good["tag"] == "t" + (good["key"] % 7).astype(str)).all()
    assert (good["_row_index"] == good["key"] % 1000).all()
    x = good[["a", "b"]].assign(c=good["c"].astype(float)).to_numpy(np.float32).astype(np.float64)
    np.testing.assert_allclose(good["y1"], (x**3).sum(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(good["d2_y1_d_a2"], 6 * x[:, 0], rtol=1e-5)
    np.testing.assert_allclose(
        good["d2_y2_d_c2"], 2 * x[:, 0] * x[:, 1] / (x[:, 2] - 5) ** 3, rtol=1e-4, atol=1e-6
    )


def test_output_is_the_same_bit_for_bit_whoever_does_the_work(hyperdiag, tmp_path):
    for name, cluster in (
        ("one", ["cluster.workers=1"]),
        ("two", ["cluster.workers=2"]),
        ("here", ["cluster=inline"]),
    ):
        done = hyperdiag(
            "derive",
            "dataset.rows=30000",
            "dataset.shard_rows=4000",
            f"output.path={name}",
            *cluster,
        )
        _said(done)
    one = _files(tmp_path / "one")
    assert len(one) == 8
    assert _files(tmp_path / "two") == one
    assert _files(tmp_path / "here") == one


def test_identical_command_finds_everything_done(hyperdiag, tmp_path):
    command = ("derive", *SMALL, BOX, "cluster=inline", "output.path=out")
    _said(hyperdiag(*command))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert "everything is done already" in _said(hyperdiag(*command))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.parquet")} == before


def test_changed_configuration_over_the_same_output_refuses_and_names_it(hyperdiag, tmp_path):
    command = ("derive", *SMALL, BOX, "cluster=inline", "output.path=out")
    _said(hyperdiag(*command))
    before = _files(tmp_path / "out")
    text = _said(hyperdiag(*command, "dataset.seed=7"), code=2)
    assert "dataset.seed was 0, now is 7" in text
    assert "output.mode=overwrite" in text
    assert _files(tmp_path / "out") == before
    _said(hyperdiag(*command, "dataset.seed=7", "output.mode=overwrite"))
    assert _files(tmp_path / "out") != before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_command_after_a_kill_does_only_what_is_missing(
    hyperdiag, tmp_path, monkeypatch, number, code
):
    temporary = Path(tempfile.mkdtemp(prefix="k-"))  # short, since Ray keeps sockets in it
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = ["derive", "dataset.rows=160000", "dataset.shard_rows=4096", "output.path=out"]
    victim = subprocess.Popen(
        [sys.executable, "-m", "jobs", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    data = tmp_path / "out/data"
    deadline = time.monotonic() + 90
    while not data.exists() or len(list(data.iterdir())) < 3:
        assert time.monotonic() < deadline, "no shard was finished"
        assert victim.poll() is None, victim.stderr.read()
        time.sleep(0.05)
    children = psutil.Process(victim.pid).children(recursive=True)
    child_names = {child.pid: child.name() for child in children}
    victim.send_signal(number)
    sent = time.monotonic()
    _, said = victim.communicate(timeout=30)
    assert victim.returncode == code, said
    if number != signal.SIGKILL:
        assert time.monotonic() - sent < 3
        assert "the same command goes on from there" in said
    # Ray's own agents take their time to notice that their node is gone.
    agents = {pid for pid, name in child_names.items() if "Agent" in name}
    left = agents if number == signal.SIGKILL else set()
    working = [child for child in children if child.pid not in left]
    _, alive = psutil.wait_procs(working, timeout=30)
    assert not alive
    left_behind = list(temporary.iterdir())
    assert bool(left_behind) == (number == signal.SIGKILL)
    assert not (tmp_path / "out/_SUCCESS").exists()
    kept = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    assert 3 <= len(kept) < 40
    text = _said(hyperdiag(*command))
    assert "of them done before" in text
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(data.iterdir())) == 40
    assert ds.dataset(data).count_rows() == 160_000
    assert (tmp_path / "out/_SUCCESS").exists()


def test_second_run_on_one_output_refuses_naming_the_first(hyperdiag, tmp_path):
    command = ["derive", "dataset.rows=400000", "output.path=out"]
    first = subprocess.Popen(
        [sys.executable, "-m", "jobs", *command], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        lock = tmp_path / "out/run/lock"
        deadline = time.monotonic() + 60
        while not lock.exists() or not lock.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        text = _said(hyperdiag(*command), code=2)
        assert (
            f"another run is at work in output.path {tmp_path}/out (process {first.pid} on" in text
        )
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "out/data").iterdir())) < 6:  # the first goes on unharmed
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.05)
    finally:
        first.terminate()
        first.wait(30)


def test_too_many_bad_rows_fail_the_run_and_keep_what_is_done(hyperdiag, tmp_path):
    table = pa.table({"x1": [1.0, None, 3.0, 4.0], **{f"x{i}": [1.0] * 4 for i in range(2, 6)}})
    pq.write_table(table, tmp_path / "x.parquet")
    command = ("derive", "network=chain", "dataset=parquet", "dataset.path=x.parquet")
    command += ("cluster=inline", "output.path=out")
    text = _said(hyperdiag(*command), code=1)
    assert "1 of 4 rows are bad (1 null), more than limits.max_bad_fraction=0.1" in text
    assert not (tmp_path / "out/_SUCCESS").exists()
    assert pq.read_table(tmp_path / "out/data").num_rows == 3
    _said(hyperdiag(*command, "limits.max_bad_fraction=0.25"))
    assert (tmp_path / "out/_SUCCESS").exists()


def test_row_group_of_two_million_rows_keeps_memory_small(tmp_path):
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.standard_normal(2_000_000) for i in range(1, 6)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=2_000_000)
    assert pq.read_metadata(tmp_path / "x.parquet").num_row_groups == 1
    command = [*("derive", "network=chain", "dataset=parquet", "dataset.path=x.parquet")]
    command = [sys.executable, "-m", "jobs", *command, "cluster=inline", "output.path=out"]
    # Through a small process: a child's peak counts what it was forked from.
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", script, *command], cwd=tmp_path, text=True
    )
    assert int(said.splitlines()[-1]) < 1_000_000  # KiB
    assert ds.dataset(tmp_path / "out/data").count_rows() == 2_000_000


def test_inline_never_imports_ray(tmp_path):
    script = (
        "import sys; sys.argv = ['derive', 'cluster=inline', 'dataset.rows=10', 'output.path=o']\n"
        "import atexit; atexit.register(lambda: print('ray' in sys.modules))\n"
        "from jobs.derive import main; main()"
    )
    said = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True)
    assert said.splitlines()[-1] == "False"


def test_piecewise_linear_network_is_said_to_have_no_curvature(hyperdiag, tmp_path):
    (tmp_path / "rectified.py").write_text(
        "import jax\ndef build():\n    return lambda x: jax.nn.relu(x)\n"
    )
    done = hyperdiag(
        *("derive", "network=python", "network.target=rectified:build", "network.inputs=[a,b]"),
        *("dataset.ranges={a: [-1, 1], b: [-1, 1]}", "dataset.rows=100", "cluster=inline"),
    )
    assert "the Hessian diagonal of y1, y2 is zero everywhere" in _said(done)

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"


@pytest.mark.slow
def test_bench_of_a_job_measures_job_and_kernel_in_one_run(hyperdiag, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("stays")
    done = hyperdiag(
        *("bench", "bench.subject=job", "network=chain", BOX, "dataset.rows=20000"),
        *("bench.repeats=2", "bench.plain_ray_data=false", "cluster=inline", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/bench.json").read_text())
    assert report["rows"] == 20000
    assert list(report["rows_per_s"]) == ["kernel alone", "whole job"]
    assert min(report["rows_per_s"]["whole job"]) > 0
    assert list(report["ratios"]) == ["whole job / kernel alone"]
    assert [0 < ratio <= 1.5 for ratio in report["ratios"]["whole job / kernel alone"]] == [
        True
    ] * 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bench.json", "mine.txt"]


def test_bench_of_the_pipeline_lays_out_derived_quantities_too(invoke, tmp_path):
    done = invoke(
        *("bench", "bench.subject=pipeline", "network=chain", BOX, "dataset.rows=3000"),
        *("dataset.shard_rows=3000", "bench.repeats=1", "output.path=out"),
        *("derived=[elasticity]", "derivatives.outputs=[value]"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/pipeline.json").read_text())
    # 5 inputs; 3 outputs, each with its value and 5 elasticities.
    assert 4 * (5 + 3 * 6) <= report["bytes_of_a_row"] < 4 * (5 + 3 * 6) + 32


@pytest.mark.slow
def test_bench_of_a_job_measures_plain_ray_data_on_the_same_rows(hyperdiag, tmp_path):
    pytest.importorskip("pandas")
    done = hyperdiag(
        *("bench", "bench.subject=job", "network=chain", BOX, "dataset.rows=20000"),
        *("bench.repeats=1", "cluster=inline", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/bench.json").read_text())
    rates = {name: rates[0] for name, rates in report["rows_per_s"].items()}
    assert list(rates) == ["kernel alone", "whole job", "plain Ray Data"]
    ratio = rates["whole job"] / rates["plain Ray Data"]
    assert report["ratios"]["whole job / plain Ray Data"] == [ratio]
    assert ratio > 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bench.json"]


def test_bench_of_the_pipeline_times_it_and_encoding_alone(invoke, tmp_path):
    done = invoke(
        *("bench", "bench.subject=pipeline", "network=chain", BOX, "dataset.rows=3000"),
        *("dataset.shard_rows=1000", "bench.repeats=2", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/pipeline.json").read_text())
    assert (report["rows"], report["shards"]) == (3000, 3)
    # 5 inputs; 3 outputs, each with its value and two derivatives by 5 inputs: float32.
    assert 4 * (5 + 3 * 11) <= report["bytes_of_a_row"] < 4 * (5 + 3 * 11) + 32
    assert report["results"][0]["cores"] == 1
    for result in report["results"]:
        rates = result["rows_per_s"]
        assert [len(each) for each in rates.values()] == [2, 2]
        assert all(rate > 0 for each in rates.values() for rate in each)
        seconds = result["seconds_per_million_rows"]
        assert {"read", "compute", "verify", "write"} <= seconds.keys()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pipeline.json"]


def test_bench_of_the_pipeline_takes_files(invoke, tmp_path):
    points = np.random.default_rng(0).random((200, 5))
    rows = pa.table(list(points.T), names=[f"x{i}" for i in range(1, 6)])
    pq.write_table(rows, tmp_path / "rows.parquet")
    done = invoke(
        *("bench", "bench.subject=pipeline", "network=chain", "dataset=parquet"),
        *("dataset.path=rows.parquet", "bench.repeats=1", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/pipeline.json").read_text())["rows"] == 200


@pytest.mark.slow
def test_bench_of_kernels_times_the_named_contestants_on_the_named_networks(hyperdiag, tmp_path):
    done = hyperdiag(
        *("bench", "bench.networks=[mlp-9-64x3-1,chain-5-3-3]", "bench.rounds=2"),
        *("bench.contestants=[ours,jvp_of_jvp,jacfwd]", "bench.rows_scale=0.001"),
        "output.path=out",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/kernels.json").read_text())
    assert [network["name"] for network in report["networks"]] == ["mlp-9-64x3-1", "chain-5-3-3"]
    assert [network["contestants"]["ours"]["rows"] for network in report["networks"]] == [33, 66]
    for network in report["networks"]:
        assert list(network["contestants"]) == ["ours", "jvp_of_jvp", "jacfwd"]
        assert network["best_other"] == "jvp_of_jvp"
        assert network["contestants"]["ours"]["errors"]["hessian_diag"] < 1e-4
    assert report["machine"]["rounds"] == 2
    assert "one core, one thread" in done.stdout
    assert "geometric mean" in done.stdout
    # The plot, or why there is none.
    assert (tmp_path / "out/kernels.png").exists() != ("needs matplotlib" in done.stdout)


@pytest.mark.slow
def test_bench_of_kernels_on_all_cores_says_so(hyperdiag):
    done = hyperdiag(
        *("bench", "bench.networks=[chain-5-3-3]", "bench.contestants=[jacfwd]", "bench.rounds=1"),
        *("bench.rows_scale=0.0001", "bench.threads=all"),
    )
    assert done.returncode == 0, done.stderr
    assert "all cores" in done.stdout


def test_bench_with_wrong_options_names_all_of_them(invoke, tmp_path):
    done = invoke(
        *("bench", "bench.subject=kernel", "bench.rounds=0", "bench.rows_scale=0"),
        *("bench.threads=2", "bench.networks=graph"),
    )
    assert done.returncode == 2
    for sentence in (
        "hyperdiag: 5 problems:",
        'bench.subject must be one of kernels, job, pipeline, device; got "kernel"',
        "bench.rounds must be greater than 0; got 0",
        "bench.rows_scale must be greater than 0; got 0",
        "bench.threads must be one of 1, all; got 2",
        'bench.networks must be a list, or one of random; got "graph"',
    ):
        assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("bench.networks=[grahp]", "bench.networks: there is no 'grahp' (closest: 'graph')"),
        ("bench.contestants=[tailor]", "there is no 'tailor' (closest: 'taylor')"),
        ("bench.round=3", "unknown key 'bench.round' (closest: 'bench.rounds')"),
        ("output.path=s3://bucket/x", "output.path: the benchmark writes to a local folder"),
    ],
)
def test_bench_with_a_wrong_option_says_what_is_wrong(hyperdiag, tmp_path, override, sentence):
    done = hyperdiag("bench", override)
    assert done.returncode == 2
    assert done.stderr.startswith("hyperdiag: ")
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "ignored"),
    [
        (("network=chain", "bench.repeats=5"), ("network", "bench.repeats")),
        (("bench.subject=job", "bench.rounds=2"), ("bench.rounds",)),
        (
            ("bench.subject=pipeline", "cluster=inline", "bench.plain_ray_data=false"),
            ("cluster", "bench.plain_ray_data"),
        ),
        (("bench.subject=pipeline", "derivatives.verify_rows=9"), ("derivatives.verify_rows",)),
    ],
)
def test_bench_with_options_of_its_other_subject_refuses(invoke, overrides, ignored):
    done = invoke("bench", *overrides)
    assert done.returncode == 2
    for key in ignored:
        assert f"{key} would be ignored: " in done.stderr


def test_bench_of_kernels_refuses_a_sweep(invoke):
    done = invoke("bench", "--multirun", "bench.threads=1,all")
    assert done.returncode == 2
    assert "instead of --multirun" in done.stderr

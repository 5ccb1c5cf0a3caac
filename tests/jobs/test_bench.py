import json


def test_bench_measures_job_and_kernel_in_one_run(hyperdiag, tmp_path):
    box = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("stays")
    done = hyperdiag(
        *("bench", "network=chain", box, "dataset.rows=20000", "bench.repeats=2"),
        *("cluster=inline", "output.path=out"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/bench.json").read_text())
    assert report["rows"] == 20000
    assert len(report["ratios"]) == 2
    assert 0 < report["ratio"] <= 1.5
    assert report["job_rows_per_s"] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bench.json", "mine.txt"]

import json
import math
import os
import subprocess
import sys

import jax
import pytest

from hyperdiag.bench.device import measure as module
from hyperdiag.hyperdual import PRECISIONS

BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
SHORT = ("bench", "bench.subject=device", "bench.rows_scale=0.01", "output.path=out")
SMALL = (*SHORT, "bench.networks=[chain-5-3-3]", "network=chain", BOX)
PARTS = ("peaks", "exactness", "kernels", "precision", "copies", "job", "pipeline")
# As on a machine without Ray.
NO_RAY = (
    "import sys; sys.modules['ray'] = None; from hyperdiag.jobs.__main__ import main; "
    "sys.argv[0] = 'hyperdiag'; main()"
)


def without_ray(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", NO_RAY, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=540,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


def checked(folder):
    """Return the report, having looked at its numbers."""
    report = json.loads((folder / "device.json").read_text())
    assert report["complete"]
    assert report["wrong"] == []
    assert report["device"]["platform"] == "cpu"
    peaks = report["peaks"]
    assert 1e8 < peaks["multiply_adds_per_s"] < 1e13
    assert 1e8 < peaks["bytes_per_s"] < 1e13
    for case in report["exactness"]:
        assert max(case["errors"].values()) < (1e-4 if case["dtype"] == "float32" else 1e-9)
    for network in report["kernels"]:
        # Much above 1 where a peak was measured while others were at work.
        shares = network["share_of_peak"], network["share_of_memory"]
        assert all(share is None or 0 < share < 20 for share in shares)
        errors = network["contestants"]["ours"]["errors"]
        assert max(errors.values()) < 1e-4
        assert network["contestants"]["ours"]["choice"]["method"]
    for result in report["precision"]:
        assert result["precisions"]["highest"]["errors"]["hessian_diag"] < 1e-4
    return report


def test_device_is_measured_in_all_parts_without_ray(tmp_path):
    done = without_ray(tmp_path, *SMALL, "bench.seconds=500")
    assert done.returncode == 0, done.stderr
    report = checked(tmp_path / "out")
    assert report["notes"] == []
    assert all(report[part] for part in PARTS)
    assert set(report["seconds"]) == set(PARTS)
    assert len(report["exactness"]) == 6
    (kernel,) = report["kernels"]
    assert kernel["best_other"]
    assert len(kernel["contestants"]) == 6
    (table,) = report["precision"]
    assert list(table["precisions"]) == list(PRECISIONS)
    job = report["job"]
    assert job["rows"] == 10_000
    assert list(job["seconds_per_million_rows"]) == [
        *("read", "compute", "verify", "summarise", "write")
    ]
    # One worker in one thread: no more than the whole of its time.
    within = sum(job["seconds_per_million_rows"].values()) / 1e6
    assert 0 < within <= 1.05 / job["rows_per_s"]["whole job"][0]
    assert report["pipeline"]["rows"] == 10_000
    page = (tmp_path / "out/device.md").read_text()
    assert all(f"\n## {part.capitalize()}\n" in page for part in (*PARTS, "memory"))
    assert page in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "device.json",
        "device.md",
    ]


@pytest.mark.slow
def test_device_in_its_short_form_ends_in_time_and_names_what_is_left_out(tmp_path):
    pytest.importorskip("fusion_surrogates")
    done = without_ray(tmp_path, *SHORT, "bench.seconds=60")
    assert done.returncode == 0, done.stderr
    report = checked(tmp_path / "out")
    assert {case["network"] for case in report["exactness"]} >= {"chain-10-5-3"}
    assert report["kernels"][0]["name"] == "qlknn"
    assert sum(report["seconds"].values()) < 180  # beside whatever else is at work


def test_device_says_what_failed_and_goes_on(invoke, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of luck\nand more")

    def nothing(*arguments):
        return {}

    monkeypatch.setattr(module, "matmul_peak", fail)
    for step in ("exactness", "rates", "precision_table", "copies", "time_job", "time_pipeline"):
        monkeypatch.setattr(module, step, nothing)
    done = invoke(*SMALL)
    assert done.returncode == 1
    sentence = "peaks failed: RuntimeError: out of luck"
    assert f"on this device: {sentence}" in done.stderr
    report = json.loads((tmp_path / "out/device.json").read_text())
    # The rates of kernels are shares of the peaks.
    assert report["wrong"][0] == sentence
    assert report["complete"]
    assert f"**Wrong**: {sentence}" in (tmp_path / "out/device.md").read_text()


def test_device_of_which_numbers_are_wrong_ends_with_that(invoke, tmp_path, monkeypatch):
    case = {"network": "tiny", "method": "hyperdual", "dtype": "float32", "cannot": None}
    wrong = [{**case, "errors": {"value": 0.0, "jacobian": 0.5, "hessian_diag": math.inf}}]
    monkeypatch.setattr(module, "exactness", lambda networks, part: wrong)
    monkeypatch.setattr(module, "matmul_peak", lambda: 1.0)
    monkeypatch.setattr(module, "memory_peak", lambda: 1.0)
    for step in ("rates", "precision_table", "copies", "time_job", "time_pipeline"):
        monkeypatch.setattr(module, step, lambda *arguments: {})
    done = invoke(*SMALL)
    assert done.returncode == 1
    sentence = "hyperdual in float32 on tiny: jacobian is off by 0.5 of its largest"
    assert f"hyperdiag: on this device: {sentence}; " in done.stderr
    assert "hessian_diag is off by inf of its largest" in done.stderr
    (case,) = json.loads((tmp_path / "out/device.json").read_text())["exactness"]
    assert case["errors"] == {"value": 0.0, "jacobian": 0.5, "hessian_diag": None}
    assert "| 0e+00 | 5e-01 | inf |" in (tmp_path / "out/device.md").read_text()


def test_device_without_time_leaves_parts_out_by_name(invoke, tmp_path):
    done = invoke(*SMALL, "bench.seconds=1e-9")
    assert done.returncode == 0
    report = json.loads((tmp_path / "out/device.json").read_text())
    assert report["notes"] == [f"{part}, all of it, for want of time" for part in PARTS]
    assert [report[part] for part in PARTS] == [None] * 7


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("output.path=s3://bucket/x", "output.path: the benchmark writes to a local folder"),
        ("bench.networks=random", "bench.networks=random belongs to bench.subject=kernels"),
        ("bench.networks=[grahp]", "bench.networks: there is no 'grahp' (closest: 'graph')"),
        ("bench.seconds=0", "bench.seconds must be greater than 0; got 0"),
        ("cluster=inline", "cluster would be ignored: bench.subject=device measures the device"),
        ("bench.repeats=2", "bench.repeats would be ignored: it belongs to bench.subject=job"),
    ],
)
def test_device_with_a_wrong_option_says_what_is_wrong(invoke, tmp_path, override, sentence):
    done = invoke(*SMALL, override)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


def test_device_refuses_a_cpu_that_nobody_asked_for(invoke, tmp_path):
    jax.config.update("jax_platforms", "")
    try:
        done = invoke(*SMALL)
    finally:
        jax.config.update("jax_platforms", "cpu")
    assert done.returncode == 2
    assert "JAX has only a CPU here: install JAX with CUDA" in done.stderr
    assert not list(tmp_path.iterdir())


def test_inline_runs_import_no_ray(tmp_path):
    done = without_ray(
        tmp_path,
        *("derive", "network=chain", BOX, "dataset.rows=100", "cluster=inline", "output.path=out"),
        *("derivatives.method=hyperdual", "derivatives.tile=8"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/_SUCCESS").exists()

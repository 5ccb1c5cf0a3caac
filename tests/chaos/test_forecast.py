"""What `plan` foretells of time and size, held against the run that `derive` then is.

Other load on the machine between the two is no fault of either: run this on a quiet one. With `-s`
it prints the table of README.md.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_WITHIN = 0.25
_WIDTH, _INPUTS = 256, 32
_MODULE = f"""
import jax.numpy as jnp, numpy as np

SIZES = {[_INPUTS, *[_WIDTH] * 4, 1]}

def build():
    rng = np.random.default_rng(0)
    layers = [(rng.standard_normal((m, n)) / n**0.5).astype("float32")
              for n, m in zip(SIZES, SIZES[1:])]
    def function(x):
        for weights in layers[:-1]:
            x = jnp.tanh(weights @ x)
        return layers[-1] @ x
    return function
"""


def _box(names):
    return f"dataset.ranges={{{', '.join(f'{name}: [-1, 1]' for name in names)}}}"


def _heavy(folder):
    """An mlp of 32-256x4-1: hundreds of thousands of multiplications a row."""
    (folder / "heavy.py").write_text(_MODULE)
    names = [f"x{i + 1}" for i in range(_INPUTS)]
    return (
        *("network=python", "network.target=heavy:build", f"network.n_inputs={_INPUTS}"),
        *(_box(names), "dataset.rows=400000"),
    )


def _parquet(folder):
    """qlknn at rows of files, which have more columns than the network takes."""
    sampled = json.loads(_run(folder, "plan", "dataset.rows=1", "format=json", "cluster=inline"))
    names = sampled["input"]["columns"]
    rng = np.random.default_rng(1)
    (folder / "rows").mkdir()
    for number in range(4):
        columns = {name: rng.uniform(0.5, 1.0, 75_000) for name in names}
        columns |= {"shot": rng.integers(10_000, size=75_000)}
        pq.write_table(pa.table(columns), folder / f"rows/{number}.parquet", row_group_size=10_000)
    return "dataset=parquet", "dataset.path=rows"


CASES = {
    "qlknn, design": lambda _: ("dataset.rows=400000",),
    "qlknn, Parquet": _parquet,
    "chain 5-3-3": lambda _: (
        *("network=chain", _box(f"x{i}" for i in range(1, 6))),
        "dataset.rows=2000000",
    ),
    "mlp 32-256x4-1": _heavy,
}


def _run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "hyperdiag", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.chaos
@pytest.mark.timed
@pytest.mark.parametrize("name", CASES)
def test_time_and_size_foretold_are_those_of_the_run(name, tmp_path):
    overrides = (*CASES[name](tmp_path), "output.path=out")
    found = json.loads(_run(tmp_path, "plan", *overrides, "format=json"))
    assert not (tmp_path / "out").exists()
    began = time.monotonic()
    _run(tmp_path, "derive", *overrides)
    seconds = time.monotonic() - began
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    (foretold,) = [one["seconds"] for one in found["times"] if one["configured"]]
    foretold_size = found["work"]["bytes_out"]
    print(
        f"\n| {name} | {found['work']['rows']:,} | {foretold:.1f} s | {seconds:.1f} s | "
        f"{foretold / seconds:.2f} | {foretold_size / 1e6:.1f} MB | {size / 1e6:.1f} MB | "
        f"{foretold_size / size:.3f} |"
    )
    assert foretold_size == pytest.approx(size, rel=_WITHIN)
    assert foretold == pytest.approx(seconds, rel=_WITHIN)

"""Twenty gigabytes of input through two workers: memory and rates stay level to the end."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_COLUMNS = 128  # of which the network takes five
_ROWS = 200_000
_GIGABYTES = float(os.environ.get("HYPERDIAG_CHAOS_GIGABYTES", "20"))
_SECONDS = 1.0
_DRIVER_MOST = 500 << 20


def _write_dataset(folder: Path) -> int:
    """Write one file and name it again and again; return the bytes of it all."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"x{i}" if i <= 5 else f"other{i}" for i in range(1, _COLUMNS + 1)]
    table = pa.table({name: rng.standard_normal(_ROWS) for name in names})
    pq.write_table(table, folder / "0.parquet", row_group_size=20_000, compression="none")
    size = (folder / "0.parquet").stat().st_size
    copies = max(round(_GIGABYTES * 1e9 / size), 2)
    for number in range(1, copies):
        (folder / f"{number}.parquet").hardlink_to(folder / "0.parquet")
    return copies * size


def _resident(process: psutil.Process) -> tuple[int, list[int]]:
    """Return bytes of the driver, and of each worker."""
    workers = []
    for child in process.children(recursive=True):
        try:
            if any("ray::WorkerActor" in word for word in child.cmdline()):
                workers.append(child.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return process.memory_info().rss, workers


@pytest.mark.chaos
@pytest.mark.timed
def test_memory_and_rates_are_level_over_twenty_gigabytes(tmp_path):
    size = _write_dataset(tmp_path / "in")
    output = tmp_path / "out"
    driver = subprocess.Popen(
        [
            *(sys.executable, "-m", "hyperdiag", "derive", "network=chain", "dataset=parquet"),
            *(f"dataset.path={tmp_path}/in", f"output.path={output}", "output.columns=none"),
            *("derivatives.method=hyperdual", "derivatives.tile=256", "cluster.workers=2"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    watched = psutil.Process(driver.pid)
    curve: list[tuple[float, int, list[int], int]] = []
    began = time.monotonic()
    while driver.poll() is None:
        try:
            own, workers = _resident(watched)
            heartbeat = json.loads((output / "run/progress.json").read_text())
        except (psutil.NoSuchProcess, OSError, ValueError):
            heartbeat, own, workers = {}, 0, []
        if len(workers) == 2 and heartbeat.get("rows_done"):
            curve.append((time.monotonic() - began, own, workers, heartbeat["rows_done"]))
        time.sleep(_SECONDS)
    assert driver.returncode == 0
    manifest = json.loads((output / "run/manifest.json").read_text())
    assert manifest["rows"]["derived"] == manifest["rows"]["read"] > 0
    print(f"{size / 1e9:.1f} GB, {manifest['rows']['read']:,} rows, {manifest['shards']} shards")
    print("seconds  driver MB  workers MB    rows done")
    for seconds, own, workers, rows in curve[:: max(len(curve) // 25, 1)]:
        each = " ".join(f"{worker / 1e6:5.0f}" for worker in workers)
        print(f"{seconds:7.0f}  {own / 1e6:9.0f}  {each:>10}  {rows:11,}")
    assert max(own for _, own, _, _ in curve) < _DRIVER_MOST
    fifth = len(curve) // 5
    early, late = curve[fifth : 2 * fifth], curve[-fifth:]

    def most(part: list) -> int:
        return max(max(workers) for _, _, workers, _ in part)

    assert most(late) < 1.1 * most(early)
    # When each shard was done; the last ones leave a worker idle.
    ends = sorted(path.stat().st_mtime for path in (output / "data").iterdir())[:-4]
    half = ends[len(ends) // 2]
    early_rate = (len(ends) // 2 - len(ends) // 10) / (half - ends[len(ends) // 10])
    late_rate = (len(ends) - 1 - len(ends) // 2) / (ends[-1] - half)
    print(f"shards/s: {early_rate:.2f} in the first half, {late_rate:.2f} in the second")
    assert late_rate > 0.8 * early_rate

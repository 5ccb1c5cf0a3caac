"""Millions of shards in a process of its own, which says what they cost.

`python -m tests.chaos.scale STEP SHARDS FOLDER [ROW_GROUPS]` takes one step. What is simulated: the
listing of the dataset, its footers, and for `resume` the listing of the output. All else is the
product.
"""

import hashlib
import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import pyarrow as pa
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pyarrow import fs

from hyperdiag.config.schema import load_config
from hyperdiag.data import dataset_files, parquet_listing
from hyperdiag.data.filesystem import FoundFile, resolve
from hyperdiag.data.output_folder import DATA, STAGED, file_name
from hyperdiag.data.shard import InputFile
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.run.output import inventory as inventory_module
from hyperdiag.run.output.ledger import Ledger
from hyperdiag.run.output.manifest import Work, make_manifest
from hyperdiag.run.output.receipt import Receipt, Tally
from hyperdiag.run.plan.planner import make_plan

ROWS = 100  # of a row group
WRITTEN = 1_700_000_000_000_000_000
SCHEMA = pa.schema([(f"x{i}", pa.float64()) for i in range(1, 6)]).serialize()


def simulate_dataset(shards, groups):
    """Let the dataset be so many shards, in files of so many row groups."""

    def listing(base):
        infos = (
            fs.FileInfo(
                f"{base.path}/day={n % 365:03d}/part-{n:07d}.parquet",
                fs.FileType.File,
                size=1000 + n,
                mtime_ns=WRITTEN + n,
            )
            for n in range(shards // groups)
        )
        return ((info, None) for info in infos)

    def footer(filesystem, info):
        # A schema of its own for each file, as footers have.
        file = InputFile(info.path, info.size, info.mtime_ns, (ROWS,) * groups)
        schema = pa.ipc.read_schema(pa.py_buffer(SCHEMA))
        return parquet_listing._Footer(file, schema, encrypted=())

    dataset_files._list = listing
    parquet_listing._footer = footer


def simulate_output(ids):
    """Let data files of these shards be in the output."""

    def listing(folder):
        shards = ids if folder.path.endswith(DATA) else ()
        return (FoundFile(file_name(n), 1000 + n, WRITTEN) for n in shards)

    inventory_module.scan = listing


def configured(folder, *overrides):
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        composed = compose(
            "derive",
            [
                *("network=chain", "dataset=parquet", f"dataset.path={folder}/book"),
                *(f"dataset.shard_rows={ROWS}", "derivatives.method=hyperdual"),
                *("derivatives.tile=64", "derivatives.verify_rows=0", "cluster=inline"),
                *(f"output.path={folder}/out", *overrides),
            ],
        )
    return load_config(composed), OmegaConf.to_yaml(composed)


def opened(folder, *overrides):
    """Plan and take the output folder."""
    config, yaml = configured(folder, *overrides)
    planned = make_plan(config)
    ledger = Ledger(config.output.path, planned.plan)
    ledger.open(config.output.mode, yaml)
    return planned, ledger


def receipt(shard, stamp=None):
    ends = {
        name: [[-1.5] * 3, [float(shard)] * 3] for name in ("value", "jacobian", "hessian_diag")
    }
    tally = Tally(ROWS, ROWS, ranges=ends, flat=[0, 0, 0])
    return Receipt(shard, tally, stamp=stamp or (1000 + shard, WRITTEN))


def plan(folder, shards):
    planned, ledger = opened(folder)
    ledger.close()
    assert ledger.inventory.shards == shards
    return planned.rows


def journal(folder, shards):
    """Leave the journal of a run that was killed a thousandth before its end."""
    _, ledger = opened(folder)
    for shard in range(shards - shards // 1000):
        ledger.record(receipt(shard))
    ledger.close()


def resume(folder, shards):
    simulate_output(range(shards - shards // 1000))
    planned, ledger = opened(folder)
    missing = [shard.id for shard in ledger.inventory.missing(planned.plan)]
    ledger.close()
    assert missing == list(range(shards - shards // 1000, shards))
    return ledger.inventory.tally.read


def finish(folder, shards):
    """Do the last thousandth, and publish."""
    done = shards - shards // 1000
    simulate_output(range(done))
    planned, ledger = opened(folder)
    ledger.begin()
    for shard in range(done, shards):
        ledger.record(receipt(shard))
    simulate_output(range(shards))
    ledger.publish(make_manifest(planned, ledger.inventory, Work(), str(folder)))
    ledger.close()
    return ledger.inventory.tally.read


def staged(folder, shards):
    """Leave an update of an output, done but not published, in files without content."""
    out = resolve(f"{folder}/out")
    planned, ledger = opened(folder)
    manifest = make_manifest(planned, ledger.inventory, Work(), str(folder))
    ledger.publish(replace(manifest, plan="before"))
    ledger.close()
    _, ledger = opened(folder, "output.mode=update")
    ledger.begin()
    target = Path((out / STAGED / DATA).path)
    for shard in range(shards):
        path = target / file_name(shard)
        os.close(os.open(path, os.O_CREAT))
        os.utime(path, ns=(WRITTEN, WRITTEN))
        ledger.record(receipt(shard, (0, WRITTEN)))
    ledger.close()


def publish(folder, shards):
    planned, ledger = opened(folder, "output.mode=update")
    assert ledger.inventory.count == shards
    ledger.publish(make_manifest(planned, ledger.inventory, Work(), str(folder)))
    ledger.close()
    assert sum(1 for _ in os.scandir(folder / "out/data")) == shards
    assert not (folder / "out/run/staged").exists()
    return ledger.inventory.tally.read


def yardstick():
    """Return the seconds of a fixed work of the kind that planning is: machines differ."""
    began = time.process_time()
    for number in range(400_000):
        name = f"day={number % 365:03d}/part-{number:07d}.parquet"
        line = json.dumps({"name": name, "size": number, "rows": [ROWS, ROWS]})
        hashlib.sha256(line.encode()).hexdigest()
        json.loads(line)
    return time.process_time() - began


def main():
    step, shards, folder, *groups = sys.argv[1:]
    jax.config.update("jax_platforms", "cpu")
    Path(folder, "book").mkdir(parents=True, exist_ok=True)
    simulate_dataset(int(shards), int(groups[0]) if groups else 1)
    before = yardstick()
    began = time.process_time(), time.monotonic()
    rows = globals()[step](Path(folder), int(shards))
    cpu, wall = time.process_time() - began[0], time.monotonic() - began[1]
    # Not `ru_maxrss`, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
    cost = {"rows": rows, "seconds": cpu, "wall": wall, "megabytes": peak}
    print(json.dumps(cost | {"yardstick": (before + yardstick()) / 2}))


if __name__ == "__main__":
    main()

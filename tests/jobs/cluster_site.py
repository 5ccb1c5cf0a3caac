"""A person's folder, with modules and files of its own, from which runs are submitted."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tests.run import networks

_MINE = """
import time
from pathlib import Path

import numpy as np
from watching import watching


def build(weights, marker="", text=""):
    def wait(point):
        while marker and point[:, 1].max() > 2 and Path(marker).exists():
            time.sleep(0.05)
        return point

    w = np.load(weights)["W"]
    tanh = watching(wait)
    return lambda x: w.astype(x.dtype) @ tanh(x)
"""


class Site:
    """A folder that is not the repository, and a cluster to submit to.

    Args:
        folder: new, for everything.
        server: address of the cluster's job server.

    Attributes:
        marker: a file. While it is there, a run goes no further than its first shards, of ten.
    """

    def __init__(self, folder: Path, server: str):
        self.folder = folder
        self.server = server
        self._started: list[subprocess.Popen[str]] = []
        self.marker = folder / "marker"
        (folder / "mine.py").write_text(_MINE)
        shutil.copy(networks.__file__, folder / "watching.py")
        (folder / "data").mkdir()
        np.savez(folder / "data/w.npz", W=np.arange(6.0).reshape(3, 2))
        x1 = np.linspace(-1, 1, 40)
        x1[::5] = np.nan  # bad rows
        table = pa.table({"x1": x1, "x2": np.arange(40) / 7})
        pq.write_table(table, folder / "rows.parquet", row_group_size=4)

    def run(self, text: str = "") -> list[str]:
        """Return the overrides of a run whose network is given a text, in Hydra's grammar."""
        return [
            *("network=python", "network.target=mine:build", "network.inputs=[x1,x2]"),
            f"network.kwargs={{weights: data/w.npz, marker: '{self.marker}', text: '{text}'}}",
            *("dataset=parquet", "dataset.path=rows.parquet", "dataset.shard_rows=4"),
            *("derivatives.method=double_forward", "derivatives.batch=4"),
            *("derivatives.verify_rows=0", "limits.max_bad_fraction=0.5", "limits.max_attempts=20"),
        ]

    def write_task(self, base: str, text: str = "") -> None:
        """Write the same to conf/task.yaml, a configuration that begins with that of a job."""
        defaults, values = [base], OmegaConf.create()
        for override in OverridesParser.create().parse_overrides(self.run(text)):
            key, value = override.key_or_group, override.value()
            if "." in key:
                OmegaConf.update(values, key, value)
            else:
                defaults.append({f"override {key}": value})
        content = {"defaults": [*defaults, "_self_"], **OmegaConf.to_container(values)}
        (self.folder / "conf").mkdir()
        (self.folder / "conf/task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def start(self, *arguments: str, server: str | None = None) -> "subprocess.Popen[str]":
        """Start `hyperdiag submit` in the folder."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hyperdiag", "submit", *arguments),
                *(f"submit.address={server or self.server}", f"submit.python={sys.executable}"),
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what was started and has not ended."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def submit(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code and what was printed, to standard output and error."""
        return ended(self.start(*arguments))

    def derive(self, *arguments: str) -> None:
        """Do the same without a cluster."""
        done = subprocess.run(
            [sys.executable, "-m", "hyperdiag", "derive", *arguments, "cluster=inline"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def data(self, output: str) -> dict[str, bytes]:
        """Return the data and quarantine files of an output, by name."""
        root = self.folder / output
        files = [*root.glob("data/*"), *root.glob("quarantine/*")]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    def wait_for_data(self, output: str, least: int = 1) -> None:
        """Wait until so many data files are there."""
        deadline = time.monotonic() + 120
        while len([*(self.folder / output).glob("data/*.parquet")]) < least:
            assert time.monotonic() < deadline, "no data comes"
            time.sleep(0.1)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Return exit code and what was printed, once a process has ended."""
    try:
        out, err = process.communicate(timeout=240)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err

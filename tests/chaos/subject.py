"""What is derived, and the oracle: the files of an undisturbed run, and the rows of the input."""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_GROUP_ROWS = 1000
_BAD = {"x1": None, "x3": float("nan"), "x4": float("-inf"), "x5": 1e300}


@dataclass(frozen=True)
class Subject:
    """A dataset, the command that derives it, and what an undisturbed run made of it.

    Attributes:
        dataset: the folder of its files.
        command: after `hyperdiag`; output and cluster are not in it.
        reference: the output folder of the undisturbed run.
        bad: keys of the rows that belong in quarantine.
        start_seconds: that the undisturbed run took besides its work on shards.
        shards: how many there are.
    """

    dataset: Path
    command: tuple[str, ...]
    reference: Path
    bad: frozenset[int]
    start_seconds: float
    shards: int


def make_subject(folder: Path, files: int, rows: int, shard_rows: int, cluster: str) -> Subject:
    """Write a dataset, and derive it undisturbed.

    Args:
        folder: for both, new.
        files: of the dataset.
        rows: of each file.
        shard_rows: as in `dataset.shard_rows`.
        cluster: as in `cluster=...`, of the undisturbed run.
    """
    dataset, reference = folder / "rows", folder / "reference"
    dataset.mkdir(parents=True)
    bad = frozenset[int]().union(*(_write(dataset, number, rows) for number in range(files)))
    command = (
        *("derive", "network=chain", "dataset=parquet", f"dataset.path={dataset}"),
        "network.layers='Chain(Dense(5, 192, tanh), Dense(192, 192, tanh), Dense(192, 3))'",
        # Fixed: what is timed may come out differently, and other methods have other last bits.
        *("derivatives.method=hyperdual", "derivatives.tile=64"),
        *(f"dataset.shard_rows={shard_rows}", "output.provenance=true"),
        # Whoever dies takes innocent shards along.
        "limits.max_attempts=20",
    )
    began = time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "hyperdiag",
            *command,
            f"cluster={cluster}",
            f"output.path={reference}",
        ],
        cwd=folder,
        check=True,
        timeout=300,
        capture_output=True,
    )
    manifest = json.loads((reference / "run/manifest.json").read_text())
    seconds = time.monotonic() - began - manifest["seconds"]["work"]
    return Subject(dataset, command, reference, bad, seconds, manifest["shards"])


def _write(folder: Path, number: int, rows: int) -> set[int]:
    """Write a file; return the keys of its bad rows."""
    rng = np.random.default_rng(number)
    key = number * rows + np.arange(rows)
    columns: dict[str, object] = {"key": key}
    kind = np.where(rng.random(rows) < 0.01, rng.integers(len(_BAD), size=rows), -1)
    for name in (f"x{i}" for i in range(1, 6)):
        values = rng.standard_normal(rows)
        bad = kind == list(_BAD).index(name) if name in _BAD else np.zeros(rows, bool)
        if name in _BAD and _BAD[name] is not None:
            values[bad] = _BAD[name]
        mask = bad if name in _BAD and _BAD[name] is None else None
        columns[name] = pa.array(values, mask=mask)
    path = folder / f"rows-{number}.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=_GROUP_ROWS)
    return set(key[kind >= 0].tolist())


def check_output(subject: Subject, output: Path) -> None:
    """Assert that an output is the undisturbed run's, and that it holds each input row once."""
    _check_files(subject, output)
    check_rows(subject, output)


def _check_files(subject: Subject, output: Path) -> None:
    assert {path.name for path in output.iterdir()} == {"data", "quarantine", "run", "_SUCCESS"}
    for name in ("data", "quarantine"):
        found, wanted = _digests(output / name), _digests(subject.reference / name)
        assert not found.keys() - wanted.keys(), f"more in {name}/ than there should be"
        assert not wanted.keys() - found.keys(), f"missing in {name}/"
        differing = sorted(path for path in wanted if found[path] != wanted[path])
        assert not differing, f"in {name}/ other bytes than undisturbed"
    assert (output / "_SUCCESS").read_bytes() == (subject.reference / "_SUCCESS").read_bytes()
    found, wanted = _manifest(output), _manifest(subject.reference)
    for key in ("plan", "shards", "rows", "warnings"):
        assert found[key] == wanted[key], f"manifest: {key}"


def _digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file below a folder, hidden ones too; '' for what is no file."""
    return {
        os.fspath(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in folder.rglob("*")
    }


def _manifest(output: Path) -> dict:
    return json.loads((output / "run/manifest.json").read_text())


def check_rows(subject: Subject, output: Path) -> None:
    """Assert that each row of the input is in data or quarantine, once, as itself."""
    columns = ["key", "_source_file", "_row_index"]
    good = pq.read_table(output / "data", columns=columns).to_pandas()
    bad = pq.read_table(output / "quarantine", columns=columns).to_pandas()
    assert set(bad["key"]) == subject.bad
    files = sorted(subject.dataset.iterdir())
    rows = {path.name: pq.read_metadata(path).num_rows for path in files}
    wanted = {(name, index) for name, count in rows.items() for index in range(count)}
    places = [
        (Path(file).name, index)
        for table in (good, bad)
        for file, index in zip(table["_source_file"], table["_row_index"], strict=True)
    ]
    assert len(places) == len(wanted), "rows lost or doubled"
    assert set(places) == wanted
    first = dict(zip(rows, np.cumsum([0, *rows.values()]), strict=False))
    keys = [*good["key"], *bad["key"]]
    assert all(
        key == first[file] + index for key, (file, index) in zip(keys, places, strict=True)
    ), "a row under another row's place"

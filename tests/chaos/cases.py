"""One case: a dataset with a damaged or odd file in it, and a run's configuration, from a seed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import MUTATIONS, any_mutation
from .odd_files import DONE, ODD_FILES, REFUSED
from .plain_files import Rng, Rows, plain_rows, write

LAYERS = "Chain(Dense(3, 2, tanh), Dense(2, 2))"
_ODD_PART = 0.3
_NAMES = ("m.parquet", "wéird na'me %41 #{x}[1].parquet", "m m.pq", "new\nline.parquet")


@dataclass(frozen=True)
class File:
    """A file of the dataset.

    Attributes:
        path: of the file.
        rows: that were written into it; None where nobody can say how many there are now.
        damaged: whether its bytes were touched.
    """

    path: str
    rows: int | None
    damaged: bool


@dataclass(frozen=True)
class Case:
    """A dataset and a configuration.

    Attributes:
        seed: that makes it again.
        what: was done to the file.
        files: of the dataset.
        config: of the run, as plain values.
        expected: what must come of it, where that is known.
    """

    seed: int
    what: str
    files: tuple[File, ...]
    config: dict[str, Any] = field(repr=False)
    expected: str | None = None


def make_case(seed: int, folder: Path) -> Case:
    """Write a case's files into a folder and return it."""
    rng = np.random.default_rng([seed, 2026])
    rows_in = folder / "rows in"
    rows_in.mkdir(parents=True)
    path = rows_in / str(rng.choice(_NAMES, p=[0.7, 0.1, 0.1, 0.1]))
    if rng.random() < _ODD_PART:
        what, expected, rows = _odd(rng)
        write(rows, str(path))
        file = File(str(path), sum(table.num_rows for table in rows.tables), False)
    else:
        expected, rows = None, plain_rows(rng)
        write(rows, str(path))
        what, written = _damaged(rng, path.read_bytes())
        path.write_bytes(written)
        file = File(str(path), sum(table.num_rows for table in rows.tables), True)
    beside = _beside(rng, rows_in, rows)
    if beside:
        expected = None
    config = _config(rng, folder, rows, str(path) if not beside else None)
    if expected == REFUSED:
        config["output"]["layout"] = "wide"
    return Case(seed, what, (file, *beside), config, expected)


def odd_case(what: str, seed: int, folder: Path) -> Case:
    """Return a case of one odd file."""
    rng = np.random.default_rng([seed, 5])
    odd = ODD_FILES[what](rng)
    path = folder / "rows in" / "m.parquet"
    path.parent.mkdir(parents=True)
    write(odd.rows, str(path))
    config = _config(rng, folder, odd.rows, str(path))
    if odd.expected == REFUSED:
        config["output"]["layout"] = "wide"
    file = File(str(path), sum(table.num_rows for table in odd.rows.tables), False)
    return Case(seed, what, (file,), config, odd.expected)


def case_of_bytes(content: bytes, rows: Rows, folder: Path) -> Case:
    """Return a case of one file with this content."""
    path = folder / "rows in" / "m.parquet"
    path.parent.mkdir()
    path.write_bytes(content)
    config = _config(np.random.default_rng(0), folder, rows, str(path))
    count = sum(table.num_rows for table in rows.tables)
    return Case(-1, "edited", (File(str(path), count, True),), config)


def _odd(rng: Rng) -> tuple[str, str, Rows]:
    what = str(rng.choice(list(ODD_FILES)))
    odd = ODD_FILES[what](rng)
    return what, odd.expected, odd.rows


def _damaged(rng: Rng, content: bytes) -> tuple[str, bytes]:
    names = [any_mutation(rng)]
    if rng.random() < 0.1:
        names.append(any_mutation(rng))
    damaged = MUTATIONS[names[0]](content, rng)
    for name in names[1:]:
        try:
            damaged = MUTATIONS[name](damaged, rng)
        except Exception:  # no valid file any more, which it would have to be
            damaged = MUTATIONS["insert_bytes"](damaged, rng)
    return " + ".join(names), damaged


def _beside(rng: Rng, folder: Path, rows: Rows) -> tuple[File, ...]:
    """Write other files beside it: whole ones of the same columns, or of others."""
    beside = []
    for name in ("a.parquet", "z.parquet"):
        chance = rng.random()
        if chance < 0.3:
            write(rows, str(folder / name))
            count = sum(table.num_rows for table in rows.tables)
            beside.append(File(str(folder / name), count, False))
        elif chance < 0.35:
            other = plain_rows(rng, 20)
            write(other, str(folder / name))
            beside.append(File(str(folder / name), 20, False))
    return tuple(beside)


def _config(rng: Rng, folder: Path, rows: Rows, file: str | None) -> dict[str, Any]:
    keyed = "key" in rows.tables[0].schema.names
    config: dict[str, Any] = {
        "network": {"name": "chain", "layers": LAYERS, "weights": str(weights(folder))},
        "dataset": {
            "name": "parquet",
            "path": file if file and rng.random() < 0.5 else str(Path(folder) / "rows in"),
            "columns": rows.columns,
            "vector": rows.vector,
            "filter": "key >= 3" if keyed and rng.random() < 0.15 else None,
            "limit": int(rng.integers(1, 100)) if rng.random() < 0.1 else None,
            "on_bad_file": str(rng.choice(["fail", "skip"])),
            "shard_rows": int(rng.choice([1000, 20])) if rng.random() < 0.7 else None,
        },
        "derivatives": {
            "method": "hyperdual",
            "tile": 8,
            "batch": 16 if rows.tables[0].num_rows < 10_000 else 4096,
            "dtype": str(rng.choice(["float32", "float64"])),
            "verify_rows": 2 if rng.random() < 0.15 else 0,
        },
        "output": {
            "path": str(folder / "out"),
            "layout": str(rng.choice(["wide", "tensor"])),
            "provenance": True,
        },
        "cluster": {"name": "inline"},
        "limits": {"max_bad_fraction": 1.0, "max_attempts": int(rng.integers(1, 3))},
        "run": {"date": "2026-11-23"},
    }
    if config["derivatives"]["dtype"] == "float32":
        # Points of whole numbers saturate tanh: a run refuses slopes that float32 cannot hold
        # beside the value, unless asked for them. Its verification is put to the test in float64.
        config["derivatives"]["tolerance"] = 2.0
    return config


def weights(folder: Path) -> Path:
    """Write the network's weights, as the oracle knows them."""
    rng = np.random.default_rng(7)
    path = folder / "weights.npz"
    shapes = {"W1": (2, 3), "b1": 2, "W2": (2, 2), "b2": 2}
    np.savez(path, **{name: rng.normal(size=shape) for name, shape in shapes.items()})
    return path


__all__ = ["DONE", "REFUSED", "Case", "File", "case_of_bytes", "make_case", "weights"]

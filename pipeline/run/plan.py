"""The plan: all that decides the bits of the output, frozen, and the shards that follow from it."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.design import DesignSource
from pipeline.data.layout import Layout
from pipeline.data.parquet import ParquetSource
from pipeline.data.parquet_listing import InputFile
from pipeline.data.points import PointColumns
from pipeline.data.shard import Shard, Source

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A frozen run. Two plans with the same digest write the same bytes.

    Attributes:
        settings: plain values (what JSON holds), by section: network, dataset, derivatives,
            output, limits, versions. Where the output goes and who computes it are not in here.
        files: the input files as they stood when the plan was made.
        location: where the dataset is, with any credentials; not kept in the output, where
            the settings have it masked.
    """

    settings: Settings
    files: tuple[InputFile, ...]
    location: str = ""

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over settings and files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the plan as it is kept in `run/plan.json`."""
        content = {"settings": self.settings, "files": self.files}
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str | bytes) -> "Plan":
        """Read a plan back.

        Raises:
            ValueError: if the text is no plan.
        """
        content = json.loads(text)
        try:
            files = (
                InputFile(path, size, modified, tuple(rows))
                for path, size, modified, rows in content["files"]
            )
            return Plan(content["settings"], tuple(files))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a plan: {error}") from error

    def differences(self, other: "Plan") -> list[str]:
        """Return sentences on what differs from this plan in another, newer one."""
        mine, theirs = _flat(self.settings), _flat(other.settings)
        changed = [
            f"{key} was {_short(mine.get(key))}, now is {_short(theirs.get(key))}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]
        before = {file.path: file for file in self.files}
        after = {file.path: file for file in other.files}
        for what, paths in (
            ("added", after.keys() - before.keys()),
            ("removed", before.keys() - after.keys()),
            ("changed", {p for p in before.keys() & after.keys() if before[p] != after[p]}),
        ):
            if paths:
                more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
                changed.append(f"input file {min(paths)}{more} was {what}")
        return changed

    @cached_property
    def source(self) -> Source:
        """Where the rows come from."""
        dataset = dict(self.settings["dataset"])
        if dataset.pop("name") == "design":
            return DesignSource(**dataset)
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(dataset.pop("schema"))))
        del dataset["points"]
        dataset["path"] = self.location
        return ParquetSource(files=self.files, schema=schema, columns=schema.names, **dataset)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, in order: they follow from settings and files alone."""
        return self.source.shards()

    @cached_property
    def points(self) -> PointColumns:
        """Where a row's network inputs stand."""
        inputs = self.settings["network"]["inputs"]
        return PointColumns(inputs, **self.settings["dataset"].get("points", _same_names(inputs)))

    @cached_property
    def layout(self) -> Layout:
        """The columns of the data files."""
        network, output = self.settings["network"], self.settings["output"]
        schema = self.source.schema
        return Layout(
            kind=output["layout"],
            network=network["name"],
            digest=network["digest"],
            outputs=network["outputs"],
            directions=self.settings["derivatives"]["directions"],
            dtype=self.settings["derivatives"]["dtype"],
            passed=[schema.field(name) for name in output["columns"]],
            provenance=output["provenance"],
            quantities=self.settings["derivatives"]["outputs"],
        )

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the trained ranges, (n,) each, infinite where unknown."""
        network = self.settings["network"]
        ends = [network["ranges"].get(name, (-np.inf, np.inf)) for name in network["inputs"]]
        low, high = np.array(ends, dtype=np.float64).T
        return low, high


def encoded_schema(schema: pa.Schema) -> str:
    """Return a schema as text that `Plan.source` reads back."""
    return base64.b64encode(schema.serialize()).decode()


def _same_names(inputs: list[str]) -> dict[str, Any]:
    return {"columns": inputs, "vector": False}


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."

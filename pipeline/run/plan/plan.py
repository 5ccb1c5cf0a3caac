"""The plan: all that decides the bits of the output, frozen, and the shards that follow from it."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from hyperdiag.data.design import DesignSource
from hyperdiag.data.filesystem import Place, resolve, write_whole
from hyperdiag.data.layout import Layout
from hyperdiag.data.output_folder import RUN, SCRATCH
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.points import PointColumns
from hyperdiag.data.shard import InputFile, Shard, Source
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

Settings = Mapping[str, Any]

_PLAN = "plan.json"
_FILES_NAME = re.compile(r"files-[0-9a-f]{16}\.parquet")
_FILES_AT_ONCE = 1 << 16  # of a million: what is held of them in a second form
_FILE_COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("row_group_rows", pa.list_(pa.int64())),
        ("first_shard", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """A frozen run. Two plans with the same digest write the same bytes.

    Attributes:
        settings: plain values (what JSON holds), by section: network, dataset, derivatives,
            output, limits, versions. Where the output goes and who computes it are not in here.
        files: the input files as they stood when the plan was made.
        location: where the dataset is, with any credentials; not kept in the output, where
            the settings have it masked.
        network: options of the network, with any credentials, as its builder takes them; likewise
            not kept.
    """

    settings: Settings
    files: tuple[InputFile, ...]
    location: str = ""
    network: Settings = field(default_factory=dict)

    @cached_property
    def settings_digest(self) -> str:
        """16 hexadecimal digits over the settings: what is done to a row, whichever it is."""
        return _digest([json.dumps(self.settings, sort_keys=True)])

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over settings and files."""
        return _digest([self.settings_digest, *map(repr, map(tuple, self.files))])

    def key(self, shard: Shard) -> str:
        """Return 16 hexadecimal digits over all that decides the bits of a shard's output."""
        return _digest([self.settings_digest, repr(tuple(shard.file or ())), repr(shard[2:])])

    def save(self, output: Place) -> None:
        """Keep the plan in an output's `run` folder.

        Raises:
            OutputError: if it cannot be written.
        """
        files = _files_name(self.digest)
        if self.files:
            _write(output, files, _encoded(self.files))
        content = {"digest": self.digest, "files": len(self.files), "settings": self.settings}
        text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False)
        _write(output, _PLAN, text.encode())  # from here on the list of files is this plan's
        for info in output.filesystem.get_file_info(fs.FileSelector((output / RUN).path)):
            if info.base_name != files and _FILES_NAME.fullmatch(info.base_name):
                output.filesystem.delete_file(info.path)

    @staticmethod
    def load_head(output: Place) -> tuple[str, Settings] | None:
        """Return digest and settings of the plan that is kept in an output; None if none is.

        Raises:
            ValueError: if what is there is no plan.
        """
        content = _content(output)
        return None if content is None else (content["digest"], content["settings"])

    @staticmethod
    def load(output: Place) -> "Plan | None":
        """Read the plan that is kept in an output's `run` folder; None if none is.

        Raises:
            ValueError: if what is there is no plan.
        """
        content = _content(output)
        if content is None:
            return None
        files: tuple[InputFile, ...] = ()
        if content["files"]:
            files = _decoded(output / RUN / _files_name(content["digest"]))
        plan = Plan(content["settings"], files)
        if plan.digest != content["digest"]:
            raise ValueError("it is not as it was written: its digest is another")
        # A path with credentials is kept masked, and leads nowhere.
        location = plan.settings.get("dataset", {}).get("path", "")
        network = plan.settings.get("network", {}).get("settings", {})
        return replace(plan, location=location, network=network)

    def for_workers(self) -> "Plan":
        """Return the plan without the list of files: a shard brings its own."""
        return replace(self, files=())

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
            ("changed", {p for p in before.keys() & after.keys() if before[p][:4] != after[p][:4]}),
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
            # Columns in the order of the network's inputs: a plan that was read back has its keys
            # in another.
            inputs = self.settings["network"]["inputs"]
            ranges = {name: dataset["ranges"][name] for name in inputs}
            return DesignSource(**{**dataset, "ranges": ranges})
        schema = decoded_schema(dataset.pop("schema"))
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
    """Return a schema as text that `decoded_schema` reads back."""
    return base64.b64encode(schema.serialize()).decode()


def decoded_schema(text: str) -> pa.Schema:
    """Return the schema of `encoded_schema`'s text."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _same_names(inputs: list[str]) -> dict[str, Any]:
    return {"columns": inputs, "vector": False}


def _digest(parts: Iterable[str]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{part}\n".encode())
    return total.hexdigest()[:16]


def _write(output: Place, name: str, content: bytes) -> None:
    write_whole(output / RUN / name, content, output / SCRATCH / name)


def _files_name(digest: str) -> str:
    return f"files-{digest}.parquet"


def _encoded(files: tuple[InputFile, ...]) -> bytes:
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, _FILE_COLUMNS, compression="zstd") as writer:
        for first in range(0, len(files), _FILES_AT_ONCE):
            columns = zip(*files[first : first + _FILES_AT_ONCE], strict=True)
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, _FILE_COLUMNS, strict=True)
            ]
            writer.write_table(pa.table(arrays, schema=_FILE_COLUMNS))
    return buffer.getvalue()


def _decoded(place: Place) -> tuple[InputFile, ...]:
    files: list[InputFile] = []
    try:
        with pq.ParquetFile(place.path, filesystem=place.filesystem) as parquet:
            for batch in parquet.iter_batches(_FILES_AT_ONCE):
                columns = [column.to_pylist() for column in batch.columns]
                for path, size, modified, rows, first in zip(*columns, strict=True):
                    files.append(InputFile(path, size, modified, tuple(rows), first))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place.path}: {error}") from error
    return tuple(files)


def _content(output: Place) -> dict[str, Any] | None:
    place = output / RUN / _PLAN
    if not place.exists():
        return None
    content = json.loads(place.read_bytes())
    if not isinstance(content, dict) or content.keys() != {"digest", "files", "settings"}:
        raise ValueError("not a plan")
    return content


def plan_at(path: str) -> Plan:
    """Return the plan that an output folder holds.

    Raises:
        UsageError: if there is no run at the path.
        ValueError: if its plan is damaged.
    """
    output = resolve(path)
    plan = Plan.load(output)
    if plan is None:
        raise UsageError(f"output.path {masked(path)} {no_run(output)}")
    return plan


def no_run(output: Place) -> str:
    """Return, as the end of a sentence, that a place holds no run, and what there is not."""
    missing = f"{RUN}/{_PLAN}" if output.exists() else "such folder"
    return f"holds no run: there is no {missing}"


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

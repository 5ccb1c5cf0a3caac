"""The plan: all that decides the bits of the output, frozen, and the shards that follow from it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from hyperdiag.data.layout import Layout
from hyperdiag.data.points import PointColumns
from hyperdiag.data.shard import InputFile, Shard, Source
from hyperdiag.derived.rows import Names
from hyperdiag.statistics.numbers import RowNumbers
from hyperdiag.statistics.shape import Shape

from .spec import (
    DatasetSpec,
    DesignSpec,
    ParquetSpec,
    Settings,
    decoded_schema,
    digest_of_texts,
)
from .summary_changes import summary_changes
from .versions import jax_hint


@dataclass(frozen=True)
class Plan(Settings):
    """A frozen run: its settings, and its input files. Two plans with the same digest write the
    same bytes.

    Attributes:
        files: the input files as they stood when the plan was made.
        location: where the dataset is, with any credentials; not kept in the output, where
            the settings have it masked.
        network_options: the network's name and the options of its builder, with any credentials;
            likewise not kept.
    """

    files: tuple[InputFile, ...]
    location: str = ""
    network_options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over settings and files."""
        return digest_of_texts([self.settings_digest, *map(repr, map(tuple, self.files))])

    def key(self, shard: Shard) -> str:
        """Return 16 hexadecimal digits over all that decides the bits of a shard's output."""
        return digest_of_texts(
            [self.settings_digest, repr(tuple(shard.file or ())), repr(shard[2:])]
        )

    def for_workers(self) -> "Plan":
        """Return the plan without the list of files: a shard brings its own."""
        return replace(self, files=())

    def differences(self, other: "Plan") -> list[str]:
        """Return sentences on what differs from this plan in another, newer one."""
        mine, theirs = _for_people(self), _for_people(other)
        hints = {"network.digest": jax_hint(other.network.name, self.versions, other.versions)}
        changed = [
            f"{key} was {_short(mine.get(key))}, now is {_short(theirs.get(key))}"
            + hints.get(key, "")
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]
        options = summary_changes(self.summary, other.summary)
        changed += [
            f"{option} was {_short(was)}, now is {_short(now)}"
            for option, (was, now) in options.items()
        ]
        before = {file.path: file for file in self.files}
        after = {file.path: file for file in other.files}
        for change, paths in (
            ("added", after.keys() - before.keys()),
            ("removed", before.keys() - after.keys()),
            ("changed", {p for p in before.keys() & after.keys() if before[p][:4] != after[p][:4]}),
        ):
            if paths:
                more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
                changed.append(f"input file {min(paths)}{more} was {change}")
        return changed or ["summary: what follows from its options is another"]

    @cached_property
    def source(self) -> Source:
        """Where the rows come from."""
        return rows_source(self.dataset, self.network.inputs, self.files, self.location)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, in order: they follow from settings and files alone."""
        return self.source.shards()

    @cached_property
    def points(self) -> PointColumns:
        """Where a row's network inputs stand."""
        inputs = self.network.inputs
        if isinstance(self.dataset, DesignSpec):
            return PointColumns(inputs, inputs, vector=False)
        return PointColumns(inputs, self.dataset.points.columns, self.dataset.points.vector)

    @cached_property
    def layout(self) -> Layout:
        """The columns of the data files."""
        schema = self.source.schema
        return Layout(
            kind=self.output.layout,
            network=self.network.name,
            digest=self.network.digest,
            outputs=self.network.outputs,
            directions=self.kernel.directions,
            dtype=self.kernel.dtype,
            passed=[schema.field(name) for name in self.output.columns],
            provenance=self.output.provenance,
            quantities=self.written,
            separator=self.output.separator,
            derived=self.derived.blocks(self.names),
        )

    @property
    def names(self) -> Names:
        """What inputs, directions and outputs are called."""
        return Names(self.network.inputs, self.kernel.directions, self.network.outputs)

    @property
    def writes_no_rows(self) -> bool:
        """Whether rows are left out of the data files, and there are statistics of them alone."""
        return self.summary is not None and self.summary.only

    @cached_property
    def statistics(self) -> Shape | None:
        """What statistics are kept of; None: of nothing."""
        if self.summary is None:
            return None
        numbers = RowNumbers(
            self.network.inputs,
            self.network.outputs,
            self.kernel.directions,
            self.kernel.quantities,
            [name for block in self.layout.derived if not block.labels for name in block.columns],
        )
        return Shape(
            numbers,
            tuple(self.summary.ranges[name] for name in self.kernel.directions),
            self.summary.bins,
            self.summary.curve_step,
            self.summary.sample_step,
            self.summary.quantiles,
            self.summary.extreme_rows,
            self.summary.by,
        )

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the trained ranges, (n,) each, infinite where unknown."""
        ends = [self.network.ranges.get(name, (-np.inf, np.inf)) for name in self.network.inputs]
        low, high = np.array(ends, dtype=np.float64).T
        return low, high


def rows_source(
    dataset: DatasetSpec, inputs: Sequence[str], files: Sequence[InputFile], location: str
) -> Source:
    """Return where the rows of a dataset come from.

    Args:
        dataset: the plan's section on it.
        inputs: names of the network's inputs.
        files, location: of a `Plan`.
    """
    if isinstance(dataset, DesignSpec):
        return dataset.source(inputs)
    return dataset.source(files, location)


def _for_people(plan: Plan) -> dict[str, Any]:
    """Return a plan's settings as one level, its dataset's schema as one of each column."""
    whole = plan.to_json()
    whole.pop("summary", None)  # see `summary_changes`
    settings = _dotted(whole) | {"derivatives.precision": plan.kernel.precision}
    # As it is configured; what is computed besides follows from `derived`.
    settings["derivatives.outputs"] = plan.written
    settings.pop("output.quantities", None)
    if isinstance(plan.dataset, ParquetSpec):
        schema = decoded_schema(settings.pop("dataset.schema"))
        settings["dataset.columns"] = schema.names
        for field in schema:
            more = f" {field.metadata}" if field.metadata else ""
            settings[f"dataset.columns.{field.name}"] = f"{field.type}{more}"
    return settings


def _dotted(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return settings as one level: those of a part as part.setting."""
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _dotted(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""What a plan says, section by section, and the same as the JSON in `run/plan.json`.

The JSON has a key for each field, named like it unless an `alias` is given; keys never change their
meaning, since digests are taken over them and outputs of earlier releases are gone on with.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter

from hyperdiag.data.design import DesignSource
from hyperdiag.data.parquet import ParquetSource
from hyperdiag.data.quantities import FORMER_SEPARATOR
from hyperdiag.data.shard import InputFile
from hyperdiag.derived.derived import Derived
from hyperdiag.hyperdual import HIGHEST
from hyperdiag.messages.validation import validated

# 0 and 0.0 have other digests: each stays what it is.
Ends = tuple[int | float, int | float]


class _Section:
    """Part of the settings: no key beyond its fields."""

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class NetworkSpec(_Section):
    """The network that is derived.

    Attributes:
        name: that it is registered under.
        digest: of what it computes.
        description: one line for people.
        inputs: names of the n inputs.
        outputs: names of the m outputs.
        ranges: (low, high) of the inputs whose trained range is known.
        settings: its name and the options of its builder, with any credentials masked.
    """

    name: str
    digest: str
    description: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ranges: Mapping[str, Ends]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class DesignSpec(DesignSource, _Section):
    """A dataset of points that are made: all that makes them, as `DesignSource` describes it."""

    ranges: Mapping[str, Ends]
    name: Literal["design"] = "design"

    def source(self, inputs: Sequence[str]) -> DesignSource:
        """Return the source of the rows, with its columns in the order of a network's inputs.

        A plan that was read back has its keys in another order.
        """
        return replace(self, ranges={name: self.ranges[name] for name in inputs})


@dataclass(frozen=True)
class PointsSpec(_Section):
    """Where the network's inputs stand in a dataset, as `PointColumns` describes it."""

    columns: tuple[str, ...]
    vector: bool


@dataclass(frozen=True)
class ParquetSpec(_Section):
    """A dataset of Parquet files; the list of files is not in here.

    Attributes:
        path: of the dataset, with any credentials masked.
        schema: the columns of every row, as `encoded_schema` writes them.
        partition_keys: which of them come from the files' paths, below `base`.
        base: folder of the dataset.
        points: where the network's inputs stand.
        row_filter: rows to keep; None keeps all.
        limit: rows to read, from the start of the dataset and before the filter; None reads all.
        shard_rows: about how many rows make a shard of whole row groups.
        name: tells this section from that of a design.
        split_rows: parts of how many rows a large row group is split into, as `ParquetSource` does;
            None splits none, as release 0.1.0 did, whose plans do not have the key.
    """

    path: str
    schema: str
    partition_keys: tuple[str, ...]
    base: str
    points: PointsSpec
    row_filter: str | None
    limit: int | None
    shard_rows: int
    name: Literal["parquet"] = "parquet"
    split_rows: int | None = None

    def source(self, files: Sequence[InputFile], location: str) -> ParquetSource:
        """Return the source of the rows.

        Args:
            files: of the dataset.
            location: its path, with any credentials.
        """
        schema = decoded_schema(self.schema)
        return ParquetSource(
            path=location,
            files=files,
            schema=schema,
            partition_keys=self.partition_keys,
            base=self.base,
            columns=schema.names,
            row_filter=self.row_filter,
            limit=self.limit,
            shard_rows=self.shard_rows,
            split_rows=self.split_rows,
        )


DatasetSpec = DesignSpec | ParquetSpec


@dataclass(frozen=True)
class KernelSpec(_Section):
    """What is computed of each row, and by what.

    Attributes:
        method: its name.
        tile: rows that go through the network at a time; None where the method has no tiles.
        dtype: "float32" or "float64".
        directions: names of the inputs that are differentiated with respect to.
        quantities: what is computed, in this order: names from
            `hyperdiag.data.quantities.QUANTITIES`.
        device: the kind that computes, "cpu" or "gpu".
        verify_rows: of each shard, how many rows are compared with a reference.
        tolerance: how much these may differ, relative to an output's largest entry.
        strict: whether the tolerance was asked for, and rounding is no excuse.
        batch: rows that go through one call.
        precision: of matrix products, of `hyperdiag.hyperdual.PRECISIONS`; plans have the key where
            it is not "highest", as all were once.
    """

    method: str
    tile: int | None
    dtype: str
    directions: tuple[str, ...]
    quantities: Annotated[tuple[str, ...], Field(alias="outputs")]
    device: str
    verify_rows: int
    tolerance: float
    strict: bool
    batch: int
    precision: str = HIGHEST


@dataclass(frozen=True)
class OutputSpec(_Section):
    """The data files.

    Attributes:
        layout: "wide" or "tensor".
        columns: the dataset's columns that are passed through.
        provenance: whether each row says where it comes from.
        row_group_rows: rows of a row group.
        separator: between the parts of the name of a wide column; plans of release 0.1.0 have no
            such key.
        quantities: what is written of what is computed; None is all, and plans then have no such
            key.
    """

    layout: str
    columns: tuple[str, ...]
    provenance: bool
    row_group_rows: int
    separator: Literal["_", "__"] = FORMER_SEPARATOR
    quantities: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LimitsSpec(_Section):
    """What becomes of rows outside the trained ranges: "count" or "quarantine"."""

    out_of_range: str


@dataclass(frozen=True)
class SummarySpec(_Section):
    """The statistics of rows that are kept.

    Attributes:
        ranges: (low, high) of the inputs that were differentiated with respect to: what their
            curves reach over, and what makes their derivatives comparable.
        bins: of each curve; 0: there are no curves.
        curve_step: curves are of a sample of one row in so many.
        sample_step: one row in so many is kept whole, for the quantiles of curves; 0: none.
        quantiles: whether there are any.
        extreme_rows: how many are kept for each output and end.
        only: whether rows themselves are left out of the data files.
        by: the dataset's column that tells the group of a row; None: there are no groups.
    """

    ranges: Mapping[str, Ends]
    bins: int
    curve_step: int
    sample_step: int
    quantiles: bool
    extreme_rows: int
    only: bool
    by: str | None


@dataclass(frozen=True)
class Settings(_Section):
    """What is done to a row, whichever row it is; where the output goes and who computes is not.

    Attributes:
        network: the network.
        dataset: where rows come from, all but the list of files.
        kernel: what is computed of a row.
        output: the data files.
        limits: which rows are refused.
        versions: of the packages that decide the bits.
        derived: what is derived of the kernel's quantities; plans without have no such key.
        summary: which statistics are kept; None: none, as in release 0.1.0.
    """

    network: NetworkSpec
    dataset: Annotated[DatasetSpec, Field(discriminator="name")]
    kernel: Annotated[KernelSpec, Field(alias="derivatives")]
    output: OutputSpec
    limits: LimitsSpec
    versions: Mapping[str, str]
    summary: SummarySpec | None = field(default=None, kw_only=True)
    derived: Derived = field(default=Derived(), kw_only=True)

    @property
    def written(self) -> tuple[str, ...]:
        """The kernel's quantities that are written."""
        return self.kernel.quantities if self.output.quantities is None else self.output.quantities

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values; a tuple stands for a list."""
        values = _SETTINGS.dump_python(self, by_alias=True)
        # Left out where they are as in 0.1.0, so that a plan of then has the digest that it had.
        if values["dataset"].get("split_rows", 0) is None:
            del values["dataset"]["split_rows"]
        if values["output"]["separator"] == FORMER_SEPARATOR:
            del values["output"]["separator"]
        if self.kernel.precision == HIGHEST:
            del values["derivatives"]["precision"]
        if self.output.quantities is None:
            del values["output"]["quantities"]
        # A kind that there was not yet is none that was not asked for.
        derived = {name: kind for name, kind in values.pop("derived").items() if kind is not None}
        if derived:
            values["derived"] = derived
        if self.summary is None:
            del values["summary"]
        return values

    @staticmethod
    def from_json(values: Any) -> "Settings":
        """Return the settings that plain values say.

        Raises:
            ValueError: naming every key that is missing or unknown, and every unusable value.
        """
        return validated(_SETTINGS, values)

    @cached_property
    def settings_digest(self) -> str:
        """16 hexadecimal digits over the settings."""
        return digest_of_texts([json.dumps(self.to_json(), sort_keys=True)])


_SETTINGS = TypeAdapter(Settings)


def digest_of_texts(parts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits over texts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{part}\n".encode())
    return total.hexdigest()[:16]


def encoded_schema(schema: pa.Schema) -> str:
    """Return a schema as text that `decoded_schema` reads back."""
    return base64.b64encode(schema.serialize()).decode()


def decoded_schema(text: str) -> pa.Schema:
    """Return the schema of `encoded_schema`'s text."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))

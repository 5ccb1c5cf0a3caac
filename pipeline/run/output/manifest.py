"""The manifest: what a whole run has to say of itself, in `run/manifest.json`."""

import datetime
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from hyperdiag.data.filesystem import Place, absolute
from hyperdiag.data.output_folder import MANIFEST, SUCCESS
from hyperdiag.data.parquet_listing import BadFile
from hyperdiag.data.quantities import FORMER_SEPARATOR
from hyperdiag.hyperdual import HIGHEST
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.validation import validated
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.planner import Planned

from .inventory import Inventory
from .receipt import STAGES, Receipt, Tally
from .warnings import make_warnings


@dataclass(frozen=True)
class NetworkFacts:
    """The network that was derived: its name, its digest, the names of its inputs and outputs."""

    name: str
    digest: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """The part of a manifest that follows from the plan and the data files alone.

    Attributes:
        plan: its digest.
        network: that was derived.
        method: that derived it.
        dtype: "float32" or "float64".
        precision: of matrix products; manifests have the key where it is not "highest".
        writes_no_rows: whether rows were left out of the data files; manifests have the key where
            they were.
        directions: names of the inputs that were differentiated with respect to.
        quantities: that are in the data files, in this order; `rows.ranges` has all that were
            computed.
        layout: "wide" or "tensor".
        shards: how many there are.
        rows: counts and ranges over all rows.
        tolerance: how much verified rows may differ from the reference.
        versions: of the packages that decide the bits.
        derived: {kind of derived quantity: its columns}; manifests have the key where there are
            any.
    """

    plan: str
    network: NetworkFacts
    method: str
    dtype: str
    precision: str = field(default=HIGHEST, kw_only=True)
    writes_no_rows: bool = field(default=False, kw_only=True)
    directions: tuple[str, ...]
    quantities: Annotated[tuple[str, ...], Field(alias="outputs")]
    layout: str
    shards: int
    rows: Tally
    tolerance: float
    versions: Mapping[str, str]
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = _FACTS.dump_python(self, mode="json", by_alias=True)
        return _without_defaults(values) | {"rows": self.rows.to_dict()}


@dataclass(frozen=True)
class Seconds:
    """How long a command took, which may have done but a part of the run.

    Attributes:
        start: until its workers were ready.
        work: after that.
        rows: that were read in this time.
        stages: the seconds of each stage, over all workers.
    """

    start: float
    work: float
    rows: int
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Manifest(Facts):
    """What a whole run has to say of itself.

    Attributes:
        output: the output folder.
        bad_files: files that were left out.
        warnings: a sentence on each thing that people overlook.
        workers: of the command that published the run; 0 if there was nothing to derive.
        seconds: likewise.
        finished: when that was, an ISO time.
        separator: between the parts of the name of a wide column; manifests of release 0.1.0 do not
            say it.
    """

    output: str
    bad_files: tuple[BadFile, ...]
    warnings: tuple[str, ...]
    workers: int
    seconds: Seconds
    finished: str
    separator: str = FORMER_SEPARATOR

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = _MANIFEST.dump_python(self, mode="json", by_alias=True)
        return _without_defaults(values) | {
            "rows": self.rows.to_dict(),
            "bad_files": [file._asdict() for file in self.bad_files],
        }

    @staticmethod
    def from_json(values: Any) -> "Manifest":
        """Return the manifest that plain values say; a later release's may say more.

        Raises:
            ValueError: naming every key that is missing, and every unusable value.
        """
        return validated(_MANIFEST, values)


_FACTS, _MANIFEST = TypeAdapter(Facts), TypeAdapter(Manifest)
# Left out where they are as in 0.1.0, as that release wrote it.
_DEFAULTS = {
    **{"precision": HIGHEST, "separator": FORMER_SEPARATOR, "writes_no_rows": False},
    "derived": {},
}


def _without_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value != _DEFAULTS.get(key, ...)}


def load_manifest(output: Place) -> Manifest:
    """Return the manifest in an output.

    Raises:
        UsageError: if it is not there, or cannot be read for now.
        ValueError: if it is damaged.
    """
    return Manifest.from_json(json.loads((output / MANIFEST).read_bytes()))


def published_manifest(output: Place) -> Manifest | None:
    """Return the manifest of a published run; None if none was, or its manifest is gone or damaged.

    Raises:
        UsageError: if it is there and cannot be read for now.
    """
    if not (output / SUCCESS).exists():
        return None
    try:
        return load_manifest(output)
    except ValueError:
        return None
    except UsageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


@dataclass
class Work:
    """What one command did of a run.

    Attributes:
        workers: how many were ready at the start; 0 if there was nothing to do.
        start_seconds: until they were.
        seconds: of work after that.
        rows: read in these.
        stages: seconds by stage, over all workers.
        batch: the fewest rows that were computed at once; 0 if none were.
    """

    workers: int = 0
    start_seconds: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    batch: int = 0

    def add(self, receipt: Receipt) -> None:
        """Take in a shard that was done."""
        self.rows += receipt.tally.read
        self.stages.update(receipt.seconds)
        self.batch = min(self.batch or receipt.batch, receipt.batch)


def facts_of(plan: Plan, shards: int, tally: Tally) -> Facts:
    """Return the part of a manifest that follows from the plan and the data files alone.

    Args:
        plan: of the run.
        shards: how many it has.
        tally: of them all.
    """
    network, kernel = plan.network, plan.kernel
    return Facts(
        plan=plan.digest,
        network=NetworkFacts(network.name, network.digest, network.inputs, network.outputs),
        method=kernel.method,
        dtype=kernel.dtype,
        precision=kernel.precision,
        writes_no_rows=plan.writes_no_rows,
        directions=kernel.directions,
        quantities=plan.written,
        layout=plan.output.layout,
        shards=shards,
        rows=tally,
        tolerance=kernel.tolerance,
        versions=plan.versions,
        derived=plan.layout.derived_names,
    )


def make_manifest(planned: Planned, inventory: Inventory, work: Work, output: str) -> Manifest:
    """Return the manifest of a run that is whole.

    Args:
        planned: its plan.
        inventory: what is done of it: all, with its statistics.
        work: what this command did of it.
        output: the output folder.
    """
    facts = facts_of(planned.plan, inventory.shards, inventory.tally)
    stages = {stage: round(work.stages[stage], 3) for stage in STAGES}
    return Manifest(
        **vars(facts),
        output=masked(absolute(output)),
        bad_files=planned.bad_files,
        warnings=tuple(make_warnings(planned, inventory.tally, work.batch, inventory.statistics)),
        workers=work.workers,
        seconds=Seconds(work.start_seconds, work.seconds, work.rows, stages),
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        separator=planned.plan.output.separator,
    )

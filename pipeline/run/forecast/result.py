"""What a forecast says of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hyperdiag.data.parquet_listing import BadFile

START, RESUME, UPDATE, OVERWRITE = "start", "resume", "update", "overwrite"
FINISHED, LOCKED, REFUSED = "finished", "locked", "refused"


@dataclass(frozen=True)
class Kernel:
    """How rows would be derived.

    Attributes:
        method: its name.
        tile: rows that the kernel takes in one step; None for no tiles.
        batch: rows that go through one call.
        dtype: "float32" or "float64".
        device: "cpu" or "gpu".
        precision: of matrix products.
    """

    method: str
    tile: int | None
    batch: int
    dtype: str
    device: str
    precision: str


@dataclass(frozen=True)
class Input:
    """What would be read.

    Attributes:
        path: of the dataset; None for a design.
        files: how many.
        bytes: of these files.
        rows: of the whole run.
        columns: of the dataset.
        bad_files: files that would be left out.
    """

    path: str | None
    files: int
    bytes: int
    rows: int
    columns: list[str]
    bad_files: tuple[BadFile, ...]


@dataclass(frozen=True)
class Output:
    """What would become of the output folder.

    Attributes:
        path: of the folder.
        state: START, RESUME, UPDATE, OVERWRITE, FINISHED, LOCKED or REFUSED.
        problems: why the run would be refused, a sentence each.
        changes: input files that an update takes over, a sentence each.
        shards_done: that are in it, and would stay.
        rows_done: read in these.
    """

    path: str
    state: str
    problems: list[str]
    changes: list[str]
    shards_done: int
    rows_done: int


@dataclass(frozen=True)
class Workload:
    """What is to be done.

    Attributes:
        shards: that are missing in the output.
        rows: to be read in these.
        bytes_in: read of input files, about; what is read twice counts twice.
        rows_derived: rows of data files, about.
        rows_quarantined: rows of quarantine files, about.
        bytes_out: of data and quarantine files, about.
    """

    shards: int = 0
    rows: int = 0
    bytes_in: int = 0
    rows_derived: int = 0
    rows_quarantined: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class Measurement:
    """What the probe measured.

    Attributes:
        rows: that it read.
        seconds: that it took.
        workers: that were at work.
        rows_per_s: of all of them.
        rows_per_s_per_worker: of the one that had most to do.
        worker_bytes: the most memory that the process of a worker had.
        quarantined: bad rows, by code.
        failures: why parts could not be derived.
    """

    rows: int
    seconds: float
    workers: int
    rows_per_s: float
    rows_per_s_per_worker: float
    worker_bytes: int
    quarantined: Mapping[str, int]
    failures: list[str]


@dataclass(frozen=True)
class Overhead:
    """Seconds of a run besides its work on shards; None for what was not measured.

    Attributes:
        start: until workers have compiled their kernels, Ray's own start included.
        end: to let them go.
        exit: of the process.
        launch: from the start of the process to its configuration.
        planning: without timing methods, of which a second run has the outcome.
    """

    start: float | None
    end: float | None
    exit: float | None
    launch: float
    planning: float

    @property
    def total(self) -> float:
        """The sum of all that is known."""
        return sum(filter(None, (self.launch, self.planning, self.start, self.end, self.exit)))


@dataclass(frozen=True)
class Estimate:
    """Time and cost of the run with a number of workers.

    Attributes:
        workers: how many.
        configured: whether that is the number that the run would have, and was measured.
        seconds: from the start of the process to its end.
        worker_hours: of all workers together.
        cost: of these hours; None where the price is not known.
    """

    workers: int
    configured: bool
    seconds: float
    worker_hours: float
    cost: float | None


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        plan: its digest.
        network: the name of the network.
        kernel: how rows would be derived.
        input: what would be read.
        output: what would become of the output folder.
        work: what is to be done; nothing where the run would be refused, or is finished.
        probe: what was measured; None where nothing is to be done.
        seconds: of the run besides its work.
        times: estimates by number of workers, the fewest first; none without a probe.
        currency: of the costs.
        notes: what else a person should know, a sentence each.
    """

    plan: str
    network: str
    kernel: Kernel
    input: Input
    output: Output
    work: Workload
    probe: Measurement | None
    seconds: Overhead
    times: list[Estimate]
    currency: str
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; the keys are always the same."""
        # The key "method" is older than the name of the field.
        values = {
            "method" if name == "kernel" else name: value for name, value in asdict(self).items()
        }
        values["input"]["bad_files"] = [file._asdict() for file in self.input.bad_files]
        return values

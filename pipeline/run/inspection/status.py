"""What an output folder says of its run, whether that goes on, ended or was killed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hyperdiag.data.filesystem import Place, absolute, below, resolve
from hyperdiag.data.output_folder import PLAN, STAGED
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.heartbeat import (
    DONE,
    INCOMPLETE,
    RUNNING,
    HeartbeatRecord,
    read_heartbeat,
)
from hyperdiag.run.output.inventory import scan_output
from hyperdiag.run.output.lock import is_locked
from hyperdiag.run.output.manifest import Manifest, published_manifest
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import plan_at

PUBLISHED, KILLED = "published", "killed"
# While an update is published, some is seen as it was and some as it is: it is looked at again.
_LOOKS = 4


@dataclass(frozen=True)
class ShardCounts:
    """Shards of a plan.

    Attributes:
        planned: all of them.
        done: whose files are in the output.
    """

    planned: int
    done: int


@dataclass(frozen=True)
class RowCounts:
    """Rows of a plan.

    Attributes:
        planned: all of them.
        read: in the shards that are done, as all that follow.
        derived: in data files.
        filtered: that the row filter left out.
        quarantined: in quarantine, by code, in alphabetical order.
    """

    planned: int
    read: int
    derived: int
    filtered: int
    quarantined: Mapping[str, int]


@dataclass(frozen=True)
class Counts:
    """How much of a plan is done.

    Attributes:
        plan: its digest.
        network: the name of the network.
        shards, rows: that are planned and done.
    """

    plan: str
    network: str
    shards: ShardCounts
    rows: RowCounts


@dataclass(frozen=True)
class Rate:
    """How fast a run is that is at work, as its last heartbeat said.

    Attributes:
        rows_done: rows read, of the whole run; None before its workers began, as the next two.
        rows_per_s: rows read in a second, by all workers together.
        workers: that are ready.
        updated: when this was written, as ISO 8601.
    """

    rows_done: int | None
    rows_per_s: int | None
    workers: int | None
    updated: str


class FailedShard(NamedTuple):
    """A shard that was given up: its id, and what happened the last time."""

    shard: int
    cause: str


@dataclass(frozen=True)
class Status:
    """What an output folder says of its run.

    Attributes:
        output: the folder.
        state: RUNNING, STOPPED, INCOMPLETE, PUBLISHED or KILLED.
        counts: of the plan that is in the folder.
        rate: None unless a run is at work.
        failed: shards that the last run gave up; none once the run is published.
        cause: why the last run ended incomplete; None where it did not, or was killed.
        update: counts of the plan that an update will put in the place of the other; None unless
            an update is under way, or was interrupted.
        manifest: None unless the run was published.
    """

    output: str
    state: str
    counts: Counts
    rate: Rate | None
    failed: tuple[FailedShard, ...]
    cause: str | None
    update: Counts | None
    manifest: Manifest | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; the keys are always the same."""
        return {
            "output": self.output,
            "state": self.state,
            **asdict(self.counts),
            "rate": self.rate and asdict(self.rate),
            "failed": [list(failed) for failed in self.failed],
            "cause": self.cause,
            "update": self.update and asdict(self.update),
            "manifest": self.manifest and self.manifest.to_json(),
        }


def _readable_plan(path: str) -> Plan:
    """Return the plan that an output folder holds.

    Raises:
        UsageError: if it holds none that can be read.
    """
    try:
        return plan_at(path)
    except ValueError as error:
        raise UsageError(f"output.path {masked(path)}: its plan cannot be read: {error}") from error


def status(path: str) -> Status:
    """Return what is planned, done, failed, under way and quarantined in an output folder.

    Raises:
        UsageError: if there is no run at the path, or it cannot be read for now.
    """
    output = resolve(path)
    for _ in range(_LOOKS - 1):
        before = _plans(output)
        try:
            seen = _look(path, output)
        except UsageError:
            if _plans(output) == before:
                raise
        else:
            if _plans(output) == before:
                return seen
    return _look(path, output)


def _plans(output: Place) -> list[tuple[int | None, int | None]]:
    """Return what changes when a plan is put in the place of another, as an update does."""
    infos = [(root / PLAN).info() for root in (output, output / STAGED)]
    return [(info.size, info.mtime_ns) for info in infos]


def _look(path: str, output: Place) -> Status:
    plan = _readable_plan(path)
    heartbeat = read_heartbeat(output)
    manifest = published_manifest(output)
    updating = (output / STAGED / PLAN).exists()
    state = _state(output, heartbeat, manifest is not None and not updating)
    last = None if state == PUBLISHED else heartbeat
    return Status(
        output=masked(absolute(path)),
        state=state,
        counts=_counts(output, plan),
        rate=_rate(last) if last and last.state == state == RUNNING else None,
        failed=tuple(FailedShard(*failed) for failed in last.failed) if last else (),
        cause=last.cause if last else None,
        update=_counts(output, _readable_plan(below(path, STAGED)), update=True)
        if updating
        else None,
        manifest=manifest,
    )


def _state(output: Place, heartbeat: HeartbeatRecord | None, published: bool) -> str:
    if is_locked(output):
        return RUNNING
    if published:
        return PUBLISHED
    if heartbeat is None or heartbeat.state == RUNNING:
        return KILLED
    return INCOMPLETE if heartbeat.state == DONE else heartbeat.state


def _rate(heartbeat: HeartbeatRecord) -> Rate:
    return Rate(
        heartbeat.rows_done,
        heartbeat.rows_per_s,
        heartbeat.workers,
        heartbeat.updated.isoformat(),
    )


def _counts(output: Place, plan: Plan, update: bool = False) -> Counts:
    inventory = scan_output(output, plan, update)
    tally = inventory.tally
    return Counts(
        plan=plan.digest,
        network=plan.network.name,
        shards=ShardCounts(inventory.shards, inventory.count),
        rows=RowCounts(
            planned=sum(shard.rows for shard in plan.shards()),
            read=tally.read,
            derived=tally.derived,
            filtered=tally.filtered,
            quarantined=dict(sorted(tally.quarantined.items())),
        ),
    )

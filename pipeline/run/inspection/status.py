"""What an output folder says of its run, whether that goes on, ended or was killed."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hyperdiag.data.filesystem import Place, absolute, below, resolve
from hyperdiag.data.output_folder import LOCK, PLAN, STAGED
from hyperdiag.messages.errors import Busy, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.fence import current_of
from hyperdiag.run.output.heartbeat import (
    DONE,
    INCOMPLETE,
    RUNNING,
    HeartbeatRecord,
    is_alive,
    read_heartbeat,
)
from hyperdiag.run.output.inventory import scan_output
from hyperdiag.run.output.lock import is_locked
from hyperdiag.run.output.manifest import Manifest, published_manifest
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import plan_at

PUBLISHED, KILLED = "published", "killed"
# The cause where nothing tells why a run ended, not even that it was killed.
_UNSEEN = "it left no heartbeat that says more: it ended before the first one, or that is damaged"
_HOLDER = re.compile(r"process (\d+) on ([^,\s]+), since ")  # as `derive` signs the lock
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
        cause: why the last run ended incomplete, or that nothing tells it; None where it did not,
            or was killed.
        update: counts of the plan that an update will put in the place of the other; None unless
            an update is under way, or was interrupted.
        update_published: whether the update is what `hyperdiag.read` returns already, and only its
            files have yet to be put into their places.
        manifest: None unless the run was published.
    """

    output: str
    state: str
    counts: Counts
    rate: Rate | None
    failed: tuple[FailedShard, ...]
    cause: str | None
    update: Counts | None
    update_published: bool
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
            "update_published": self.update_published,
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
        Busy: if a run begins there, and has not written its plan yet.
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
    locked = is_locked(output)
    plan = _plan_of(path, output)
    heartbeat = read_heartbeat(output)
    if locked:
        last = heartbeat if heartbeat and _is_at_work(heartbeat) else None
    else:
        last = heartbeat if heartbeat and _is_of_last_run(heartbeat, output) else None
    manifest = published_manifest(output)
    updating = (output / STAGED / PLAN).exists()
    state = RUNNING if locked else _state(last, manifest is not None and not updating)
    cause = _UNSEEN if state == KILLED and last is None else None
    if state == PUBLISHED:
        last = None
    return Status(
        output=masked(absolute(path)),
        state=state,
        counts=_counts(output, plan),
        rate=_rate(last) if last and state == RUNNING else None,
        failed=tuple(FailedShard(*failed) for failed in last.failed) if last else (),
        cause=last.cause if last else cause,
        update=_counts(output, _readable_plan(below(path, STAGED)), update=True)
        if updating
        else None,
        update_published=updating and _is_folding(output),
        manifest=manifest,
    )


def _is_folding(output: Place) -> bool:
    published = current_of(output).published
    return published is not None and published.folding


def _plan_of(path: str, output: Place) -> Plan:
    """Return the plan in an output.

    Raises:
        UsageError: if there is none.
        Busy: if a run is at work that has not written it yet.
    """
    try:
        return _readable_plan(path)
    except UsageError as error:
        if is_locked(output) and not (output / PLAN).exists():
            raise Busy(
                f"output.path {masked(path)}: a run begins there, and has not written its plan "
                "yet; ask again in a moment"
            ) from error
        raise


def _is_at_work(heartbeat: HeartbeatRecord) -> bool:
    """Return whether a heartbeat is that of the run which holds the lock, as far as can be told.

    Before its first one, that of the run before it is still there.
    """
    mine = heartbeat.state == RUNNING and heartbeat.process == os.getpid()
    return mine or is_alive(heartbeat)


def _is_of_last_run(heartbeat: HeartbeatRecord, output: Place) -> bool:
    """Return whether a heartbeat is that of the run which held the lock last.

    It is not where that one ended before its first. Who held a lock is only known of local ones.
    """
    lock = Path((output / LOCK).path)
    if not output.is_local or not lock.exists():
        return True
    holder = _HOLDER.match(lock.read_text(encoding="utf-8", errors="replace"))
    writer = (str(heartbeat.process), heartbeat.host)
    return holder is None or holder.groups() == writer


def _state(last: HeartbeatRecord | None, published: bool) -> str:
    """Return the state of an output that no run is at work on, by the last heartbeat of its run."""
    if published:
        return PUBLISHED
    if last is None or last.state == RUNNING:
        return KILLED
    return INCOMPLETE if last.state == DONE else last.state


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

"""What the process of one run is told."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hyperdiag.config.override import quoted
from hyperdiag.messages.masking import masked, masked_text

from .history import Run
from .state_folder import LOGS

if TYPE_CHECKING:  # the process of a run reads a specification, and does without APScheduler
    from .entry import Entry


class Job(NamedTuple):
    """A run on a job server.

    Attributes:
        address: of the server.
        submission_id: of the job.
    """

    address: str
    submission_id: str


@dataclass(frozen=True)
class RunSpec:
    """One run of an entry: which it is, what does it, and where its log goes.

    Attributes:
        folder: of the schedule's state.
        entry, tick, attempt: which run.
        command: of `hyperdiag`, and its arguments.
        shown: the same for people, without credentials.
        job: what the command submits; None if it does the work itself.
        log: the file that takes what is said.
        keep_logs: how many logs of the entry are kept.
        deadline_seconds: for how long it is tried again while another run is at work.
    """

    folder: str
    entry: str
    tick: int
    attempt: int
    command: list[str]
    shown: str
    job: Job | None
    log: str
    keep_logs: int
    deadline_seconds: float

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "RunSpec":
        """Return what `to_json` made a text of."""
        values = json.loads(text)
        job = values.pop("job")
        return cls(**values, job=job and Job(*job))


def make_run_spec(
    folder: Path, entry: "Entry", run: Run, flags: Sequence[str] = (), keep_logs: int = 100
) -> RunSpec:
    """Return the specification of a run.

    Args:
        folder: of the schedule's state.
        entry: whose run it is.
        run: which.
        flags: of Hydra, for the command.
        keep_logs: how many logs of the entry are kept.
    """
    arguments = [*flags, *entry.settings.overrides, f"run.date={entry.date_of(run.moment)}"]
    job = None
    if entry.settings.address is not None:
        # The id makes a second submission of the same tick harmless, whoever tries it.
        job = Job(entry.settings.address, f"{run.entry}-{run.key}")
        arguments += [f"submit.address={quoted(job.address)}", f"submit.id={job.submission_id}"]
    return RunSpec(
        folder=str(folder),
        entry=run.entry,
        tick=run.tick,
        attempt=run.attempt,
        command=[entry.command, *arguments],
        shown=masked_text(f"hyperdiag {entry.command} {shlex.join(map(masked, arguments))}"),
        job=job,
        log=str(folder / LOGS / run.entry / f"{run.key}.log"),
        keep_logs=keep_logs,
        deadline_seconds=entry.settings.deadline_seconds,
    )

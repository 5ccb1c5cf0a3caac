"""Runs as jobs on a Ray cluster, through its job server: submitted, followed, stopped."""

from collections.abc import Callable, Sequence

from pipeline.config import Config

from .following import follow_all
from .options import SubmitConfig
from .server import Server, ServerAway
from .submitting import Submission, prepare, send

__all__ = [
    "Server",
    "ServerAway",
    "Submission",
    "SubmitConfig",
    "follow",
    "prepare",
    "send",
    "state",
    "submit",
]


def submit(
    config: Config,
    overrides: Sequence[str],
    options: SubmitConfig,
    submission_id: str | None = None,
    config_dirs: Sequence[str] = (),
) -> str:
    """Submit a run as a job, unless it is there already; return its submission id.

    Arguments and errors are those of `prepare` and `send`.
    """
    submission = prepare(config, overrides, options, submission_id, config_dirs)
    return send(Server(options.address), submission)


def follow(address: str | None, submission_id: str, say: Callable[[str], None] = print) -> int:
    """Print a job's log as it comes; return the job's exit code at its true end.

    A stopped job has 143, one that a signal n killed 128 + n.

    Args:
        address: of the job server; None means RAY_API_SERVER_ADDRESS, or this machine's.
        submission_id: of the job.
        say: takes each line of the log.

    Raises:
        UsageError: if there is no such server or job.
        RunIncomplete: if the server goes away, and stays away.
    """
    return follow_all(Server(address), [submission_id], say)


def state(address: str | None, submission_id: str) -> str | None:
    """Return PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED; None of an unknown job.

    Args:
        address: as for `follow`.
        submission_id: of the job.

    Raises:
        UsageError: if there is no such server.
        ServerAway: if it does not answer.
    """
    job = Server(address).job(submission_id)
    return job.status.value if job else None

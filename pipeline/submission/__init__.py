"""Runs as jobs on a Ray cluster, through its job server: submitted, followed, stopped."""

from .options import SubmitConfig
from .server import Server, ServerAway
from .submitting import Submission, prepare, send

__all__ = ["Server", "ServerAway", "Submission", "SubmitConfig", "prepare", "send", "state"]


def state(address: str | None, submission_id: str) -> str | None:
    """Return PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED; None of an unknown job.

    Args:
        address: of the job server; None means RAY_API_SERVER_ADDRESS, or this machine's.
        submission_id: of the job.

    Raises:
        UsageError: if there is no such server.
        ServerAway: if it does not answer.
    """
    job = Server(address).job(submission_id)
    return job.status.value if job else None

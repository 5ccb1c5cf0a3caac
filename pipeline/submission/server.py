"""Ray's job server: what it is asked, and its refusals in our words."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import requests
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.networks.site_policy import check_host
from hyperdiag.process.exit_codes import TRY_AGAIN

LIVE = ("PENDING", "RUNNING")

_LOCAL = "http://127.0.0.1:8265"
_ADDRESS = "RAY_API_SERVER_ADDRESS"
# Worked round in Ray 2.60.0: its client waits for ever. An upload of a package may take its time.
_ANSWER_SECONDS = 30.0
_UPLOAD_SECONDS = 600.0


class ServerUnavailable(HyperdiagError):
    """The job server does not answer, or not in its right mind: it may do so later."""


class JobExists(HyperdiagError):
    """A job with that id exists."""


class _Client(JobSubmissionClient):
    """Ray's client, with an end to its patience: Ray 2.60.0 has none, and no option for it."""

    def _do_request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        patience = _UPLOAD_SECONDS if method == "PUT" else _ANSWER_SECONDS
        return super()._do_request(method, endpoint, timeout=patience, **kwargs)


class Server:
    """The job server of a cluster.

    Args:
        address: http(s)://host:port; None means RAY_API_SERVER_ADDRESS, or this machine's.

    Attributes:
        address: that it has, without a slash at the end.

    Raises:
        UsageError: if there is none at the address, or it wants a token.
    """

    def __init__(self, address: str | None):
        if address is not None or _ADDRESS not in os.environ:
            # Whoever listens there gets the run, and the user's token.
            check_host(address or _LOCAL, "submit.address")
        self.address = (address or os.environ.get(_ADDRESS) or _LOCAL).rstrip("/")
        if not re.match(r"https?://[^/]", self.address):
            raise UsageError(
                f"submit.address must be that of the cluster's job server, http://host:8265, where "
                f"its dashboard is; got {masked(self.address)}"
            )
        logging.getLogger(JobSubmissionClient.__mro__[1].__module__).setLevel(logging.WARNING)
        try:
            with _without(_ADDRESS, "RAY_ADDRESS"), self._asking():
                self._client = _Client(self.address)
        except ServerUnavailable as error:
            raise UsageError(
                f"submit.address: no job server at {masked(self.address)} ({error}); start one "
                "with `ray start --head`, where ray[default] is installed, and give the address of "
                "its dashboard, http://host:8265 (not that of the cluster itself, host:6379)"
            ) from error

    def submit(self, **job: Any) -> None:
        """Submit a job, as `JobSubmissionClient.submit_job` takes it.

        Raises:
            JobExists: if there is one with its submission_id.
            ServerUnavailable: if the server does not answer.
            UsageError: if it refuses.
        """
        with self._asking():
            try:
                self._client.submit_job(**job)
            except RuntimeError as error:
                if "already exists" in str(error):
                    raise JobExists(job["submission_id"]) from error
                if _status(error) >= 500:
                    raise
                raise UsageError(f"the job server refuses: {_first_line(error)}") from error
            except ValueError as error:
                raise UsageError(f"the job cannot be submitted: {_first_line(error)}") from error

    def job(self, submission_id: str) -> JobDetails | None:
        """Return what is known of a job; None if there is none.

        Raises:
            ServerUnavailable: if the server does not answer.
        """
        with self._asking():
            try:
                return self._client.get_job_info(submission_id)
            except RuntimeError as error:
                if _status(error) == 404:
                    return None
                raise

    def jobs(self) -> list[JobDetails]:
        """Return all jobs that were submitted, the oldest first.

        Raises:
            ServerUnavailable: if the server does not answer.
        """
        with self._asking():
            jobs = [job for job in self._client.list_jobs() if job.submission_id]
        return sorted(jobs, key=lambda job: job.start_time or 0)

    def log(self, submission_id: str) -> str:
        """Return all that a job has printed so far.

        Raises:
            ServerUnavailable: if the server does not answer, or the job's node.
        """
        with self._asking():
            return self._client.get_job_logs(submission_id)

    def stop(self, submission_id: str) -> None:
        """Ask a job to stop: SIGTERM, and SIGKILL three seconds later.

        Raises:
            ServerUnavailable: if the server does not answer.
        """
        with self._asking():
            self._client.stop_job(submission_id)

    def unknown(self, submission_id: str) -> UsageError:
        """Return the complaint that there is no job of this id."""
        return UsageError(
            f"submit.id: the cluster at {masked(self.address)} knows no job {submission_id}; "
            "submit.action=list shows those that it knows (a cluster that was started anew has "
            "forgotten its jobs)"
        )

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise UsageError(
                f"submit.address: the cluster at {masked(self.address)} asks for a token, and this "
                "is none or another: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or "
                "RAY_AUTH_TOKEN_PATH) to what the cluster was started with"
            ) from error
        except (OSError, RuntimeError) as error:  # those of requests are OSErrors
            raise ServerUnavailable(_first_line(error)) from error


def state(address: str | None, submission_id: str) -> str | None:
    """Return PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED; None of an unknown job.

    Args:
        address: of the job server; None means RAY_API_SERVER_ADDRESS, or this machine's.
        submission_id: of the job; where it was tried again, the last try counts.

    Raises:
        UsageError: if there is no such server.
        ServerUnavailable: if it does not answer.
    """
    server = Server(address)
    job = server.job(submission_id)
    tries = 1
    while job and was_kept_waiting(job):
        tries += 1
        job = server.job(again_id(submission_id, tries))
    return job.status.value if job else None


def was_kept_waiting(job: JobDetails) -> bool:
    """Return whether a job ended without doing anything: another run was at work on its output."""
    return job.status.value == "FAILED" and job.driver_exit_code == TRY_AGAIN


def again_id(submission_id: str, tries: int) -> str:
    """Return the id that a job with an id of its own has when it was tried so often."""
    return submission_id if tries == 1 else f"{submission_id}-again-{tries}"


def _status(error: RuntimeError) -> int:
    """Return the HTTP status of an error; 500 where it does not tell.

    Ray 2.60.0's client raises a RuntimeError for every status, which is in its message alone.
    """
    match = re.search(r"status code (\d+)", str(error))
    return int(match.group(1)) if match else 500


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return masked(lines[0])[:300]


@contextlib.contextmanager
def _without(*names: str) -> Iterator[None]:
    """Take variables out of the environment.

    Ray 2.60.0's client would prefer them to the address that it is given.
    """
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

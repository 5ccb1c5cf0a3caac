"""A job's log as it comes, to its true end, and the exit code that it ended with."""

import logging
import signal
import time
from collections.abc import Callable, Sequence

from ray.dashboard.modules.job.pydantic_models import JobDetails

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import duration
from hyperdiag.process.exit_codes import of_process, worst

from .server import LIVE, Server, ServerUnavailable

log = logging.getLogger("hyperdiag")

# Worked round in Ray 2.60.0: its own tail of a log ends whenever a connection does, and begins
# again from the start of the file. Asking for all of it now and then is the surer way, and logs of
# runs are short.
_LEAST_SECONDS = 0.5
_MOST_SECONDS = 10.0
# The share of time that is spent on asking, where logs are long or the server is slow.
_SHARE = 0.1
_UNAVAILABLE_SECONDS = 600.0  # a head node that is replaced
_LOG_TRIES = 5  # of an ended job's log: its node may be gone
_PENDING_SECONDS = 15.0  # before a person is told what a job waits for
# Lines with which Ray 2.60.0 opens each log, and which tell nobody anything.
_RAYS_OWN = ("Runtime env is setting up.", "Running entrypoint for job ")


class Tail:
    """The log of one job, printed as far as it is known.

    Args:
        server: that knows the job.
        submission_id: of the job.
        say: takes each line of the log.
    """

    def __init__(self, server: Server, submission_id: str, say: Callable[[str], None]):
        self.submission_id = submission_id
        self.code: int | None = None
        self._server, self._say = server, say
        self._printed = 0  # characters
        self._lines = 0  # of the job's own
        self._began = time.monotonic()
        self._reason: str | None = None
        self._failures = 0  # to read the log of a job that has ended
        self._seen = False

    def go_on(self) -> None:
        """Print what is new; at the end of the job, set `code`.

        Raises:
            ServerUnavailable: if the server does not answer.
            UsageError: if it knows no such job.
            RunIncomplete: if it knows it no longer.
        """
        # First the state: what was printed before the end is in the log that is read after it.
        job = self._server.job(self.submission_id)
        if job is None and self._seen:
            raise RunIncomplete(
                f"the cluster has forgotten job {self.submission_id}, as one does that was started "
                "anew; submit the run again: it does what is missing"
            )
        if job is None:
            raise self._server.unknown(self.submission_id)
        self._seen = True
        ended = job.status.value not in LIVE
        try:
            self._print(self._server.log(self.submission_id), whole=ended)
        except ServerUnavailable as error:
            self._failures += ended
            if self._failures < _LOG_TRIES:
                raise
            log.info("the end of the log of %s cannot be read: %s", job.submission_id, error)
        if ended:
            self.code = _exit_code(job)
            # It never began; or Ray looks for its log in another folder than its node's.
            unexplained = job.driver_exit_code is None or not self._lines
            if unexplained and job.status.value == "FAILED":
                for line in (job.message or "").splitlines():
                    self._say(masked(line))
        elif job.status.value == "PENDING":
            self._log_why_pending(job)

    def _print(self, text: str, whole: bool) -> None:
        """Print the lines that are new; a last one without an end waits for it."""
        new = text[self._printed :]
        if not whole:
            new = new[: new.rfind("\n") + 1]
        self._printed += len(new)
        if new:
            for line in new.removesuffix("\n").split("\n"):
                if not any(words in line for words in _RAYS_OWN):
                    self._say(line)
                    self._lines += 1

    def _log_why_pending(self, job: JobDetails) -> None:
        if time.monotonic() - self._began > _PENDING_SECONDS and job.message != self._reason:
            self._reason = job.message
            log.info("job %s is pending: %s", job.submission_id, job.message)


def _exit_code(job: JobDetails) -> int:
    if job.status.value == "SUCCEEDED":
        return 0
    if job.status.value == "STOPPED":
        return of_process(-signal.SIGTERM)
    code = job.driver_exit_code
    if code is None:
        return 1
    return of_process(code)


def follow_all(server: Server, submission_ids: Sequence[str], say: Callable[[str], None]) -> int:
    """Follow jobs until all have ended; return the worst of their exit codes.

    Args:
        server: that knows them.
        submission_ids: of the jobs.
        say: takes each line of their logs, after the id where there are several.

    Raises:
        RunIncomplete: if the server stays away, or forgets a job.
        UsageError: if it knows no such job.
    """
    names = list(dict.fromkeys(submission_ids))
    tails = [Tail(server, name, say if len(names) == 1 else _prefixed(say, name)) for name in names]
    unavailable_since: float | None = None
    while True:
        began = time.monotonic()
        unavailable: ServerUnavailable | None = None
        for tail in tails:
            if tail.code is not None:
                continue
            try:
                tail.go_on()
            except ServerUnavailable as error:  # perhaps only that job's node
                unavailable = error
            if tail.code is not None and len(names) > 1:
                log.info("job %s ended with exit code %d", tail.submission_id, tail.code)
        if unavailable is None:
            unavailable_since = None
        elif unavailable_since is None:
            unavailable_since = began
            log.info("the job server does not answer (%s); still trying", unavailable)
        elif began - unavailable_since > _UNAVAILABLE_SECONDS:
            raise RunIncomplete(
                f"no word from the job server at {masked(server.address)} for "
                f"{duration(_UNAVAILABLE_SECONDS)}. {follow_or_stop(server, names)}"
            ) from unavailable
        codes = [tail.code for tail in tails if tail.code is not None]
        if len(codes) == len(tails):
            return worst(codes)
        took = time.monotonic() - began
        time.sleep(min(max(_LEAST_SECONDS, took / _SHARE), _MOST_SECONDS))


def _prefixed(say: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda line: say(f"{name}  {line}")


def follow_or_stop(server: Server, names: Sequence[str]) -> str:
    """Return the commands that follow jobs which go on, and those that stop them, for people."""
    if not names:
        return "Nothing was submitted"
    commands = [
        f"  hyperdiag submit submit.address={masked(server.address)} submit.id={name} "
        f"submit.action={action}"
        for name in names
        for action in ("follow", "stop")
    ]
    return "\n".join(["What was submitted goes on; to follow it again, or to stop it:", *commands])


def wait_until_ended(server: Server, submission_id: str) -> JobDetails:
    """Return a job once it has ended, having printed nothing.

    Raises:
        UsageError: if the server knows no such job.
        ServerUnavailable: if it does not answer.
    """
    while True:
        job = server.job(submission_id)
        if job is None:
            raise server.unknown(submission_id)
        if job.status.value not in LIVE:
            return job
        time.sleep(_LEAST_SECONDS)

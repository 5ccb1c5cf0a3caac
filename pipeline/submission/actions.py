"""What `submit.action` asks for: runs submitted, or a job followed, stopped or listed."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.errors import HyperdiagError, Problems, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.printable import printable
from hyperdiag.process.exit_codes import DONE, exit_code
from hyperdiag.process.signals import Stopped, StopSignals

from .arguments import Command
from .follow import follow_all, follow_or_stop, wait_until_ended
from .job_table import print_jobs
from .options import SubmitConfig
from .server import LIVE, Server
from .submit import Submission, make_submission, send


class Request(NamedTuple):
    """What the command line asks for; of a sweep, one point.

    Attributes:
        options: the section `submit`.
        config: of the run that is to be submitted; None where another action is asked for.
        command: that the run is composed from.
    """

    options: SubmitConfig
    config: Config | None
    command: Command


def perform(requests: Sequence[Request]) -> int:
    """Do what is asked for; return the exit code, of several runs the worst.

    Args:
        requests: one for each point of a sweep, at least one.

    Raises:
        UsageError: naming what is wrong with any of them; nothing was sent then.
        HyperdiagError: if the job server does not answer any more.
    """
    check_sweep(requests)
    options = requests[0].options
    if options.action == "submit":
        return _submit(requests)
    if options.action == "list":
        print_jobs(Server(options.address).jobs())
        return DONE
    if options.id is None:
        raise UsageError(
            f"submit.action={options.action} of which job? Give submit.id=...; "
            "submit.action=list shows them"
        )
    server = Server(options.address)
    if options.action == "follow":
        names = [options.id]
        return _until_signal(server, names, lambda: follow_all(server, names, _print_line))
    job = server.job(options.id)
    if job is None:
        raise server.unknown(options.id)
    if options.action == "logs":
        print(printable(server.log(options.id)), end="")
    elif job.status.value in LIVE:
        server.stop(options.id)
        job = wait_until_ended(server, options.id)
        print(
            f"job {options.id} is {job.status.value}; the same run, submitted again, does what is "
            "missing"
        )
    else:
        print(f"job {options.id} had ended before: it is {job.status.value}")
    return DONE


def check_sweep(requests: Sequence[Request]) -> None:
    """Check that the points of a sweep do not get in each other's way.

    Raises:
        UsageError: if their `submit.*` differ, share an id, or two of them write to one output.
    """
    problems = Problems()
    options = requests[0].options
    if any(request.options != options for request in requests):
        problems.add("submit.* must be the same for all points of a sweep")
    if len(requests) > 1 and options.id:
        problems.add("submit.id is one job's, and this sweep has several: leave it out")
    overrides_by_path: dict[str, Sequence[str]] = {}
    for request in requests:
        path = absolute(request.config.output.path) if request.config else ""
        if path and path in overrides_by_path:
            problems.add(
                f"two points of the sweep write to output.path {masked(path)}: "
                f"{_shown(overrides_by_path[path])} and {_shown(request.command.overrides)}; make "
                "it from what differs, such as 'output.path=out/${derivatives.dtype}'"
            )
        overrides_by_path.setdefault(path, request.command.overrides)
    problems.check()


def _shown(overrides: Sequence[str]) -> str:
    return masked(" ".join(overrides))


def _submit(requests: Sequence[Request]) -> int:
    options = requests[0].options
    submissions = [
        make_submission(request.config, request.command, options)
        for request in requests
        if request.config
    ]
    server = Server(options.address)
    names: list[str] = []
    return _until_signal(server, names, lambda: _send_all(server, submissions, names, options.wait))


def _send_all(
    server: Server, submissions: Sequence[Submission], names: list[str], wait: bool
) -> int:
    """Submit runs, whose ids are added to the names; follow them, or else print their ids."""
    try:
        for submission in submissions:
            names.append(send(server, submission))
        if wait:
            return follow_all(server, names, _print_line)
    except HyperdiagError:
        if names:
            print(follow_or_stop(server, names), file=sys.stderr)
        raise
    for name in names:
        print(name)
    return DONE


def _until_signal(server: Server, names: Sequence[str], step: Callable[[], int]) -> int:
    """Take a step; a signal ends that, and leaves the jobs running that have names by then."""
    try:
        with StopSignals():
            return step()
    except Stopped as stopped:
        print(f"hyperdiag: {stopped}. {follow_or_stop(server, names)}", file=sys.stderr)
        return exit_code(stopped)


def _print_line(line: str) -> None:
    print(printable(line), flush=True)

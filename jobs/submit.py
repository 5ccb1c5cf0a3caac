"""A run as a job on a Ray cluster: submit it, follow it, stop it, list what there is."""

import datetime
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict
from ray.dashboard.modules.job.pydantic_models import JobDetails
from rich.markup import escape
from rich.table import Table

from hyperdiag.config.schema import Config, load_config, load_section
from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.console import plain_console
from hyperdiag.messages.errors import HyperdiagError, Problems, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import duration
from hyperdiag.process.exit_codes import DONE, exit_code
from hyperdiag.process.signals import Stopped, StopSignals
from hyperdiag.submission.arguments import Command
from hyperdiag.submission.follow import follow_all, how_to_go_on, wait_until_ended
from hyperdiag.submission.options import SubmitConfig
from hyperdiag.submission.server import LIVE, Server
from hyperdiag.submission.submit import Submission, prepare, send

from ._command import CONFIG_DIR, run


class _Asked(NamedTuple):
    """What the command line asks for; of a sweep, one point."""

    options: SubmitConfig
    config: Config | None  # of a run that is to be submitted
    command: Command  # that the run is composed from


def _asked(composed: DictConfig) -> _Asked:
    """Return what a composed configuration asks for."""
    with open_dict(composed):
        own = composed.pop("submit", DictConfig({}))
    options = load_section(SubmitConfig, own, "submit.")
    command = _command()
    if options.action != "submit":
        return _Asked(options, None, command)
    choices = HydraConfig.get().runtime.choices
    if "submit" not in choices and choices.get("cluster") == "local":
        # What a configuration has that was made for `derive`, and nobody chose.
        command = command._replace(overrides=["cluster=existing", *command.overrides])
        composed = compose(command.config_name, list(command.overrides))
    return _Asked(options, load_config(composed), command)


def _command() -> Command:
    """Return what the configuration was composed from.

    Raises:
        UsageError: if some of that cannot travel.
    """
    hydra = HydraConfig.get()
    folders = []
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            folders.append(source.path)
        elif source.schema == "file" and Path(source.path) != CONFIG_DIR:
            raise UsageError(
                f"configuration from {source.path} does not travel: give its folder with "
                "--config-dir"
            )
    overrides = [one for one in hydra.overrides.task if not _is_ours(one)]
    assert hydra.job.config_name is not None
    return Command(overrides, folders, hydra.job.config_name)


def _is_ours(override: str) -> bool:
    """Whether an override is of `submit`, and none of `derive`."""
    key = override.lstrip("+~").partition("=")[0]
    return key == "submit" or key.startswith("submit.")


def _finish(everything: Sequence[_Asked]) -> int:
    """Do what was asked for; return the exit code, of several runs the largest."""
    _check_sweep(everything)
    options = everything[0].options
    if options.action != "submit":
        return _look_after(options)
    submissions = [
        prepare(asked.config, asked.command, options) for asked in everything if asked.config
    ]
    server = Server(options.address)
    names: list[str] = []
    return _left_running(server, names, lambda: _send_all(server, submissions, names, options.wait))


def _send_all(
    server: Server, submissions: Sequence[Submission], names: list[str], wait: bool
) -> int:
    """Submit runs, whose ids are added to the names; follow them, or else print their ids."""
    try:
        for submission in submissions:
            names.append(send(server, submission))
        if wait:
            return follow_all(server, names, _say)
    except HyperdiagError:
        if names:
            print(how_to_go_on(server, names), file=sys.stderr)
        raise
    for name in names:
        print(name)
    return DONE


def _left_running(server: Server, names: Sequence[str], step: Callable[[], int]) -> int:
    """Take a step; a signal ends that, and leaves the jobs running that have names by then."""
    try:
        with StopSignals():
            return step()
    except Stopped as stopped:
        print(f"hyperdiag: {stopped}. {how_to_go_on(server, names)}", file=sys.stderr)
        return exit_code(stopped)


def _check_sweep(everything: Sequence[_Asked]) -> None:
    """Check that the points of a sweep do not get in each other's way."""
    problems = Problems()
    options = everything[0].options
    if any(asked.options != options for asked in everything):
        problems.add("submit.* must be the same for all points of a sweep")
    if len(everything) > 1 and options.id:
        problems.add("submit.id is one job's, and this sweep has several: leave it out")
    first: dict[str, Sequence[str]] = {}
    for asked in everything:
        path = absolute(asked.config.output.path) if asked.config else ""
        if path and path in first:
            problems.add(
                f"two points of the sweep write to output.path {masked(path)}: "
                f"{_short(first[path])} and {_short(asked.command.overrides)}; make it from what "
                "differs, such as 'output.path=out/${derivatives.dtype}'"
            )
        first.setdefault(path, asked.command.overrides)
    problems.check()


def _short(overrides: Sequence[str]) -> str:
    return masked(" ".join(overrides))


def _say(line: str) -> None:
    print(line, flush=True)


def _look_after(options: SubmitConfig) -> int:
    """Do what `submit.action` says to a job that was submitted before; return the exit code."""
    if options.action == "list":
        _show(Server(options.address).jobs())
        return DONE
    name = options.id
    if name is None:
        raise UsageError(
            f"submit.action={options.action} of which job? Give submit.id=...; "
            "submit.action=list shows them"
        )
    server = Server(options.address)
    if options.action == "follow":
        return _left_running(server, [name], lambda: follow_all(server, [name], _say))
    job = server.job(name)
    if job is None:
        raise server.unknown(name)
    if options.action == "logs":
        print(server.log(name), end="")
        return DONE
    if job.status.value in LIVE:
        server.stop(name)
        job = wait_until_ended(server, name)
        print(
            f"job {name} is {job.status.value}; the same run, submitted again, does what is missing"
        )
    else:
        print(f"job {name} had ended before: it is {job.status.value}")
    return DONE


def _show(jobs: Sequence[JobDetails]) -> None:
    """Print a table of those jobs that are runs of ours, the newest last."""
    columns = ("id", "state", "began (UTC)", "took", "network", "output")
    rows = [_row(job) for job in jobs if "hyperdiag" in (job.metadata or {})]
    if not rows:
        print("no run was submitted to this cluster since it started")
        return
    widths = [max(map(len, column)) + 2 for column in zip(columns, *rows, strict=True)]
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    plain_console(least_width=sum(widths)).print(table)


def _row(job: JobDetails) -> tuple[str, ...]:
    began, ended = ((moment or 0) / 1000 for moment in (job.start_time, job.end_time))
    took = (ended or time.time()) - began
    told = job.metadata or {}
    return (
        job.submission_id or "",
        job.status.value,
        f"{datetime.datetime.fromtimestamp(began, datetime.UTC):%F %T}",
        duration(took),
        told.get("network", ""),
        told.get("output", ""),
    )


def main() -> None:
    """Run from the command line."""
    if any(one.startswith(("--config-name", "-cn")) for one in sys.argv):
        # A configuration that was made for `derive` has no such section.
        sys.argv = [f"++{one}" if one.startswith("submit.") else one for one in sys.argv]
    everything: list[_Asked] = []  # before anything is sent
    run(
        "submit",
        lambda composed: everything.append(_asked(composed)),
        lambda: _finish(everything),
    )


if __name__ == "__main__":
    main()

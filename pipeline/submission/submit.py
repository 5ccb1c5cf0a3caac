"""A run as a job: packed, given an id that makes a second submission harmless, submitted."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ray.dashboard.modules.job.pydantic_models import JobDetails

from hyperdiag.config.schema import Config, DesignConfig
from hyperdiag.data.filesystem import absolute, is_uri
from hyperdiag.messages.errors import UsageError, listed
from hyperdiag.messages.masking import masked
from hyperdiag.networks.site_policy import check_command, check_unlimited
from hyperdiag.run.cluster.device import prepare_jax
from hyperdiag.run.plan.planner import check

from .arguments import Command, cluster_arguments
from .environment import environment, requirements
from .options import SubmitConfig
from .package import JobSpec, content_digest, entrypoint, packed
from .payload import payload_files
from .server import (
    LIVE,
    JobExists,
    Server,
    ServerUnavailable,
    again_id,
    was_kept_waiting,
)

log = logging.getLogger("hyperdiag")

_TRIES = 10  # to get an id, where others submit the same run


class Submission(NamedTuple):
    """A run that was found to be in order, and can be sent.

    Attributes:
        first_id: its submission id, or the first of them.
        once: whether it is not run again when that job has ended.
        files: that travel, by their paths there.
        job_spec: for the entrypoint.
        job: what Ray's client takes besides, by argument.
    """

    first_id: str
    once: bool
    files: Mapping[str, Path]
    job_spec: JobSpec
    job: Mapping[str, Any]


def make_submission(config: Config, command: Command, options: SubmitConfig) -> Submission:
    """Check a run, and find what travels with it; nothing is sent.

    Args:
        config: of the run.
        command: from which it was composed.
        options: where to, and how.

    Raises:
        UsageError: with every problem that was found.
    """
    if config.cluster.name == "local":
        raise UsageError(
            "cluster=local: a submitted run has the cluster's workers; leave cluster=local out"
        )
    _check_site_limits(options)
    prepare_jax(config)
    check(config, with_files=_sees_dataset(config))
    files = payload_files(config, options, command.config_dirs)
    return Submission(
        first_id=options.id or f"hyperdiag-{_digest(config, files)}",
        once=options.id is not None,
        files=files,
        job_spec=JobSpec(
            cluster_arguments(config, command),
            environment() if options.environment == "expect" else {},
        ),
        job=_job(config, options),
    )


def _check_site_limits(options: SubmitConfig) -> None:
    """Check that the site allows what is to be started, and installed, on the cluster.

    Raises:
        UsageError: if it does not.
    """
    if options.python != SubmitConfig().python:
        check_command(options.python, "submit.python")
    if options.environment == "install" and (options.package or options.requirements):
        check_unlimited(
            "submit.package, submit.requirements", "have them installed on the cluster's machines"
        )


def send(server: Server, submission: Submission) -> str:
    """Submit a run as a job, unless it is there already; return its submission id.

    A run with an id of its own (`submit.id`) is done once, however its job ends; but where another
    run on its output kept it from doing anything (exit code 75), it is tried again, as
    `<id>-again-2` and so on. Of others, a job that is pending or running is the answer; when it has
    ended the run is submitted anew, as `<id>-2` and so on.

    Raises:
        UsageError: if the server refuses, or a file cannot be read any more.
        ServerUnavailable: if the server does not answer any more.
    """
    first = submission.first_id
    with packed(submission.files, submission.job_spec) as package:
        runtime_env = {**submission.job["runtime_env"], "working_dir": str(package)}
        arguments = {**submission.job, "runtime_env": runtime_env}
        for _ in range(_TRIES):
            jobs = {job.submission_id: job for job in server.jobs()}
            states = {name: job.status.value for name, job in jobs.items()}
            name = _once_id(first, jobs) if submission.once else _next_id(first, states)
            if name in states:
                _check_same_output(name, jobs[name].metadata or {}, submission)
                log.info("job %s was submitted before, and is %s", name, states[name])
                return name
            try:
                server.submit(submission_id=name, **arguments)
            except JobExists:
                continue  # by another who submits the same at this moment
            log.info("job %s submitted to %s", name, masked(server.address))
            return name
    raise ServerUnavailable(f"the job server refuses a job {name}, and does not list one either")


def _check_same_output(name: str, metadata: Mapping[str, str], submission: Submission) -> None:
    """Check that a job of the same id is that of the same run: an id may have been given twice.

    Raises:
        UsageError: if it has another output.
    """
    output = submission.job["metadata"]["output"]
    if metadata.get("output") != output:
        raise UsageError(
            f"submit.id: {name} is the job of another run, with output "
            f"{metadata.get('output', '(not of hyperdiag)')} and not {output}; give another id"
        )


def _job(config: Config, options: SubmitConfig) -> dict[str, Any]:
    """Return what a job is, as Ray's client takes it. Everybody on the cluster may read it.

    Raises:
        UsageError: if there are credentials in it.
    """
    runtime_env: dict[str, Any] = {}
    if options.environment == "install":
        packages = requirements(options.package, options.requirements)
        secret = [masked(package) for package in packages if masked(package) != package]
        if secret:
            raise UsageError(
                f"submit.requirements: everybody on the cluster could read the credentials in "
                f"{listed(secret)}; give them to pip there, in its own configuration"
            )
        # No check of packages that are none of ours.
        runtime_env["pip"] = {"packages": packages, "pip_check": False}
    return {
        "entrypoint": entrypoint(options.python),
        "runtime_env": runtime_env,
        "metadata": {
            "hyperdiag": environment()["hyperdiag"],
            "network": config.network.name,
            "dataset": "design"
            if isinstance(config.dataset, DesignConfig)
            else masked(absolute(config.dataset.path)),
            "output": masked(absolute(config.output.path)),
            "date": config.run.date,
        },
        "entrypoint_num_cpus": options.driver_cpus,
        "entrypoint_memory": options.driver_memory_bytes,
        "entrypoint_resources": options.driver_resources,
    }


def _once_id(first: str, jobs: Mapping[str | None, JobDetails]) -> str:
    """Return the id of the job of a run that has one of its own, or that of its next try."""
    tries = 1
    while (job := jobs.get(again_id(first, tries))) and was_kept_waiting(job):
        tries += 1
    return again_id(first, tries)


def _next_id(first: str, states: dict[str | None, str]) -> str:
    """Return the id of the one that is under way, or else one that nobody has."""
    name, number = first, 1
    while name in states and states[name] not in LIVE:
        number += 1
        name = f"{first}-{number}"
    return name


def _digest(config: Config, files: dict[str, Path]) -> str:
    """Return 16 hexadecimal digits over all that decides what the run does.

    The date is not among it, but for what is made from it: the same files are the same run
    tomorrow.
    """
    settings = config.model_dump(exclude={"run"})
    for section in (settings["dataset"], settings["output"]):
        if "path" in section:  # the same from another folder
            section["path"] = absolute(section["path"])
    contents = [settings, environment()["hyperdiag"], content_digest(files)]
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]


def _sees_dataset(config: Config) -> bool:
    """Whether the files of the dataset can be looked at from here.

    A URI may need credentials that only the cluster has.
    """
    if isinstance(config.dataset, DesignConfig):
        return False
    if is_uri(config.dataset.path):
        return False
    path = absolute(config.dataset.path)
    before, glob, _ = path.partition("*")
    if Path(f"{before}*").parent.exists() if glob else Path(path).exists():
        return True
    log.info("dataset.path %s is not to be seen from here: the cluster will look", path)
    return False

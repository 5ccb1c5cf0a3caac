"""A submitted run on the cluster: `derive`, with the arguments in its job specification."""

import sys
from pathlib import Path

from omegaconf import DictConfig, open_dict

from hyperdiag.jobs import derive
from hyperdiag.jobs._command import USAGE, run
from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.package import take_job_spec


def task(composed: DictConfig) -> None:
    """Derive what `submit` was given."""
    with open_dict(composed):
        composed.pop("submit", None)  # the submitter's business
    derive.task(composed)


def main() -> None:
    """Derive, in what `hyperdiag.submission.bootstrap` found to be the expected environment."""
    try:
        job_spec = take_job_spec(Path.cwd())
    except UsageError as error:
        print(f"hyperdiag: {error}", file=sys.stderr)
        sys.exit(USAGE)
    sys.argv = ["hyperdiag submit", *job_spec.arguments]
    run("submit", task)  # composed as on the machine that sent it


if __name__ == "__main__":
    main()

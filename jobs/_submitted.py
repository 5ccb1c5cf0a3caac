"""A submitted run on the cluster: `derive`, with the arguments in the letter beside it."""

import sys
from pathlib import Path

from omegaconf import DictConfig, open_dict

from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.package import read_job_spec

from . import derive
from ._command import USAGE, run


def task(composed: DictConfig) -> None:
    """Derive what `submit` was given."""
    with open_dict(composed):
        composed.pop("submit", None)  # the submitter's business
    derive.task(composed)


def main() -> None:
    """Derive, in what `hyperdiag.submission.bootstrap` found to be the expected environment."""
    try:
        letter = read_job_spec(Path.cwd())
    except UsageError as error:
        print(f"hyperdiag: {error}", file=sys.stderr)
        sys.exit(USAGE)
    sys.argv = ["hyperdiag submit", *letter.arguments]
    run("submit", task)  # composed as it was there


if __name__ == "__main__":
    main()

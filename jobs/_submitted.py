"""The entrypoint of a submitted run: `derive`, with the arguments in the letter beside it.

The command that Ray's shell runs is the same for every run.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig, open_dict

from pipeline.errors import UsageError
from pipeline.submission.environment import check_environment
from pipeline.submission.parcel import read_letter

from . import derive
from ._command import USAGE, run


def task(composed: DictConfig) -> None:
    """Derive what `submit` was given."""
    with open_dict(composed):
        composed.pop("submit", None)  # the submitter's business
    derive.task(composed)


def main() -> None:
    """Derive, in an environment found to be the expected one."""
    try:
        letter = read_letter(Path.cwd())
        check_environment(letter.environment)
    except UsageError as error:
        print(f"hyperdiag: {error}", file=sys.stderr)
        sys.exit(USAGE)
    sys.argv = ["hyperdiag submit", *letter.arguments]
    run("submit", task)  # composed as it was there


if __name__ == "__main__":
    main()

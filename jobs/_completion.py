"""Tab completion: Hydra completes the overrides of one program, and this one has many jobs."""

import os
from collections.abc import Sequence

COMPLETION_FLAGS = ("--shell-completion", "-sc")

_LINE = "COMP_LINE"  # what stands on the command line, as the shell's function passes it on


def completed_job(jobs: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return the arguments that complete a job's overrides; none where the job is to be named.

    Then the jobs that it may be are printed.

    Args:
        jobs: their names.
        arguments: `--shell-completion` and what Hydra takes with it: `install=bash`,
            `uninstall=bash`, `query=bash`; also of zsh and fish.
    """
    program, _, rest = os.environ.get(_LINE, "").lstrip().partition(" ")
    job, space, overrides = rest.lstrip().partition(" ")
    if any(argument.startswith("query=") for argument in arguments):
        if not space:
            print(" ".join(name for name in jobs if name.startswith(job)))
            return []
        # Hydra takes the first word for the program, and all others for overrides.
        os.environ[_LINE] = f"{program} {overrides}"
        return [job, *arguments] if job in jobs else []
    return ["derive", *arguments]  # whichever: the program is what shells ask

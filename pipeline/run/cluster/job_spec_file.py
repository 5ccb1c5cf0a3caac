"""The file with the arguments of a submitted run, any credentials among them, on a cluster's nodes.

Ray unpacks it on every node that has a worker, and keeps it when the job has ended.
"""

import contextlib
from pathlib import Path

JOB_SPEC = "_hyperdiag.json"


def remove_job_spec(folder: Path) -> None:
    """Remove the file from a folder in which Ray has unpacked a job, if it is there."""
    with contextlib.suppress(OSError):  # another worker was first, or has the folder for itself
        (folder / JOB_SPEC).unlink()

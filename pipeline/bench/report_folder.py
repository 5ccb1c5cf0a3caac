"""The folder that a benchmark's report is written to."""

from pathlib import Path

from hyperdiag.data.filesystem import absolute, is_uri
from hyperdiag.messages.errors import UsageError


def report_folder(path: str) -> Path:
    """Make a folder for a report, if it is not there.

    Raises:
        UsageError: if it is not on this machine, or cannot be made.
    """
    if is_uri(path):
        raise UsageError("output.path: the benchmark writes to a local folder")
    folder = Path(absolute(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"output.path={path}: the folder cannot be made ({error.strerror}); take another"
        ) from error
    return folder

"""The folder of a schedule's state: what lies where, and whose it must be."""

import os
import stat
from pathlib import Path

from hyperdiag.messages.errors import UsageError

SCHEDULER_LOCK = "lock"  # held by the scheduler; a file
# Folders: a lock for each entry, held by its run under way; and a folder of logs for each entry.
LOCKS, LOGS = "locks", "logs"


def make_state_folder(folder: Path) -> None:
    """Make the folder of a schedule's state, which is nobody else's to read.

    Raises:
        UsageError: if that cannot be, or if another user has it or may write to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
        # What is kept there is believed.
        if status.st_uid != os.geteuid():
            raise PermissionError(
                f"it belongs to user {status.st_uid}, and this is user {os.geteuid()}; "
                "give a folder of your own"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write to it; chmod go-w {folder}")
        for name in (LOCKS, LOGS):
            (folder / name).mkdir(exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("it is not writable")
    except OSError as error:
        raise UsageError(f"schedule.state {folder} cannot be used: {error}") from error

"""Why an output folder cannot be taken for a run: it is looked at, and nothing is written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import fs

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import Place, files_in, nearest
from hyperdiag.data.object_store.tries import is_passing
from hyperdiag.data.output_folder import DATA, PLAN, QUARANTINE, RUN, SUCCESS
from hyperdiag.messages.errors import OutputError, UsageError, listed
from hyperdiag.messages.masking import masked
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import load_digest, load_plan
from hyperdiag.run.plan.summary_changes import as_before, summary_changes

_OURS = (DATA, QUARANTINE, RUN, SUCCESS)


def check_unknown_files(output: Place, name: str) -> None:
    """Check that an output is a folder, or can become one, and holds nothing but a run's files.

    Args:
        output: the folder, which need not be there.
        name: what messages call it.

    Raises:
        UsageError: naming what is there.
    """
    info = output.info()
    if info.type == fs.FileType.File:
        raise UsageError(f"output.path {name} is a file; give a folder")
    if info.type == fs.FileType.NotFound:
        return
    if (output / PLAN).exists():
        return
    # Folders that happen to be called like ours count as other files, unless they are empty.
    names = {info.base_name for info in files_in(output)} - set(_OURS)
    for folder in (DATA, QUARANTINE):
        if files_in(output / folder):
            names.add(folder)
    if names:
        raise UsageError(
            f"output.path {name} holds other files "
            f"({listed(sorted(names), 3)}) and no run of this program; give a new folder"
        )


def check_writable(output: Place, name: str) -> None:
    """Check that this user can make an output on this machine, or write to it.

    Args:
        output: the folder, which need not be there.
        name: what messages call it.

    Raises:
        UsageError: naming the folder that is in the way.
    """
    if not output.is_local:
        return
    folder = nearest(output)
    if not folder.is_dir():
        raise UsageError(f"output.path {name}: cannot write below {folder}, which is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"output.path {name}: cannot write {folder}: Permission denied; mend that, or give "
            "another folder"
        )


def check_same_plan(output: Place, name: str, plan: Plan, mode: str) -> Plan | None:
    """Check that an output holds no other plan, unless the mode takes its changes over.

    Args:
        output: the folder.
        name: what messages call it.
        plan: of this run.
        mode: as in `output.mode`.

    Returns:
        The plan that an update follows; None where it is the same, or there is none.

    Raises:
        UsageError: naming what differs, or why the plan in there cannot be read.
    """
    try:
        if load_digest(output) in (None, plan.digest):
            return None
        before = load_plan(output)
    except ValueError as error:
        raise UsageError(
            f"{(output / PLAN).path} cannot be read ({error}): start again "
            "with output.mode=overwrite"
        ) from error
    assert before is not None
    only_files = before.settings_digest == plan.settings_digest
    if only_files and mode == "update":
        return before
    differences = before.differences(plan)
    changes = summary_changes(before.summary, plan.summary)
    update = ", take over the changed files with output.mode=update" if only_files else ""
    mend = f"give another output.path{update}, or start again with output.mode=overwrite"
    if len(changes) == len(differences):
        mend = f"go on with {as_before(changes)}, {mend}"
    if changes:
        mend = f"statistics of rows that are done stay as they were gathered: {mend}"
    raise UsageError(
        f"output.path {name} holds a run with another plan: "
        f"{'; '.join(differences[:6])}"
        f"{f'; and {len(differences) - 6} more' if len(differences) > 6 else ''}. "
        f"{mend[0].upper()}{mend[1:]}"
    )


@contextmanager
def as_usage_error(config: Config) -> Iterator[None]:
    """Let an `OutputError` before the start be a `UsageError`: the output is as configured.

    Not one that may be over in a while.
    """
    try:
        yield
    except OutputError as error:
        if error.__cause__ is not None and is_passing(error.__cause__):
            raise
        raise UsageError(f"output.path {masked(config.output.path)}: {error}") from error

"""Publication: one step, after which readers see the new files; then these get their usual places.

What is published is what `run/current.json` says. The files of an update lie in `run/staged` when
it begins to say so; then they are put into the place of the former ones in `data` and `quarantine`,
and it says that. A run that dies in between has published: the next one does the rest.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hyperdiag.data.filesystem import Place, files_in, scan
from hyperdiag.data.output_folder import (
    AXES,
    CONFIG,
    DATA,
    EXTREMES,
    MANIFEST,
    QUARANTINE,
    RUN,
    SCRATCH,
    STAGED,
    STATISTICS,
    SUCCESS,
    SUMMARY,
    data_file,
    lists_published_files,
    quarantine_file,
    shard_of,
    statistics_file,
    write_file,
)
from hyperdiag.data.threads import each
from hyperdiag.messages.errors import OutputError
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import load_plan, save_plan

from .current import Published
from .lease import Lease
from .listing import Listing, read_listing, write_listing


def withdraw(output: Place, lease: Lease) -> None:
    """Say that nothing is published in an output (any longer)."""
    _delete_if_there(output / SUCCESS, lease)
    lease.publish(None)
    for name in (MANIFEST, SUMMARY, EXTREMES):
        _delete_if_there(output / name, lease)


def publish(
    output: Place, lease: Lease, listing: Listing, plan: Plan, whole: Mapping[str, bytes]
) -> None:
    """Show files that are in an output, some of them staged perhaps, and nothing else.

    Args:
        output: the output folder.
        lease: that holds it.
        listing: of the files.
        plan: theirs.
        whole: what is said of the run that is whole with them: the content of its manifest, and of
            its summary, if it has one, by their names.

    Raises:
        OutputError: if it cannot be written.
        Busy: if another run has taken the output.
    """
    folding = bool(listing.staged.any())
    if not folding:
        _delete_if_there(output / SUCCESS, lease)
    for name, content in whole.items():
        _write(output / STAGED if folding else output, name, content, lease)
    lease.check()
    name = write_listing(output, plan.digest, listing)
    lease.publish(Published(plan.digest, name, folding))  # the one step
    if folding:
        _fold(output, lease, listing, plan)
    else:
        _delete_others(output, listing, lease)
        _write(output, SUCCESS, f"{plan.digest}\n".encode(), lease)
        _delete_listings(output, lease, keep=name)


def fold(output: Place, lease: Lease, published: Published) -> None:
    """Put the files of a published update into their places; each step can be done again.

    Args:
        output: the output folder.
        lease: that holds it.
        published: what is published in it.

    Raises:
        OutputError: if it cannot be written.
        Busy: if another run has taken the output.
    """
    staged = output / STAGED
    plan = load_plan(staged)
    if plan is None or plan.digest != published.plan:
        raise OutputError(
            f"{staged} does not hold plan {published.plan}, which is published: start again with "
            "output.mode=overwrite"
        )
    _fold(output, lease, read_listing(output, published.listing), plan)


def _fold(output: Place, lease: Lease, listing: Listing, plan: Plan) -> None:
    staged = output / STAGED
    _delete_if_there(output / SUCCESS, lease)
    _delete_if_there(output / MANIFEST, lease)

    def put_in_place(at: int) -> None:
        lease.check()
        # As when it was written: the data file vouches for the others of its shard.
        shard = int(listing.shard[at])
        names = [quarantine_file(shard)] if listing.bad[at] else []
        names += [statistics_file(shard)] if plan.summary else []
        for name in (*names, data_file(shard)):
            _copy(staged / name, output / name, output / SCRATCH)

    _do(put_in_place, np.flatnonzero(listing.staged), output)
    _delete_others(output, listing, lease)
    save_plan(plan, output, lease.check)
    for name in (AXES, CONFIG, *((SUMMARY, EXTREMES) if plan.summary else ()), MANIFEST):
        _write(output, name, (staged / name).read_bytes(), lease)
    lease.check()
    name = write_listing(output, plan.digest, listing.in_place())
    lease.publish(Published(plan.digest, name))
    _write(output, SUCCESS, f"{plan.digest}\n".encode(), lease)
    for folder in (DATA, QUARANTINE, STATISTICS):  # the plan last: without it they are nobody's
        empty(staged / folder, lease)
    delete_folder(staged, lease)
    _delete_listings(output, lease, keep=name)


def _copy(source: Place, place: Place, scratch: Place) -> None:
    """Put a file into the place of another, in one step, and leave it where it is, too."""
    if not source.is_local:
        source.filesystem.copy_file(source.path, place.path)
        return
    second = Path((scratch / uuid.uuid4().hex).path)
    try:
        os.link(source.path, second)
    except OSError:  # a filesystem without hard links
        source.filesystem.copy_file(source.path, str(second))
    second.replace(place.path)
    second.unlink(missing_ok=True)  # still there where both were names of one file


def _delete_others(output: Place, listing: Listing, lease: Lease) -> None:
    """Delete the files of shards that a listing does not have."""

    known = np.zeros(int(listing.shard.max(initial=-1)) + 1, bool)
    for folder, shards in (
        (DATA, listing.shard),
        (QUARANTINE, listing.shard[listing.bad]),
        (STATISTICS, listing.shard),
    ):
        known[:] = False
        known[shards] = True
        others = []
        for info in scan(output / folder):
            shard = shard_of(info.base_name)
            if shard >= known.size or (shard >= 0 and not known[shard]):
                others.append(info.base_name)
        _delete(output / folder, others, lease)


def empty(folder: Place, lease: Lease) -> None:
    """Delete the files in a folder, and in those in it.

    One by one, each as long as the lease holds: no store has a condition for a deletion that
    pyarrow could give, and a run that stood still is not to delete what another has written since.
    """
    names = []  # not infos, as pyarrow has them: of a million they take a gigabyte
    for info in scan(folder):
        if info.size is None:
            empty(folder / info.base_name, lease)
        else:
            names.append(info.base_name)
    _delete(folder, names, lease)


def delete_folder(folder: Place, lease: Lease) -> None:
    """Delete a folder with all that is in it, as `empty` does."""
    if folder.exists():
        empty(folder, lease)
        lease.check()
        # In a store it is at most an empty object by now, and nothing depends on that.
        with contextlib.suppress(*((OSError,) if folder.is_store else ())):
            folder.filesystem.delete_dir(folder.path)


def _delete(folder: Place, names: list[str], lease: Lease) -> None:
    _do(lambda name: _delete_if_there(folder / name, lease), names, folder)


def _delete_listings(output: Place, lease: Lease, keep: str) -> None:
    for info in files_in(output / RUN):
        if lists_published_files(info.base_name) and f"{RUN}/{info.base_name}" != keep:
            _delete_if_there(output / RUN / info.base_name, lease)


def _write(output: Place, name: str, content: bytes, lease: Lease) -> None:
    lease.check()
    write_file(output, name, content)


def _delete_if_there(place: Place, lease: Lease) -> None:
    lease.check()
    with contextlib.suppress(FileNotFoundError):
        place.filesystem.delete_file(place.path)


def _do(step: Callable[[Any], None], items: Iterable[Any], place: Place) -> None:
    # A local folder is locked while one of its names changes: threads would wait for one another,
    # and four times as long as one takes.
    for _ in map(step, items) if place.is_local else each(step, items):
        pass

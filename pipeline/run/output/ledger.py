"""The ledger: an output folder, taken for one run, filled, and published when the run is whole."""

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place, absolute, below, resolve
from hyperdiag.data.output_folder import (
    AXES,
    CONFIG,
    CURRENT,
    DATA,
    EXTREMES,
    JOURNAL,
    PLAN,
    QUARANTINE,
    SCRATCH,
    STAGED,
    STATISTICS,
    SUCCESS,
    SUMMARY,
    prepare_folders,
    shard_of,
    write_file,
    writing,
)
from hyperdiag.data.parquet_listing import BadFile
from hyperdiag.messages.errors import Busy, OutputError, UsageError, listed
from hyperdiag.messages.masking import masked
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import save_plan

from .fence import Fence, current_of
from .inventory import Inventory, scan_output
from .journal import Journal
from .lock import Lock, check_unlocked
from .manifest import Manifest, published_manifest
from .preconditions import check_same_plan, check_unknown_files, check_writable
from .publication import delete_folder, empty, fold, publish, withdraw
from .receipt import Receipt
from .summary_files import summary_files
from .warnings import left_out_groups

_SUMMARIES = (SUMMARY, EXTREMES)
log = logging.getLogger("hyperdiag")

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _naming_the_output(*kinds: type[Exception]) -> Callable[[_Method], _Method]:
    """Let errors of these kinds, from a method of the ledger, be an `OutputError` that names it."""

    def decorated(method: Callable[..., Any]) -> Any:
        @functools.wraps(method)
        def naming(ledger: "Ledger", *args: Any, **kwargs: Any) -> Any:
            try:
                return method(ledger, *args, **kwargs)
            except kinds as error:
                raise OutputError(f"cannot use {masked(ledger.path)}: {error}") from error

        return naming

    return decorated


class Ledger:
    """One output folder and the plan that fills it.

    An update of a published output is done beside it, in `run/staged`, and moved into place when it
    is whole; until then the folder shows what it showed before.

    Args:
        path: the output folder, a local path or a URI.
        plan: of this run.

    Attributes:
        inventory: what is done; from `open` on.
    """

    inventory: Inventory

    def __init__(self, path: str, plan: Plan):
        self.path = absolute(path)
        self.plan = plan
        self.output: Place = resolve(path)
        self._lock = Lock(self.output, masked(self.path))
        self._staging = False
        self._config_yaml = ""
        folders = self.output / JOURNAL, self.output / SCRATCH
        self._journal = Journal(*folders, self.check, plan.statistics)

    @property
    def work_path(self) -> str:
        """Where workers write: the output folder, or what is staged for it."""
        return below(self.path, STAGED) if self._staging else self.path

    @_naming_the_output(OSError)
    def open(self, mode: str, config_yaml: str, wait_seconds: float = 0.0) -> None:
        """Take the folder for this run: make it, lock it, freeze the plan, count what is done.

        Args:
            mode: "resume" goes on with the same plan and refuses another; "update" takes over
                what other input files have changed; "overwrite" removes what an earlier run left.
            config_yaml: kept beside the plan, for people.
            wait_seconds: for which another run is waited for that is at work in the folder.

        Raises:
            UsageError: if the folder holds another plan (naming what differs) or other files.
            Busy: if another run is at work in it.
            OutputError: if it cannot be written.
        """
        check_unknown_files(self.output, masked(self.path))
        check_writable(self.output, masked(self.path))
        prepare_folders(self.output)
        with writing(self.output / CURRENT):
            self._lock.take(wait_seconds)
        # From here on nobody else is at work in the folder.
        published = self._lock.lease.published
        if mode != "overwrite" and published and published.folding:
            fold(self.output, self._lock.lease, published)  # which a run died in
        if mode == "overwrite":
            self._clear()
        else:
            check_same_plan(self.output, masked(self.path), self.plan, mode)
        self._empty(SCRATCH)
        lines = (masked(line) for line in config_yaml.splitlines())
        self._config_yaml = "\n".join(lines) + "\n"
        staged = self._stage(mode)
        if not self._staging:
            self._freeze(self.output)
        self._count_done()
        if staged and (not self._staging or self.up_to_date()):
            self._remove_staged()  # an update that nobody wants any longer

    @_naming_the_output(OSError)
    def look(self, mode: str) -> list[str]:
        """Count what is done as `open` would, without taking the folder: nothing is written.

        Args:
            mode: as for `open`.

        Returns:
            Sentences on the input files that an update takes over.

        Raises:
            UsageError, Busy: as `open`.
            OutputError: if the folder cannot be read.
        """
        name = masked(self.path)
        check_unknown_files(self.output, name)
        check_writable(self.output, name)
        check_unlocked(self.output, name)
        if mode == "overwrite":
            self.inventory = Inventory(self.output, self.plan)
            return []
        before = check_same_plan(self.output, name, self.plan, mode)
        self._stage(mode)
        self.inventory = scan_output(self.output, self.plan, self._staging)
        return before.differences(self.plan) if before else []

    def _stage(self, mode: str) -> bool:
        """Decide whether this run is done beside what is published; tell whether one was."""
        staged = (self.output / STAGED).exists()
        self._staging = mode == "update" and (staged or (self.output / SUCCESS).exists())
        return staged

    def close(self) -> None:
        """Write down what is done, and let go of the folder."""
        try:
            # What it would save is time; whatever is wrong with the output has been said.
            with contextlib.suppress(OutputError, Busy):
                self._journal.flush()
        finally:
            self._lock.release()

    def _count_done(self) -> None:
        self.output.filesystem.create_dir((self.output / JOURNAL).path, recursive=True)
        self.inventory = Inventory(self.output, self.plan, self._staging, gathers=True)
        stale = self.inventory.take(self._journal)
        for receipt in self.inventory.from_footers():
            self._count(receipt)
        self._take_statistics(self._journal.flush())
        for name in stale:
            self._journal.remove(name)

    def record(self, receipt: Receipt) -> None:
        """Count a shard that was done just now.

        Raises:
            OutputError: if it cannot be written down.
        """
        self.inventory.files.staged[receipt.shard] = self._staging
        self._count(receipt)

    def _count(self, receipt: Receipt) -> None:
        if self.inventory.add(receipt):
            key = self.inventory.key(receipt.shard)
            self._take_statistics(self._journal.add(receipt, key))

    def gather(self) -> None:
        """Add up the statistics of all that is done: those of the last shards may not be yet.

        Raises:
            OutputError: if it cannot be written down what is done.
        """
        self._take_statistics(self._journal.flush())

    def _take_statistics(self, content: bytes | None) -> None:
        """Add up the statistics of a segment: those of many shards at a time take less time."""
        statistics = self.inventory.statistics
        if content is not None and statistics is not None:
            said = list(left_out_groups(statistics))
            statistics.add(content)
            for sentence in left_out_groups(statistics) if not said else ():
                log.warning("%s", sentence)

    def holds_a_plan(self) -> bool:
        """Return whether there is a plan in the folder, this one or another."""
        return (self.output / PLAN).exists()

    def up_to_date(self, bad_files: Sequence[BadFile] | None = None) -> Manifest | None:
        """Return the manifest if just this plan was published here, and all of it is there.

        Args:
            bad_files: that were left out, which are no part of the plan; None: whichever.
        """
        manifest = published_manifest(self.output)
        inventory = self.inventory
        whole = inventory.count == inventory.shards
        whole &= not (inventory.files.staged & inventory.done).any()
        if manifest is None or not whole or manifest.plan != self.plan.digest:
            return None
        if self.plan.summary and not all((self.output / name).exists() for name in _SUMMARIES):
            return None
        published = current_of(self.output).published
        if published and (
            published.plan != manifest.plan or not (self.output / published.listing).exists()
        ):
            return None  # another release went on with the output, or a part of it was copied
        return manifest if bad_files in (None, manifest.bad_files) else None

    @_naming_the_output(OSError, UsageError)
    def begin(self) -> None:
        """Say that something is missing (again), unless that shows only when it is published.

        Raises:
            OutputError: if it cannot be written.
            Busy: if another run has taken the folder.
        """
        self.check()
        if self._staging:
            staged = self.output / STAGED
            prepare_folders(staged)
            self._empty(f"{STAGED}/{SCRATCH}")
            self._freeze(staged)
        else:
            withdraw(self.output, self._lock.lease)

    def check(self) -> None:
        """Return if this run still holds the folder.

        Raises:
            Busy: if another run has taken it.
            OutputError: if the folder does not let this run say that it goes on.
        """
        self._lock.lease.check()

    def confirm(self) -> None:
        """Do the same, having asked: after an error, which may come of what another run does.

        Raises:
            Busy, OutputError: as `check`.
        """
        self._lock.lease.confirm()

    def holds_the_folder(self) -> bool:
        """Return whether no other run is known to have taken the folder."""
        return not self._lock.lease.is_lost

    @property
    def fence(self) -> Fence | None:
        """What workers ask before they show a file; None where no lease can be kept."""
        return self._lock.lease.fence(self.path)

    @_naming_the_output(OSError, UsageError)
    def publish(self, manifest: Manifest) -> None:
        """Show what is done, all of it in one step: see `publication`.

        A run that dies in it is completed by the next.

        Raises:
            OutputError: if it cannot be written, or files are gone.
            Busy: if another run has taken the folder.
        """
        self.check()
        gone = self.inventory.missing_files()
        if gone:
            staged = self.inventory.files.staged
            if not all(staged[shard_of(name.rpartition("/")[2])] for name in gone):
                withdraw(self.output, self._lock.lease)  # nor is what was published whole
            raise OutputError(
                f"files in {masked(self.path)} went or changed while the run was at work, by "
                f"another hand: {listed(gone)}; the same command derives them again"
            )
        self._empty(SCRATCH)  # what killed workers had under way, bad rows among it
        nothing_staged = (
            self._staging and not self.inventory.files.staged[self.inventory.done].any()
        )
        if nothing_staged:  # files went, and none came
            self._freeze(self.output)
        elif self._staging:  # again: a run that died while it tidied up may have removed it
            self._freeze(self.output / STAGED)
        self.gather()
        files = summary_files(self.inventory.statistics, manifest)
        publish(self.output, self._lock.lease, self.inventory.listing(), self.plan, files)
        if nothing_staged:
            self._remove_staged()

    def _freeze(self, root: Place) -> None:
        save_plan(self.plan, root, self.check)
        axes = pa.BufferOutputStream()
        pq.write_table(self.plan.layout.axes, axes)
        for name, content in (
            (AXES, axes.getvalue().to_pybytes()),
            (CONFIG, self._config_yaml.encode()),
        ):
            self.check()
            write_file(root, name, content)

    def _clear(self) -> None:
        withdraw(self.output, self._lock.lease)
        for name in (DATA, QUARANTINE, JOURNAL, STATISTICS):
            self._empty(name)
        self._remove_staged()

    def _remove_staged(self) -> None:
        delete_folder(self.output / STAGED, self._lock.lease)

    def _empty(self, name: str) -> None:
        empty(self.output / name, self._lock.lease)

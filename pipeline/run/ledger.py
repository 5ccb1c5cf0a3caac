"""The ledger: what an output folder holds, which shards are done, and when the run is published."""

import fcntl
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from pyarrow import fs

from pipeline.data.filesystem import Place, absolute, masked, resolve, write_whole
from pipeline.data.shard import Shard
from pipeline.data.sink import (
    DATA,
    QUARANTINE,
    RUN,
    SCRATCH,
    SUCCESS,
    prepare_folders,
    read_receipt,
)
from pipeline.errors import UsageError, listed

from .plan import Plan
from .receipt import Receipt

_OURS = (DATA, QUARANTINE, RUN, SUCCESS)
_FOOTER_READERS = 16


class Ledger:
    """One output folder and the plan that fills it.

    Args:
        path: the output folder, a local path or a URI.
        plan: of this run.
    """

    def __init__(self, path: str, plan: Plan):
        self.path = absolute(path)
        self.plan = plan
        self.output: Place = resolve(path)
        self._lock: IO[str] | None = None

    def open(self, mode: str, config_yaml: str) -> None:
        """Take the folder for this run: make it, lock it, and freeze the plan in it.

        Args:
            mode: "resume" goes on with the same plan and refuses another; "overwrite" removes
                what an earlier run left.
            config_yaml: kept beside the plan, for people.

        Raises:
            UsageError: if the folder holds another plan (naming what differs) or other files, or
                another run is at work in it.
            OutputError: if it cannot be written.
        """
        self._refuse_strangers()
        prepare_folders(self.output)
        self._take_lock()
        # From here on nobody else is at work in the folder (of a local filesystem).
        if mode == "resume":
            self._refuse_other_plan()
        else:
            self._clear()
        if self.output.is_local:
            self.output.filesystem.delete_dir_contents((self.output / SCRATCH).path)
        self._write("plan.json", self.plan.to_json())
        lines = (masked(line) for line in config_yaml.splitlines())
        self._write("config.yaml", "\n".join(lines) + "\n")

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def receipts(self, shards: Iterable[Shard]) -> dict[int, Receipt]:
        """Return the receipts of the shards that are done, by shard id.

        A data file whose footer is not this plan's receipt of its shard does not count, nor one
        whose quarantine file is gone.
        """
        found = self._names_in(DATA)
        candidates = [shard for shard in shards if shard.file_name in found]
        with ThreadPoolExecutor(_FOOTER_READERS) as readers:
            footers = readers.map(
                lambda shard: read_receipt(self.output / DATA / shard.file_name), candidates
            )
            receipts = {
                shard: Receipt.from_footer(footer)
                for shard, footer in zip(candidates, footers, strict=True)
                if footer and (footer["plan"], footer["shard"]) == (self.plan.digest, shard.id)
            }
        quarantined = self._names_in(QUARANTINE)
        return {
            shard.id: receipt
            for shard, receipt in receipts.items()
            if not receipt.tally.bad or shard.file_name in quarantined
        }

    def _names_in(self, folder: str) -> set[str]:
        selector = fs.FileSelector((self.output / folder).path, allow_not_found=True)
        return {info.base_name for info in self.output.filesystem.get_file_info(selector)}

    def published(self) -> dict[str, Any] | None:
        """Return the manifest of a run that was published here; None if none was."""
        if not (self.output / SUCCESS).exists():
            return None
        return json.loads((self.output / RUN / "manifest.json").read_bytes())

    def publish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, then `_SUCCESS`: the run is whole."""
        self._write("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
        scratch = self.output / SCRATCH / SUCCESS
        write_whole(self.output / SUCCESS, f"{self.plan.digest}\n".encode(), scratch)

    def withdraw(self) -> None:
        """Take `_SUCCESS` and the manifest away: there is something to do (again)."""
        for place in (self.output / SUCCESS, self.output / RUN / "manifest.json"):
            if place.exists():
                self.output.filesystem.delete_file(place.path)

    def _write(self, name: str, text: str) -> None:
        write_whole(self.output / RUN / name, text.encode(), self.output / SCRATCH / name)

    def _refuse_strangers(self) -> None:
        info = self.output.info()
        if info.type == fs.FileType.File:
            raise UsageError(f"output.path {masked(self.path)} is a file; give a folder")
        if info.type == fs.FileType.NotFound:
            return
        if (self.output / RUN / "plan.json").exists():
            return
        # Folders that happen to be called like ours count as other files, unless they are empty.
        found = self.output.filesystem.get_file_info(fs.FileSelector(self.output.path))
        names = {item.base_name for item in found if item.base_name not in _OURS}
        for name in (DATA, QUARANTINE):
            if self._names_in(name):
                names.add(name)
        if names:
            raise UsageError(
                f"output.path {masked(self.path)} holds other files "
                f"({listed(sorted(names), 3)}) and no run of this program; give a new folder"
            )

    def _refuse_other_plan(self) -> None:
        place = self.output / RUN / "plan.json"
        if not place.exists():
            return
        try:
            before = Plan.from_json(place.read_bytes())
        except ValueError as error:
            raise UsageError(
                f"{place.path} cannot be read ({error}): start again with output.mode=overwrite"
            ) from error
        if before.digest != self.plan.digest:
            differences = before.differences(self.plan)
            raise UsageError(
                f"output.path {masked(self.path)} holds a run with another plan: "
                f"{'; '.join(differences[:6])}"
                f"{f'; and {len(differences) - 6} more' if len(differences) > 6 else ''}. "
                "Give another output.path, or start again with output.mode=overwrite"
            )

    def _take_lock(self) -> None:
        # The kernel drops the lock when this process ends, however it ends. Object stores have
        # no such thing: two runs of one plan there write the same bytes twice.
        if not self.output.is_local:
            return
        # Held open on purpose: the open file is the lock.
        lock = Path((self.output / RUN / "lock").path).open("a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise UsageError(
                f"another run is at work in output.path {masked(self.path)} ({holder}): "
                "wait for it, or give another output.path"
            ) from error
        self._lock = lock

    def sign_lock(self, holder: str) -> None:
        """Say in the lock who holds it, for the run that will be refused."""
        if self._lock:
            self._lock.truncate(0)
            self._lock.write(holder)
            self._lock.flush()

    def _clear(self) -> None:
        self.withdraw()
        for name in (DATA, QUARANTINE):
            self.output.filesystem.delete_dir_contents((self.output / name).path)

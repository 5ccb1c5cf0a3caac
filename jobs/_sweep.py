"""Hydra's sweeps, without the credentials in the record that it keeps of one."""

import contextlib
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hyperdiag.config.redacted import redacted_values

# Of the sweep that this process is at.
_record: Path | None = None


class Masked(Callback):
    """Masks `multirun.yaml`, which Hydra writes just before it starts the first run of a sweep.

    Before it is written nothing can be masked: the runs are composed from the same overrides.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where it will be."""
        global _record
        with contextlib.suppress(OmegaConfBaseException):  # Hydra says what is wrong with it
            _record = Path(config.hydra.sweep.dir) / "multirun.yaml"

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Mask it, once."""
        mask_record()


def mask_record() -> None:
    """Mask the record of a sweep, if there is one that is not masked yet."""
    global _record
    if _record is not None and _record.exists():
        values = redacted_values(OmegaConf.load(_record))
        values.pop("hydra", None)  # the overrides as they were given, in three places
        OmegaConf.save(OmegaConf.create(values), _record)
    _record = None

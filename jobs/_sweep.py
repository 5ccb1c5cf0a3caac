"""Hydra's sweeps, without the credentials in the record that it keeps of one."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ._command import kept_values


class Masked(Callback):
    """Masks `multirun.yaml`, which Hydra writes just before it starts the first run of a sweep.

    Before it is written nothing can be masked: the runs are composed from the same overrides.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember where it will be."""
        self._record: Path | None = Path(config.hydra.sweep.dir) / "multirun.yaml"

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Mask it, once."""
        record = getattr(self, "_record", None)
        if record and record.exists():
            values = kept_values(OmegaConf.load(record))
            del values["hydra"]  # the overrides as they were given, in three places
            OmegaConf.save(OmegaConf.create(values), record)
            self._record = None

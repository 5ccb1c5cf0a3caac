"""Arguments of `derive` on the cluster: the user's own, and what was settled here."""

from collections.abc import Sequence

from pipeline.config import Config, DesignConfig
from pipeline.data.filesystem import absolute
from pipeline.masking import masked
from pipeline.override import quoted

from .luggage import config_folder


def arguments_there(config: Config, overrides: Sequence[str], config_dirs: int = 0) -> list[str]:
    """Return the arguments that mean on the cluster what the overrides mean here.

    The overrides stand unchanged among them. What would have another meaning there follows: the
    paths of dataset and output, which are relative to the current folder, and the date.

    Args:
        config: that the overrides make.
        overrides: of `derive`.
        config_dirs: how many folders were given with --config-dir.
    """
    paths = {"output.path": config.output.path}
    if not isinstance(config.dataset, DesignConfig):
        paths["dataset.path"] = config.dataset.path
    settled = {"run.date": config.run.date}
    # A URI means the same there; one with credentials may take them from there.
    settled |= {key: absolute(path) for key, path in paths.items() if masked(path) == path}
    return [
        *(f"--config-dir={config_folder(position)}" for position in range(config_dirs)),
        *([] if any(map(_chooses_cluster, overrides)) else ["cluster=existing"]),
        *overrides,
        *(f"{key}={quoted(value)}" for key, value in settled.items()),
    ]


def _chooses_cluster(override: str) -> bool:
    return override.startswith("cluster=")

"""Arguments of a run on the cluster: the user's own, and what is resolved before it is sent."""

from collections.abc import Sequence
from typing import NamedTuple

from hyperdiag.config.override import quoted
from hyperdiag.config.schema import Config, DesignConfig
from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.masking import masked

from .payload import config_folder

_DEFAULT_NAME = "submit"  # of the configuration, where no other is named


class Command(NamedTuple):
    """What a configuration is composed from.

    Attributes:
        overrides: but for those of `submit` itself.
        config_dirs: folders that were given with --config-dir.
        config_name: that was given with --config-name.
    """

    overrides: Sequence[str]
    config_dirs: Sequence[str] = ()
    config_name: str = _DEFAULT_NAME


def cluster_arguments(config: Config, command: Command) -> list[str]:
    """Return the arguments that mean on the cluster what a command means on this machine.

    The overrides stand unchanged among them. After them comes what would have another meaning on
    the cluster: the paths of dataset and output, which are relative to the current folder, and the
    date.

    Args:
        config: that the command makes.
        command: that the run is composed from.
    """
    paths = {"output.path": config.output.path}
    if not isinstance(config.dataset, DesignConfig):
        paths["dataset.path"] = config.dataset.path
    resolved = {"run.date": config.run.date}
    # A URI means the same on the cluster; one with credentials may take them from there.
    resolved |= {key: absolute(path) for key, path in paths.items() if masked(path) == path}
    folders = range(len(command.config_dirs))
    return [
        *(f"--config-dir={config_folder(position)}" for position in folders),
        *([f"--config-name={command.config_name}"] if command.config_name != _DEFAULT_NAME else []),
        *command.overrides,
        *(f"{key}={quoted(value)}" for key, value in resolved.items()),
    ]

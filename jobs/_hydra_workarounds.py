"""What we work round in Hydra, each with the reason. All seen in Hydra 1.3.8.

Two more have files of their own: `_overrides.py`, since Hydra stops at the first wrong override,
and `_sweep.py`, since the record that it keeps of a sweep holds the overrides as they were given.
"""

import contextlib
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hydra
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

_RULES = "1.3"  # the version of Hydra whose rules the configuration keeps


def parse_flags(arguments: Sequence[str]) -> Namespace:
    """Return Hydra's own flags on a command line, and the overrides, as `overrides`.

    The parser is private, since Hydra reads the command line inside `hydra.main` alone; we check
    the overrides before.
    """
    return get_args_parser().parse_args(arguments)


@contextlib.contextmanager
def searching(config_dir: Path, config_name: str, user_dir: Path | None) -> Iterator[None]:
    """Let `hydra.compose` find what `hydra.main` would, as long as the block lasts.

    `hydra.initialize_config_dir` takes one folder, and knows nothing of the one that `--config-dir`
    adds; so the search path is made here, with Hydra's private classes.

    Args:
        config_dir: of the jobs' own configuration.
        config_name: of the job.
        user_dir: what `--config-dir` says, an absolute path; None if it says nothing.
    """
    version.setbase(_RULES)  # as `hydra.main` does, later
    path = create_config_search_path(str(config_dir))
    if user_dir is not None:
        # Where Hydra puts it.
        path.prepend("command-line", f"file://{user_dir}", SearchPathQuery(provider="schema"))
    try:
        Hydra.create_main_hydra2(config_name, path)
        yield
    finally:
        GlobalHydra.instance().clear()


@contextlib.contextmanager
def checking(
    check_section: Callable[[DictConfig], None], check_places: Callable[[Sequence[str]], None]
) -> Iterator[None]:
    """Let whatever Hydra composes in the block be checked before Hydra acts on it.

    Hydra sets up logging and calls callbacks, launchers and sweepers before the job's function, and
    has no hook between composing and that.

    Args:
        check_section: takes the composed section `hydra`.
        check_places: takes the places in which configuration is searched for.
    """
    load, look = ConfigLoaderImpl.load_configuration, ConfigRepository.initialize_sources

    def checked_load(self: ConfigLoaderImpl, *arguments: Any, **options: Any) -> DictConfig:
        composed = load(self, *arguments, **options)
        check_section(composed.hydra)
        return composed

    def checked_look(self: ConfigRepository, config_search_path: ConfigSearchPath) -> None:
        check_places([str(element.path) for element in config_search_path.get_path()])
        look(self, config_search_path)

    with (
        patch.object(ConfigLoaderImpl, "load_configuration", checked_load),
        patch.object(ConfigRepository, "initialize_sources", checked_look),
    ):
        yield


def config_loader() -> ConfigLoader:
    """Return what knows groups and their options, in Hydra as it is initialised.

    It hangs on a singleton; no public function lists groups.
    """
    return GlobalHydra.instance().config_loader()


def compose_and_call(
    config_dir: Path, config_name: str, function: Callable[[DictConfig], None]
) -> None:
    """Compose the configuration from the command line and call a function with it.

    `hydra.main` drops what the function returns, and calls it again and again in a sweep: the
    function has to keep its outcomes itself.

    Args:
        config_dir: of the jobs' own configuration.
        config_name: of the job.
        function: takes the configuration; of a sweep, each one in turn.

    Raises:
        SystemExit: where Hydra has said what is wrong, or printed what a flag asks for.
        HydraException, OmegaConfBaseException: where the configuration cannot be composed.
    """
    # Else Hydra prints every exception with the overrides, in which there may be credentials, and
    # exits with code 1, whatever it was.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    hydra.main(version_base=_RULES, config_path=str(config_dir), config_name=config_name)(
        function
    )()

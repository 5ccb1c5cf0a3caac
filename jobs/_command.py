"""What every job shares: Hydra, its complaints in our words, logging, exit codes."""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import HyperdiagError, UsageError
from pipeline.networks import network_names, network_options
from pipeline.run.stoppable import Stopped

from ._overrides import check_overrides

DONE, INCOMPLETE, USAGE = 0, 1, 2

# In the repository a link to the top-level folder; installed, a copy of it.
CONFIG_DIR = Path(__file__).parent / "conf"

# Hydra's own flags that print something and stop, whatever the overrides.
_ABOUT = {"--help", "-h", "--hydra-help", "--version", "--info", "-i", "--shell-completion", "-sc"}
_WITH_VALUE = {"--cfg", "-c", "--package", "-p"}
_OWN_CONFIG = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")


def run(
    config_name: str,
    task: Callable[[DictConfig], None],
    finish: Callable[[], int] | None = None,
) -> None:
    """Compose the configuration from the command line, run a task, and exit.

    Args:
        config_name: of the job.
        task: takes the configuration; each one in turn, where the command line asks for several.
        finish: called at the end if all went well; returns the exit code.

    Exit codes: 0 done; 1 finished but incomplete; 2 configuration or usage; 128 + n signal n.
    """
    _log_plainly()
    _register_networks()
    # `network.target` finds modules in the current folder, as `python -m` would.
    sys.path.insert(0, str(Path.cwd()))
    arguments = sys.argv[1:]
    own = any(argument.startswith(_OWN_CONFIG) for argument in arguments)
    if not own and not _ABOUT.intersection(arguments):
        problems = check_overrides(CONFIG_DIR, config_name, _overrides_in(arguments))
        if problems:
            sys.exit(_complain(problems))
    code, started = DONE, False

    def composed(config: DictConfig) -> None:
        nonlocal code, started
        started = True
        code = max(code, _guarded(partial(task, config)))

    wrapped = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=config_name)
    try:
        wrapped(composed)()
    except SystemExit as stop:  # Hydra has printed what went wrong
        failed = INCOMPLETE if started else USAGE
        sys.exit(failed if stop.code else DONE)
    if finish is not None and started and code == DONE:
        code = _guarded(finish)
    sys.exit(code)


def _overrides_in(arguments: list[str]) -> list[str]:
    """Return the arguments that are no flag of Hydra's, and no value of one."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if word[:1] != "-" and before not in _WITH_VALUE]


def _guarded(step: Callable[[], int | None]) -> int:
    """Take a step; return its exit code, having said what went wrong."""
    try:
        return step() or DONE
    except UsageError as error:
        return _complain(error.problems)
    except HyperdiagError as error:
        print(f"hyperdiag: {error}", file=sys.stderr)
        return INCOMPLETE
    except Exception:  # a fault of ours: Hydra would print the overrides, and any secret in them
        traceback.print_exc()
        return INCOMPLETE
    except Stopped as stopped:
        print(
            f"hyperdiag: stopped by {stopped}; finished shards are kept, and the same command "
            "goes on from there",
            file=sys.stderr,
        )
        # A worker's thread must not hold the process back.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + stopped.number)


def _complain(problems: tuple[str, ...] | list[str]) -> int:
    if len(problems) == 1:
        print(f"hyperdiag: {problems[0]}", file=sys.stderr)
    else:
        print(f"hyperdiag: {len(problems)} problems:", file=sys.stderr)
        for problem in problems:
            print(f"  - {problem}", file=sys.stderr)
    return USAGE


def _log_plainly() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("hyperdiag")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _register_networks() -> None:
    """Make every registered network an option of the group `network`.

    Those with a file in `conf/network` are found there; the others get their builder's defaults.
    """
    for name in network_names():
        if not (CONFIG_DIR / "network" / f"{name}.yaml").exists():
            node = {"name": name, **network_options(name)}
            ConfigStore.instance().store(group="network", name=name, node=node)


def as_yaml(config: DictConfig) -> str:
    """Return a composed configuration as YAML; what it takes from elsewhere stays a reference."""
    return OmegaConf.to_yaml(config)

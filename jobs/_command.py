"""What every job shares: Hydra, its complaints in our words, logging, exit codes."""

import contextlib
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from hyperdiag.config.interpolation import check_interpolations, interpolation_problem
from hyperdiag.config.logical_date import fill_date
from hyperdiag.config.schema import load_section
from hyperdiag.config.site_limits import check_stores
from hyperdiag.jobs._arguments import hydra_arguments
from hyperdiag.jobs._hydra_section import check_flags, check_hydra_section, check_search_path
from hyperdiag.jobs._hydra_workarounds import checking, compose_and_call
from hyperdiag.jobs._overrides import check_overrides
from hyperdiag.jobs._stopping import ending_when_stopped
from hyperdiag.jobs._sweep import mask_record
from hyperdiag.jobs._unread import UNREAD, ending_when_unread, is_unread
from hyperdiag.jobs._version import version_line
from hyperdiag.messages.errors import HyperdiagError, UsageError
from hyperdiag.messages.log import LogConfig, set_up
from hyperdiag.networks import network_names, network_options
from hyperdiag.networks.site_policy import leave_current_folder
from hyperdiag.process.exit_codes import DONE, INCOMPLETE, USAGE, exit_code, worst
from hyperdiag.process.hard_exit import hard_exit, must_exit_hard
from hyperdiag.process.signals import StopSignals

log = logging.getLogger("hyperdiag")

# In the repository a link to the top-level folder; installed, a copy of it.
CONFIG_DIR = Path(__file__).parents[1] / "conf"


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

    Exit codes: 0 done; 1 finished but incomplete; 2 configuration or usage; 75 another run is at
    work, try again later; 128 + n signal n.
    """
    # Until the configuration says otherwise: what is wrong with it has to be said as well.
    set_up(LogConfig(format="json" if "log.format=json" in sys.argv else "text"))
    with (
        ending_when_stopped(log.error) as signals,
        ending_when_unread(),
        checking(check_hydra_section, check_search_path),
    ):
        code = _run(config_name, task, finish, signals)
        if must_exit_hard():  # Python's own end would wait for what hangs
            hard_exit(code)
        sys.exit(code)


def _run(
    config_name: str,
    task: Callable[[DictConfig], None],
    finish: Callable[[], int] | None,
    signals: StopSignals,
) -> int:
    """Do the same; return the exit code."""
    if "--version" in sys.argv[1:]:
        print(version_line())
        return DONE
    try:
        leave_current_folder()
        _register_networks()
        check_flags(sys.argv[1:])
        sys.argv[1:] = hydra_arguments(CONFIG_DIR, sys.argv[1:])
        problems = check_overrides(CONFIG_DIR, config_name, sys.argv[1:])
    except UsageError as error:
        return _complain(error.problems)
    except yaml.YAMLError as error:
        return _complain([_unreadable(error)])
    if problems:
        return _complain(problems)
    code, started = DONE, False

    def composed(config: DictConfig) -> None:
        nonlocal code, started
        started = True
        code = worst([code, _guarded(partial(_checked, task, config), signals)])

    try:
        compose_and_call(CONFIG_DIR, config_name, composed)
    except SystemExit as stop:  # Hydra has printed what went wrong
        failed = INCOMPLETE if started else USAGE
        return failed if stop.code else DONE
    except UsageError as error:  # of what was composed
        return _complain(error.problems)
    except yaml.YAMLError as error:
        return _complain([_unreadable(error)])
    except (HydraException, OmegaConfBaseException) as error:
        return _complain([_sentence(error)])
    except Exception as error:
        signals.check()
        if is_unread(error):
            return UNREAD
        log.exception("a fault of this program")
        return INCOMPLETE
    finally:
        mask_record()  # of a sweep that did not get as far as its first run
    if finish is not None and started and code == DONE:
        code = _guarded(finish, signals)
    return code


def _checked(task: Callable[[DictConfig], None], config: DictConfig) -> None:
    """Run a task, having set up the log, which is no task's business, and resolved every value."""
    if "run" in config:
        fill_date(config)  # values may be made from it
    check_interpolations(config)
    check_stores(config)
    with open_dict(config):
        settings = config.pop("log", DictConfig({}))
    set_up(load_section(LogConfig, settings, "log."))
    task(config)


def _guarded(step: Callable[[], int | None], signals: StopSignals) -> int:
    """Take a step; return its exit code, having said what went wrong."""
    try:
        return step() or DONE
    except Exception as error:
        signals.check()  # a library may have made this of a signal
        if is_unread(error):
            return UNREAD
        if isinstance(error, UsageError):
            return _complain(error.problems)
        if isinstance(error, HydraException | OmegaConfBaseException):
            return _complain([_sentence(error)])
        if isinstance(error, HyperdiagError):
            log.error("%s", error)
        else:  # a fault of ours: Hydra would print the overrides, and any secret
            log.exception("a fault of this program")
        return exit_code(error)


def _complain(problems: tuple[str, ...] | list[str]) -> int:
    if len(problems) == 1:
        log.error("%s", problems[0])
    else:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        log.error("%d problems:%s", len(problems), lines)
    return USAGE


def _sentence(error: Exception) -> str:
    """Return what Hydra or OmegaConf says of a configuration, in one sentence."""
    if isinstance(error, OmegaConfBaseException):
        return interpolation_problem(error)
    return " ".join(str(error).split())


def _unreadable(error: yaml.YAMLError) -> str:
    """Say which file of configuration is no YAML, without what is in it."""
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a file of configuration"
    return f"{place}: {getattr(error, 'problem', None) or 'this is no YAML'}"


def _register_networks() -> None:
    """Make every registered network an option of the group `network`.

    Those with a file in `conf/network` are found there; the others get their builder's defaults.
    """
    for name in network_names():
        if not (CONFIG_DIR / "network" / f"{name}.yaml").exists():
            node = {"name": name}
            with contextlib.suppress(UsageError):  # is said where it is asked for
                node |= network_options(name)
            ConfigStore.instance().store(group="network", name=name, node=node)

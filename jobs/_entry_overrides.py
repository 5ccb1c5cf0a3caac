"""Overrides of a schedule's entry: all that is wrong with them is said before it is due."""

from datetime import UTC, datetime

from hydra import compose
from hydra.errors import HydraException
from omegaconf import open_dict
from omegaconf.errors import OmegaConfBaseException

from hyperdiag.config.interpolation import interpolation_problem
from hyperdiag.config.schema import Config, load_config, load_section
from hyperdiag.jobs._arguments import open_mappings
from hyperdiag.jobs._overrides import find_problems
from hyperdiag.messages.errors import UsageError
from hyperdiag.schedule.entry import Entry
from hyperdiag.submission.options import SubmitConfig


def entry_config(entry: Entry) -> Config:
    """Return the configuration that the runs of an entry have, by that of a run now.

    To be called while Hydra is initialised, as in a job's task.

    Raises:
        UsageError: with a sentence for each thing that is wrong with its overrides.
    """
    overrides = open_mappings(entry.settings.overrides)
    problems = find_problems(entry.command, overrides)
    if not problems:
        try:
            composed = compose(
                entry.command, [*overrides, f"run.date={entry.date_of(datetime.now(UTC))}"]
            )
            if entry.command == "submit":
                with open_dict(composed):
                    load_section(SubmitConfig, composed.pop("submit"), "submit.")
            return load_config(composed)
        except UsageError as error:
            problems = list(error.problems)
        except HydraException as error:
            problems = [" ".join(str(error).split())]
        except OmegaConfBaseException as error:
            problems = [interpolation_problem(error)]
    raise UsageError([f"overrides: {problem}" for problem in problems])

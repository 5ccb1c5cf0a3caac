"""Runs `derive` at given times, and says what became of each run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from pydantic import BaseModel, ConfigDict, PositiveInt

from hyperdiag.config.schema import load_config, load_section
from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.errors import UsageError
from hyperdiag.schedule.entry import Entry, choose, read_entries
from hyperdiag.schedule.listing import listing, print_listing
from hyperdiag.schedule.run_now import run_by_hand
from hyperdiag.schedule.service import Service
from hyperdiag.submission.options import SubmitConfig

from ._command import run
from ._overrides import find_problems


class _Schedule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    state: str
    keep_logs: PositiveInt = 100


class ScheduleConfig(BaseModel):
    """The configuration of this job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    action: Literal["serve", "list", "run"] = "serve"
    entry: str | None = None
    date: str | None = None
    last: PositiveInt = 5
    format: Literal["text", "json"] = "text"
    schedule: _Schedule


def task(composed: DictConfig) -> None:
    """Keep a schedule, list it, or run one tick of it."""
    options = load_section(ScheduleConfig, composed)
    folder = Path(absolute(options.schedule.state))
    # Hydra's own search path: the user's --config-dir, and our own folder.
    sources = HydraConfig.get().runtime.config_sources
    places = [Path(one.path) for one in sources if one.schema == "file"]
    given = [Path(one.path).absolute() for one in sources if one.provider == "command-line"]
    flags = [f"--config-dir={path}" for path in given]

    def read() -> list[Entry]:
        # The user's folder first: an entry of the same name there counts.
        return read_entries([place / "schedule" for place in reversed(places)], _problems)

    if options.action == "list":
        found = listing(folder, read(), options.last)
        if options.format == "json":
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_listing(found)
    elif options.action == "run":
        if options.entry is None:
            raise UsageError("entry is required: entry=...")
        entry = choose(read(), options.entry)
        run_by_hand(folder, entry, options.date, flags, options.schedule.keep_logs)
    else:
        Service(folder, read, flags, options.schedule.keep_logs).serve()


def _problems(entry: Entry) -> list[str]:
    """Return what is wrong with the overrides of an entry, before it is due."""
    overrides = list(entry.settings.overrides)
    found = find_problems(entry.job, overrides)
    if found:
        return [f"overrides: {problem}" for problem in found]
    try:
        dated = [*overrides, f"run.date={entry.date_of(datetime.now(UTC))}"]
        composed = compose(entry.job, dated)
        if entry.job == "submit":
            with open_dict(composed):
                load_section(SubmitConfig, composed.pop("submit"), "submit.")
        load_config(composed)
    except UsageError as error:
        return [f"overrides: {problem}" for problem in error.problems]
    except HydraException as error:
        return [f"overrides: {' '.join(str(error).split())}"]
    return []


def main() -> None:
    """Run from the command line."""
    run("schedule", task)


if __name__ == "__main__":
    main()

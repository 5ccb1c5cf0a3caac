"""Runs `derive` at given times, and says what became of each run."""

from pathlib import Path
from typing import Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, PositiveInt

from hyperdiag.config.schema import load_section
from hyperdiag.data.filesystem import absolute
from hyperdiag.jobs._command import run
from hyperdiag.jobs._entry_overrides import entry_config
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.printable import json_text
from hyperdiag.schedule.entry import Entry, choose, read_entries
from hyperdiag.schedule.listing import listing, print_listing
from hyperdiag.schedule.run_now import run_now
from hyperdiag.schedule.service import Service


class _Schedule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    state: str
    keep_logs: PositiveInt = 100
    metrics: str | None = None


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
    folder, keep_logs = Path(absolute(options.schedule.state)), options.schedule.keep_logs
    # Hydra's own search path: the user's --config-dir, and our own folder.
    sources = HydraConfig.get().runtime.config_sources
    config_dirs = [Path(source.path) for source in sources if source.schema == "file"]
    flags = [
        f"--config-dir={Path(source.path).absolute()}"
        for source in sources
        if source.provider == "command-line"
    ]

    def read() -> list[Entry]:
        # The user's folder first: an entry of the same name there counts.
        return read_entries([path / "schedule" for path in reversed(config_dirs)], entry_config)

    if options.action == "list":
        schedule = listing(folder, read(), options.last)
        if options.format == "json":
            print(json_text(schedule, indent=1))
        else:
            print_listing(schedule)
    elif options.action == "run":
        if options.entry is None:
            raise UsageError("entry is required: entry=...")
        run_now(folder, choose(read(), options.entry), options.date, flags, keep_logs)
    else:
        Service(folder, read, flags, keep_logs, options.schedule.metrics).serve()


def main() -> None:
    """Run from the command line."""
    run("schedule", task)


if __name__ == "__main__":
    main()

"""How far the run in an output folder is."""

from typing import Literal

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hyperdiag.config.schema import load_section
from hyperdiag.jobs._command import run
from hyperdiag.jobs._output import Output
from hyperdiag.messages.printable import json_text
from hyperdiag.run.inspection.status import status
from hyperdiag.run.inspection.status_table import print_status


class StatusConfig(BaseModel):
    """The configuration of this job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    output: Output
    format: Literal["text", "json"] = "text"


def task(composed: DictConfig) -> None:
    """Say how far a run is."""
    options = load_section(StatusConfig, composed)
    report = status(options.output.path)
    if options.format == "json":
        print(json_text(report.to_json(), indent=1))
    else:
        print_status(report, options.output.path)


def main() -> None:
    """Run from the command line."""
    run("status", task)


if __name__ == "__main__":
    main()

"""What a run derived: one HTML file for a browser, or text for a terminal."""

from typing import Literal

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hyperdiag.config.schema import load_section
from hyperdiag.jobs._command import run
from hyperdiag.jobs._output import Output
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.wording import size
from hyperdiag.run.report import read_report, write_report
from hyperdiag.run.report.terminal import print_report


class ReportOptions(BaseModel):
    """The configuration of this job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    output: Output
    file: str | None = None
    format: Literal["html", "text"] = "html"


def task(composed: DictConfig) -> None:
    """Make a report and say where it is, or print it."""
    options = load_section(ReportOptions, composed)
    if options.format == "text":
        if options.file is not None:
            raise UsageError(
                "file: format=text goes to standard output and to no file; leave file out, and "
                "redirect the output of the command: > report.txt"
            )
        print_report(read_report(options.output.path))
        return
    place = write_report(options.output.path, options.file)
    print(f"{place} ({size(place.info().size or 0)})")


def main() -> None:
    """Run from the command line."""
    run("report", task)


if __name__ == "__main__":
    main()

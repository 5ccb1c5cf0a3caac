"""The report that a run makes of itself at its end (`report.enabled`)."""

import logging

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import below
from hyperdiag.data.output_folder import REPORT
from hyperdiag.messages.errors import first_line
from hyperdiag.messages.masking import masked, masked_text

from .drawing.library import check_plotly
from .reading import write_report

log = logging.getLogger("hyperdiag")


def check_report(config: Config) -> None:
    """Check that a report can be made, if the configuration asks for one.

    Raises:
        UsageError: if not, saying what to install.
    """
    if config.report.enabled:
        check_plotly("report.enabled=true")


def report_after_run(config: Config) -> None:
    """Make the report of a run that is published, if asked for.

    Whatever goes wrong is a line in the log: the run is published all the same.
    """
    if config.report.enabled:
        path = config.output.path
        try:
            write_report(path)
            log.info("report: %s", masked(below(path, REPORT)))
        except Exception as error:
            log.warning(
                "there is no report: %s; the run is published all the same, and hyperdiag report "
                "output.path=%s tries again",
                *(masked_text(first_line(error)), masked(path)),
            )

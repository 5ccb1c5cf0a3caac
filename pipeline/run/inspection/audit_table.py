"""The audit of an output, for people."""

from hyperdiag.messages.console import plain_console
from hyperdiag.messages.printable import printable_name
from hyperdiag.messages.wording import counted

from .audit import Audit


def print_audit(audit: Audit) -> None:
    """Print what was checked on standard output, and what is wrong."""
    console = plain_console()

    def line(text: str) -> None:
        console.print(printable_name(text), soft_wrap=True, markup=False)

    for finding in audit.findings:
        line(f"wrong: {finding}")
    for note in audit.notes:
        line(f"note: {note}")
    rows = counted(audit.rows, "row")
    line(f"{counted(audit.files, 'data file')} with {rows} read back, every page")
    whose = "its" if audit.compared == 1 else "their"
    line(f"{counted(audit.compared, 'shard')} compared with {whose} input, row by row")
    if audit.derived_again:
        by = " by another method" if audit.by_another_method else ""
        line(
            f"{counted(audit.derived_again, 'row')} derived again in float64{by}: "
            f"largest error {audit.largest_error:.1e} of an output's largest entry"
        )
    if not audit.findings:
        what = "what was looked at" if audit.notes else "all"
        line(f"{what} is as the manifest says")

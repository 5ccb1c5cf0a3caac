"""Where a report goes."""

from hyperdiag.data.filesystem import Place, resolve, write_whole
from hyperdiag.data.output_folder import REPORT, write_file

from .library import check_plotly
from .report import read_report


def write_report(path: str, file: str | None = None) -> Place:
    """Make the report of a published run; return where it is.

    Args:
        path: the output folder, a local path or a URI.
        file: where the report goes, likewise; None: `run/report.html` in the output.

    Raises:
        UsageError: if nothing is published there, or Plotly is not installed.
        OutputError: if the report cannot be written.
    """
    check_plotly("a report")
    page = read_report(path).html()
    if file is None:
        output = resolve(path)
        write_file(output, REPORT, page)
        return output / REPORT
    place = resolve(file)
    write_whole(place, page, place._replace(path=f"{place.path}.part"))
    return place

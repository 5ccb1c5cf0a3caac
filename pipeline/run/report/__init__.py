"""`hyperdiag report`: a page for a browser of what a run derived, and its figures as objects.

from hyperdiag.run.report import read_report

report = read_report("outputs/qlknn-design")
report.figure("sensitivity", output="efiITG")    an object of Plotly
"""

from .reading import read_report, write_report
from .report import Report

__all__ = ["Report", "read_report", "write_report"]

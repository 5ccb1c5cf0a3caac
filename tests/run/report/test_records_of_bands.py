"""Bands of dependence curves, against quantiles of the rows in each bin."""

import shutil

import pytest

from hyperdiag.run.report import read_report

from .bands import without_bands
from .checks import close
from .networks import INPUTS, OUTPUTS


@pytest.mark.parametrize("place", [0, 1])
def test_bands_of_curves_are_quantiles_over_bins_of_the_rows(banded, data, place):
    folder, right = banded
    report = read_report(str(folder))
    output, record = OUTPUTS[place], report.records[place]
    for curve in record["curves"]:
        name = INPUTS[curve["input"]]
        for quantity in ("value", "jacobian", "hessian_diag"):
            bins = sorted(
                (key[3], each) for key, each in right.items() if key[:3] == (quantity, output, name)
            )
            assert all(map(close, curve["at"], (at for at, _ in bins)))
            for level, ending in enumerate(("p10", "median", "p90")):
                for number, (_, expected) in zip(curve[f"{quantity}_{ending}"], bins, strict=True):
                    assert close(number, expected[level])
    drawn = report.figure("value_curves", output).data
    names = ["10% to 90% of rows", "median", "mean"]
    assert [trace.name for trace in drawn] == names * len(record["curves"])
    for at, curve in enumerate(record["curves"]):
        band, median, mean = drawn[3 * at : 3 * at + 3]
        assert list(band.base) == curve["value_p10"]
        tops = [base + height for base, height in zip(band.base, band.y, strict=True)]
        assert all(map(close, tops, curve["value_p90"]))
        assert list(median.y) == curve["value_median"]
        assert list(mean.y) == curve["value"]
        assert list(mean.x) == curve["at"]  # in the input's own units


def test_curves_without_quantiles_are_means_in_one_figure_and_that_is_said(data, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(data.folder, folder)
    without_bands(folder)
    report = read_report(str(folder))
    said = "The run kept means of dependence curves, and no quantiles"
    assert any(sentence.startswith(said) for sentence in report.left_out)
    drawn = report.figure("value_curves", OUTPUTS[0]).data
    curves = report.records[0]["curves"]
    assert [trace.name for trace in drawn] == [curve["label"] for curve in curves]
    for trace, curve in zip(drawn, curves, strict=True):
        assert list(trace.y) == curve["value"]


def test_curves_with_quantiles_leave_nothing_out(banded):
    folder, _ = banded
    assert "no quantiles" not in " ".join(read_report(str(folder)).left_out)

"""Bands of dependence curves, against quantiles of the rows in each bin."""

import pytest

from hyperdiag.run.report import read_report

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
    assert len(drawn) == 4 * len(record["curves"])
    names = ["10%", "10% to 90% of rows", "median", "mean"]
    assert [trace.name for trace in drawn] == names * len(record["curves"])
    for at, curve in enumerate(record["curves"]):
        low, high, median, mean = drawn[4 * at : 4 * at + 4]
        assert list(low.y) == curve["value_p10"]
        assert list(high.y) == curve["value_p90"]
        assert high.fill == "tonexty"
        assert list(median.y) == curve["value_median"]
        assert list(mean.y) == curve["value"]
        assert list(mean.x) == curve["at"]  # in the input's own units

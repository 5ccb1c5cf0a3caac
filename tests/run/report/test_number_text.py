"""Numbers as tables write them, in Python and in the page alike."""

import pytest

from hyperdiag.run.report.number_text import number

WRITTEN = {
    0.0: "0",
    1.0: "1",
    0.5: "0.5",
    -0.03: "-0.03",
    123.45: "123.5",
    1000.5: "1001",
    -1000.5: "-1001",
    12345.6: "12350",
    999949.0: "999900",
    999999.0: "1e+06",
    4.508e9: "4.508e+09",
    -1.5e300: "-1.5e+300",
    1.0e100: "1e+100",
    0.0001234: "0.0001234",
    0.00009999: "9.999e-05",
    -2.5e-7: "-2.5e-07",
    1e9: "1e+09",
}


@pytest.mark.parametrize(("value", "text"), WRITTEN.items())
def test_number_has_four_digits_and_a_power_of_ten_where_it_is_large_or_small(value, text):
    assert number(value) == text


def test_number_is_scaled_and_what_is_not_there_is_a_dash():
    assert number(3.0, 0.5, 2) == "0.75"
    assert number(-0.0) == "0"
    assert number(None) == number(1.0, None) == "–"
    assert number(None, missing="-") == "-"


def test_page_writes_numbers_as_python_does(page):
    values = list(WRITTEN)
    assert page.run(f"{values!r}.map(shortNumber)") == list(WRITTEN.values())
    assert page.run("shortNumber(-0)") == "0"
    assert page.run("[null, undefined].map(shortNumber)") == ["–", "–"]

import pytest

from hyperdiag.messages.wording import by_code, counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "row", "0 rows"),
        (1, "worker", "1 worker"),
        (1, "computed column", "1 computed column"),
        (12345, "data file", "12,345 data files"),
    ],
)
def test_number_of_things_reads_as_people_say_it(number, noun, said):
    assert counted(number, noun) == said


def test_rows_by_their_faults_read_as_in_the_summary():
    assert by_code({"nan": 1200, "null": 1}) == "1,200 nan, 1 null"

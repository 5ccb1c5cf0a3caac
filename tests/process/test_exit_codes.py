import pytest

from hyperdiag.messages.errors import Busy, OutputError, RunIncomplete, UsageError
from hyperdiag.process.exit_codes import exit_code, worst
from hyperdiag.process.signals import Stopped


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (RunIncomplete(""), 1),
        (OutputError(""), 1),
        (ValueError(), 1),
        (UsageError(""), 2),
        (Busy(""), 75),
        (Stopped(15), 143),
    ],
)
def test_exit_code_is_that_of_the_error(error, code):
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 75], 75),
        ([75, 1, 0], 1),
        ([2, 75], 2),
        ([1, 143, 2], 143),
        ([75, 137], 137),
    ],
)
def test_failure_of_several_counts_before_one_that_is_to_be_tried_again(codes, code):
    assert worst(codes) == code

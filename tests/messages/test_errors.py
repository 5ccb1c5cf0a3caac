import pickle

import pytest

from hyperdiag.messages.errors import Problems, UsageError, closest, listed


def test_closest_ignores_case_and_far_words():
    assert closest("Ati", ["ati", "q"]) == " (closest: 'ati')"
    assert closest("methd", ["method", "dtype"]) == " (closest: 'method')"
    assert closest("zzz", ["method"]) == ""


def test_listed_counts_the_tail():
    assert listed("abc") == "a, b, c"
    assert listed("abcd", most=2) == "a, b and 2 more"


def test_usage_error_survives_pickling_with_all_problems():
    error = pickle.loads(pickle.dumps(UsageError(["one", "two"])))
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"


def test_problems_raise_only_where_there_are_any():
    problems = Problems()
    problems.check()
    problems.add("one")
    with pytest.raises(UsageError, match="one"):
        problems.check()

"""Sums without rounding, against Python's own exact sum."""

import math
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperdiag.statistics.exact_sum import UNIT, ExactSums

numbers = st.floats(allow_nan=False, allow_infinity=False)


def _sum(terms):
    sums = ExactSums(1)
    for term in terms:
        sums.add(np.array([[term]]))
    return sums


@given(st.lists(numbers, max_size=20))
def test_sum_is_the_exact_one_rounded_once(terms):
    exact = sum((Fraction(term) for term in terms), Fraction(0))
    assert _sum(terms).units() == [exact * UNIT]
    try:
        nearest = float(exact)
    except OverflowError:
        nearest = math.inf if exact > 0 else -math.inf
    assert _sum(terms).rounded()[0] == nearest


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_terms_add_up_to_the_same_sum(terms):
    sums = _sum(terms)
    again = ExactSums(1)
    again.add(sums.terms())
    assert again.units() == sums.units()
    assert np.array_equal(again.terms(), sums.terms())


def test_order_is_not_seen():
    found = {_sum(order).terms().tobytes() for order in permutations([1e16, 1.0, -1e16, 1e-30])}
    assert len(found) == 1
    assert _sum([1e16, 1.0, -1e16]).rounded()[0] == 1.0  # which rounding loses


@pytest.mark.parametrize("term", [5e-324, -5e-324, 2.2e-308, np.finfo(float).max])
def test_ends_of_the_range_are_exact(term):
    assert _sum([term]).units() == [Fraction(term) * UNIT]


def test_what_is_not_finite_makes_its_own_sum_infinite():
    sums = ExactSums(2)
    sums.add(np.array([[np.inf, 1.0]]))
    sums.add(np.array([[1.0, 1.0]]))
    assert sums.rounded().tolist() == [np.inf, 2.0]
    assert sums.units() == [None, 2 * UNIT]

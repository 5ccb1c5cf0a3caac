import pytest

from tests.chaos.driver import LineCount, run


@pytest.mark.slow
def test_receipt_costs_about_the_same_with_three_hundred_workers_as_with_ten():
    few, many = (run(workers, 4000, clock=LineCount) for workers in (10, 300))
    assert many < 1.3 * few  # 1.9 times as many with one loop over the workers for each receipt


@pytest.mark.chaos
@pytest.mark.timed
def test_three_thousand_workers_return_two_thousand_receipts_a_second_to_half_a_core():
    cost = run(3000, 120_000)
    assert cost["microseconds"] < 250  # of the driver's own; Ray's is in the table of the page

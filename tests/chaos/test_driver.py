import pytest

from tests.chaos.driver import CallCount, run


@pytest.mark.slow
def test_receipt_costs_about_the_same_with_three_hundred_workers_as_with_ten():
    few, many = (run(workers, 4000, clock=CallCount) for workers in (10, 300))
    assert many < 2 * few  # 25 times as much where each receipt looks at each worker


@pytest.mark.chaos
@pytest.mark.timed
def test_three_thousand_workers_return_two_thousand_receipts_a_second_to_half_a_core():
    cost = run(3000, 120_000)
    assert cost["microseconds"] < 250  # of the driver's own; Ray's is in the table of the page

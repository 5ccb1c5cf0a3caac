from hyperdiag.bench.device.parts import Budget, Part


def test_part_begins_its_first_step_and_others_until_its_deadline():
    now = [0.0]
    part = Part("kernels", deadline=10.0, clock=lambda: now[0])
    now[0] = 11.0
    assert part.begins("first")  # a late part says something, too
    assert part.left == 0.0
    assert not part.begins("second")
    assert part.left_out == ["second"]


def test_part_leaves_nothing_out_in_time():
    now = [9.0]
    part = Part("kernels", deadline=10.0, clock=lambda: now[0])
    assert [part.begins(step) for step in "abc"] == [True] * 3
    assert part.left == 1.0
    assert part.left_out == []


def test_budget_shares_what_parts_left_or_took_among_those_after_them():
    now = [100.0]
    budget = Budget(50.0, {"a": 2.0, "b": 2.0, "c": 1.0}, clock=lambda: now[0])
    assert budget.part("a").left == 20.0
    now[0] = 105.0  # it took 5 of 20
    assert budget.part("b").left == 30.0
    now[0] = 140.0  # it took 35 of 30
    assert budget.part("c").left == 10.0


def test_budget_that_is_spent_leaves_no_part_any_time():
    now = [100.0]
    budget = Budget(50.0, {"a": 1.0, "b": 1.0}, clock=lambda: now[0])
    now[0] = 151.0
    assert budget.part("a").left == 0.0

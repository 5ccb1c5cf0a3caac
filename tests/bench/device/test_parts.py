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


def test_budget_leaves_what_a_part_did_not_need_to_the_next():
    now = [100.0]
    budget = Budget(50.0, clock=lambda: now[0])
    assert budget.part("a", 0.5).left == 25.0
    now[0] = 105.0  # it took 5 of 25
    assert budget.part("b", 1.0).left == 45.0
    assert not budget.spent
    now[0] = 150.0
    assert budget.spent

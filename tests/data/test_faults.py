import numpy as np

from hyperdiag.data.faults import Fault, Faults


def test_faults_of_a_row_keep_only_the_first():
    faults = Faults(3)
    faults.add(np.array([True, False, True]), Fault.NULL, "is null")
    faults.add(np.array([True, True, False]), Fault.NAN, "is NaN")
    assert list(faults) == [
        (0, Fault.NULL, "is null"),
        (1, Fault.NAN, "is NaN"),
        (2, Fault.NULL, "is null"),
    ]
    assert faults.bad.tolist() == [True, True, True]


def test_faults_with_a_detail_for_each_row_keep_that_of_the_row():
    faults = Faults(4)
    faults.add(np.array([False, True, False, True]), Fault.OVERFLOW, ["a", "b", "c", "d"])
    assert faults.codes() == ["overflow", "overflow"]
    assert faults.details() == ["b", "d"]
    assert [row for row, _, _ in faults] == [1, 3]


def test_faults_never_added_leave_every_row_good():
    faults = Faults(2)
    faults.add(np.array([False, False]), Fault.NULL, "is null")
    assert not faults.bad.any()
    assert list(faults) == faults.codes() == faults.details() == []


def test_fault_codes_are_the_words_that_quarantine_files_hold():
    assert {fault.value for fault in Fault} == {
        "null",
        "nan",
        "infinite",
        "overflow",
        "wrong_width",
        "not_a_number",
        "out_of_range",
        "non_finite_result",
        "negative_deviation",
        "non_finite_derived",
    }

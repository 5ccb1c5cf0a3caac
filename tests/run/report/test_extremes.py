"""Columns of single rows of a dataset, read again."""

import os

import pyarrow.parquet as pq
import pytest

from hyperdiag.run.plan.plan_file import plan_at
from hyperdiag.run.report.extremes import passed_columns


@pytest.fixture
def plan(published):
    return plan_at(str(published))


def test_columns_are_those_of_the_rows_asked_for(plan):
    for number, file in enumerate(plan.files):
        table = pq.read_table(file.path)
        places = [(file.path, index) for index in (0, 999, 1000, 2999)]
        columns, complaint = passed_columns(plan, places, ["desk", "trade"])
        assert complaint is None
        assert columns == {
            place: [table["desk"][place[1]].as_py() or "", str(place[1] + 3000 * number)]
            for place in places
        }


def test_files_that_are_not_in_the_dataset_are_said(plan):
    columns, complaint = passed_columns(plan, [("/elsewhere.parquet", 3)], ["desk"])
    assert not columns
    assert "not those that the rows name" in complaint


def test_file_that_has_changed_is_said(plan):
    path = plan.files[1].path
    times = plan.files[1].modified_ns
    os.utime(path, ns=(times, times + 10**9))
    try:
        columns, complaint = passed_columns(plan, [(path, 3)], ["desk"])
    finally:
        os.utime(path, ns=(times, times))
    assert not columns
    assert "has changed since the run was planned" in complaint


def test_no_columns_are_read_where_none_are_passed_through(plan):
    assert passed_columns(plan, [(plan.files[0].path, 3)], []) == ({}, None)

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.parquet_listing import BadFile
from hyperdiag.run.output.receipt import Tally
from hyperdiag.run.output.warnings import make_warnings, warn_of_input
from hyperdiag.run.plan.plan_file import load_plan
from hyperdiag.run.plan.planner import Planned

RELEASE = Path(__file__).parents[1] / "plan/release_0_1_0/design"


@pytest.fixture
def planned():
    """A plan with outputs u and v, a tolerance of 0.01 and a batch of 16 rows."""
    plan = load_plan(resolve(str(RELEASE)))
    return Planned(replace(plan, network=replace(plan.network, outputs=("u", "v"))), 100, (), 0.0)


@pytest.mark.parametrize(
    ("tally", "batch", "sentences"),
    [
        (Tally(derived=100, flat=[0, 9], largest_error=1e-3), 16, []),
        (Tally(), 0, []),
        (
            Tally(derived=100, flat=[100, 0]),
            16,
            ["of u is zero on every row: as where an output does not .* in float32 make it"],
        ),
        (
            Tally(derived=100, flat=[0, 10]),
            16,
            [r"on many rows of v \(10%\): as where .*, or where"],
        ),
        (
            Tally(derived=100, flat=[100, 99], verified=8, at_kinks=2),
            16,
            [
                "of u is zero on every row",
                r"of v \(99%\)",
                "2 of 8 verified rows lie where the reference jumps",
            ],
        ),
        (
            Tally(derived=100, largest_error=1.1e-3),
            16,
            ["largest error of .* is 1.1e-03 of .* in float32, as by rounding; .*dtype=float64"],
        ),
        (
            Tally(derived=100, verified=8, rounded=1),
            16,
            ["1 of 8 verified rows have derivatives .* JAX's own are off there, too, and deriv"],
        ),
        (Tally(derived=100), 8, [r"no memory for 16 rows at once: down to 8 .*batch=8 from"]),
    ],
)
def test_warnings_say_what_people_overlook(tally, batch, sentences, planned):
    found = make_warnings(planned, tally, batch)
    assert len(found) == len(sentences)
    for sentence, wanted in zip(found, sentences, strict=True):
        assert re.search(wanted, sentence), sentence


def test_run_in_float64_is_not_told_to_take_float64(planned):
    kernel = replace(planned.plan.kernel, dtype="float64", tolerance=1e-6)
    planned = planned._replace(plan=replace(planned.plan, kernel=kernel))
    tally = Tally(derived=100, verified=8, rounded=1, largest_error=9e-7, flat=[100, 0])
    found = make_warnings(planned, tally, 16)
    assert len(found) == 3
    assert not [sentence for sentence in found if "dtype=float64" in sentence]


def test_files_left_out_are_all_in_the_warnings_and_the_first_in_the_log(planned, caplog):
    files = tuple(BadFile(f"f{number}", "is damaged") for number in range(10))
    planned = planned._replace(bad_files=files)
    lines = [f"left out: f{number}: is damaged" for number in range(10)]
    assert make_warnings(planned, Tally(), 0) == lines
    warn_of_input(planned)
    more = "left out: 2 more, which run/manifest.json names"
    assert [record.getMessage() for record in caplog.records] == [*lines[:8], more]

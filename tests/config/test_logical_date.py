import datetime

import pytest
import yaml

from hyperdiag.config.logical_date import parse_date
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.plan.planner import make_plan

_BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
_SMALL = ("network=chain", _BOX, "dataset.rows=50", "cluster=inline")


def test_date_that_is_not_given_is_today_in_utc(configure):
    before = datetime.datetime.now(datetime.UTC).date().isoformat()
    config, text = configure("output.path=out/${run.date}")
    after = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert config.run.date in (before, after)
    assert config.output.path == f"out/{config.run.date}"
    assert yaml.safe_load(text)["run"] == {"date": config.run.date}


@pytest.mark.parametrize(
    ("date", "value", "becomes"),
    [
        ("2026-11-23", "a/date=${run.date}/b", "a/date=2026-11-23/b"),
        ("2026-11-23T06:00:00Z", "${run.date}", "2026-11-23T06:00:00Z"),
        ("2026-02-03", "a/${at:%Y/%m/%d}", "a/2026/02/03"),
        ("2026-11-23T06:30:00Z", "${at:%Y%m%dT%H%M}", "20261123T0630"),
        ("2026-11-23T23:30:00-05:00", "${at:%d %H}", "24 04"),
        ("2026-11-23T06:30", "${at:%H,%M}", "06,30"),
    ],
)
def test_date_in_a_path_is_the_one_given_or_its_shape_in_utc(configure, date, value, becomes):
    config, _ = configure(f"run.date='{date}'", f"output.path='{value}'")
    assert config.output.path == becomes


@pytest.mark.parametrize(
    "date",
    [
        *("tomorrow", "2026-13-01", "2026-02-30", "20261123", "2026-W47-1", "2026-11-23T25:00"),
        *("1", "23.11.2026", "2026-11-23T06", "[2026]", "'0001-01-01T00:00:00+14:00'"),
    ],
)
def test_date_that_is_none_is_refused_by_name(configure, date):
    with pytest.raises(UsageError) as caught:
        configure(f"run.date={date}", "output.path='out/${at:%Y}'")
    (problem,) = caught.value.problems
    assert problem.startswith("run.date must be an ISO date or time, such as 2026-11-23 or")


def test_date_is_no_part_of_a_plan_that_does_not_use_it(configure):
    digests = {
        make_plan(configure(*_SMALL, f"run.date={date}")[0]).plan.digest
        for date in ("2026-11-23", "2027-01-01")
    }
    assert len(digests) == 1


def test_date_without_a_zone_is_in_utc():
    assert parse_date("2026-11-23 06:00") == parse_date("2026-11-23T07:00:00+01:00")


def test_run_keeps_the_date_that_its_paths_were_made_with(invoke, tmp_path):
    done = invoke("derive", *_SMALL, "run.date=2025-12-31", "output.path='out/${at:%Y/%j}'")
    assert done.returncode == 0, done.stderr
    kept = yaml.safe_load((tmp_path / "out/2025/365/run/config.yaml").read_text())
    assert kept["run"] == {"date": "2025-12-31"}


def test_wrong_date_is_a_matter_of_usage(invoke):
    done = invoke("derive", *_SMALL, "run.date=yesterday")
    assert done.returncode == 2
    assert "hyperdiag: run.date must be an ISO date or time" in done.stderr
    assert "got yesterday" in done.stderr

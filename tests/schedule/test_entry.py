"""Files of entries: what they may say, which tick a date means, which date a tick has."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from hyperdiag.config.schema import NotifyConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.schedule.entry import choose, read_entries, utc_text

from .counting import Counting


@pytest.fixture
def write(tmp_path):
    def written(name, text):
        (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path

    return written


@pytest.fixture
def entry(write):
    def made(text):
        (found,) = read_entries([write("nightly", text)])
        return found

    return made


def problems(*folders, **options):
    with pytest.raises(UsageError) as caught:
        read_entries(folders, **options)
    return caught.value.problems


def test_entry_keeps_its_overrides_as_they_are_written(entry):
    found = entry('cron: 30 2 * * *\noverrides: ["a=${run.date}", "b=\'x y\'", c=$HOME]\n')
    assert found.settings.overrides == ["a=${run.date}", "b='x y'", "c=$HOME"]
    assert (found.name, found.settings.missed, found.due) == ("nightly", "latest", "30 2 * * * UTC")


def refuse(entry):
    raise UsageError(f"{entry.name} is checked, not s3://me:hunter2@b")


def test_every_problem_of_every_file_is_named_at_once(write, tmp_path):
    write("a", "cron: 0 25 * * *\ntimezone: Mars/Olympus\noverrides: [--multirun, run.date=x]\n")
    write("b", "crom: 0 2 * * *\nmissed: never\n")
    write("c", "cron: * * * * *\n")
    write("d", "timezone: UTC\n")
    write("e", "cron: 0 2 * * *\nevery: 5s\n")
    write("f g", "every: 5s\n")
    write("g", "every: 5s\n")
    write("h", "every: ''\n")
    found = problems(tmp_path, configure=refuse)
    text = "\n".join(found)
    for part in (
        "a.yaml: cron '0 25 * * *': Error validating expression '25'",
        "a.yaml: timezone must be of the IANA database, Europe/Berlin; got Mars/Olympus",
        "a.yaml: overrides: --multirun is a flag",
        "a.yaml: overrides: run.date=x is not for an entry to say",
        "b.yaml: crom is no key here (closest: 'cron')",
        "b.yaml: missed must be one of skip, latest, all",
        "c.yaml: cannot be read: ",
        "d.yaml: needs cron or every, and one of them only",
        "e.yaml: needs cron or every, and one of them only",
        "f g.yaml: its name may have letters, digits, _ and - only",
        "g.yaml: g is checked",
        "h.yaml: every '': must be a number and a unit",
    ):
        assert f"schedule entry {tmp_path}/{part}" in text
    assert len(found) == 12


@pytest.mark.parametrize(
    "zone", ["../../etc/passwd", "/etc/localtime", "Europe", "", "europe berlin"]
)
def test_timezone_that_is_none_is_refused(zone, write):
    folder = write("a", f"cron: 0 2 * * *\ntimezone: '{zone}'\n")
    said = f"timezone must be of the IANA database, Europe/Berlin; got {zone or 'nothing'}"
    assert problems(folder)[0].endswith(said)


def test_first_folder_with_a_name_counts_and_inactive_entries_do_not(tmp_path):
    for folder, every in (("mine", "5s"), ("ours", "7s")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yaml").write_text(f"every: {every}\n")
    (tmp_path / "ours/b.yaml").write_text("every: 1s\nactive: false\noverrides: [x]\n")
    folders = [tmp_path / "mine", tmp_path / "ours"]
    hooks = NotifyConfig(url="http://host")
    configure = {"a": SimpleNamespace(notify=hooks)}  # an entry that is not active is not asked for
    (found,) = read_entries(folders, lambda entry: configure[entry.name])
    assert found.notify == hooks
    assert found.due == "every 5s"
    (tmp_path / "mine/a.yaml").write_text("every: 5s\nactive: false\n")
    assert "there is nothing to schedule (not active: a, b)" in problems(*folders)[0]
    with pytest.raises(UsageError, match=r"no schedule entry 'aa' \(closest: 'a'\)"):
        choose([found], "aa")


def test_problems_name_no_secret(write, tmp_path):
    write("a", "every: 5s\naddress: ftp://me:hunter2@host\noverrides: [--x=s3://me:hunter2@b]\n")
    text = "\n".join(problems(tmp_path, configure=refuse))
    write("b", "every: 5s\n")
    text += "\n".join(problems(tmp_path, configure=refuse))
    assert text.count("://***@") == 5
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("keys", "date"),
    [
        ("cron: 30 0 * * *\ntimezone: Europe/Berlin", "2026-11-23"),
        ("cron: 30 0 * * *", "2026-11-22"),
        ("cron: 30 0 1 * 5", "2026-11-22"),
        ("cron: 30 * * * *", "2026-11-22T23:30:00Z"),
        ("cron: 0 30 0 * * *", "2026-11-22T23:30:00Z"),
        ("cron: 30 0,12 * * *", "2026-11-22T23:30:00Z"),
        ("every: 30m", "2026-11-22T23:30:00Z"),
        ("every: 30m\ndate: day", "2026-11-22"),
        ("cron: 30 0 * * *\ndate: time", "2026-11-22T23:30:00Z"),
    ],
)
def test_logical_date_of_a_tick(keys, date, entry):
    assert entry(keys).date_of(datetime(2026, 11, 22, 23, 30, tzinfo=UTC)) == date


def test_tick_of_a_day_or_a_time(entry):
    berlin = entry("cron: 30 0 * * *\ntimezone: Europe/Berlin")
    for text in ("2025-11-23", "2025-11-23T00:30", "2025-11-22T23:30:00Z"):
        assert utc_text(berlin.tick_of(text)) == "2025-11-22T23:30:00Z"
    # In the night in which clocks go forward, the day has its tick all the same.
    skipping = entry("cron: 30 2 * * *\ntimezone: Europe/Berlin")
    assert utc_text(skipping.tick_of("2026-03-29")) == "2026-03-29T01:30:00Z"
    last = berlin.tick_of(None)
    now = datetime.now(UTC)
    assert now - timedelta(days=1, hours=2) < last <= now
    assert utc_text(entry("cron: 0 0 29 2 *").tick_of(None)) == "2024-02-29T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "date must be an ISO date or time"),
        ("2025-11-22", "no tick at date=2025-11-22; before it there are: 2025-11-19T06:00:00Z, "),
        ("2025-11-24T06:01", "no tick at date=2025-11-24T06:01; before it there are: "),
        ("2999-11-25", "is due at 2999-11-25T06:00:00Z, which is to come"),
    ],
)
def test_tick_that_does_not_exist_is_refused(text, message, entry):
    with pytest.raises(UsageError) as caught:
        entry("cron: 0 6 * * mon-fri").tick_of(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("keys", ["every: 1s", "cron: '* * 3 * * *'"])
def test_last_ticks_are_found_without_a_walk_through_all_before(keys, entry):
    found = entry(keys)
    trigger = Counting(found.trigger)
    found = replace(found, trigger=trigger)
    last = found.tick_of(None)
    assert (datetime.now(UTC) - last) < timedelta(days=1)
    with pytest.raises(UsageError, match=r"there are: 2025-11-23T03:59:57Z, \S+:58Z, \S+:59Z"):
        found.tick_of("2025-11-23T03:59:59.5")
    assert trigger.asked < 3 * 3600


def test_day_with_many_ticks_needs_the_time(entry):
    with pytest.raises(UsageError, match="24 ticks on 2025-11-23: give the time too, date=2025-11"):
        entry("cron: 0 * * * *").tick_of("2025-11-23")

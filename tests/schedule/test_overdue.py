"""Which entries are overdue, and who is told."""

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.config.schema import NotifyConfig
from hyperdiag.schedule import overdue as overdue_module
from hyperdiag.schedule.entry import read_entries
from hyperdiag.schedule.history import History
from hyperdiag.schedule.kept_entries import KeptEntries
from hyperdiag.schedule.overdue import OverdueWatch, last_success, overdue

from .nightly import wait

TICK = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Night:
    """An entry of 02:30 with a deadline of six hours, and its history."""

    def __init__(self, folder):
        (folder / "nightly.yaml").write_text("cron: 30 2 * * *\ndeadline_seconds: 21600")
        (self.entry,) = read_entries([folder])
        self.history, self.kept = History(folder), KeptEntries(folder)
        self.keep(TICK - 10 * DAY)

    def keep(self, since):
        self.kept.keep("nightly", self.entry.due, since, None)

    def run(self, tick, code, ended=None):
        self.history.enter("nightly", [tick], "all", 60, tick)
        run = self.history.next("nightly")
        self.history.begin(run, tick.timestamp())
        self.history.end(run, (ended or tick + HOUR).timestamp(), code, 60.0)

    def overdue(self, now):
        return overdue(self.entry, self.history, self.kept.all().get("nightly"), now)


@pytest.fixture
def night(tmp_path):
    return Night(tmp_path)


def test_night_that_never_ran_is_overdue_when_its_time_is_over(night):
    night.run(TICK - DAY, 0)
    assert night.overdue(TICK + 6 * HOUR - timedelta(seconds=1)) is None
    late = night.overdue(TICK + 6 * HOUR)
    assert (late.tick, late.since) == (TICK, TICK + 6 * HOUR)
    assert late.reason == "no scheduler was at work; the last success was at 2026-11-22T03:30:00Z"
    assert night.overdue(TICK + 300 * DAY).tick == TICK + 299 * DAY
    night.run(TICK, 0)
    assert night.overdue(TICK + 6 * HOUR) is None
    assert night.overdue(TICK + DAY + 6 * HOUR).tick == TICK + DAY


@pytest.mark.parametrize("code", [1, 2, 75, 137])
def test_night_that_did_not_succeed_is_overdue_like_one_that_never_was(night, code):
    night.keep(TICK)
    night.run(TICK, code)
    assert night.overdue(TICK + 5 * HOUR) is None
    late = night.overdue(TICK + 7 * HOUR)
    assert late.reason == f"it ended with exit code {code}; none succeeded yet"
    # Done again by hand.
    run = night.history.enter_by_hand("nightly", TICK)
    assert "it is waiting" in night.overdue(TICK + 7 * HOUR).reason
    night.history.begin(run, 1.0)
    assert "it is running" in night.overdue(TICK + 7 * HOUR).reason
    night.history.end(run, 2.0, 0, 1.0)
    assert night.overdue(TICK + 7 * HOUR) is None


def test_tick_whose_place_a_later_one_took_is_not_overdue(night):
    ticks = [TICK - DAY, TICK]
    night.history.enter("nightly", ticks, "latest", 60, TICK)
    run = night.history.next("nightly")
    night.history.begin(run, 1.0)
    night.history.end(run, TICK.timestamp(), 0, 1.0)
    assert night.overdue(TICK + 5 * HOUR) is None


def test_entry_that_nobody_kept_then_is_not_overdue(night):
    night.keep(TICK + timedelta(seconds=1))
    assert night.overdue(TICK + 7 * HOUR) is None
    assert night.overdue(TICK + DAY + 7 * HOUR).tick == TICK + DAY
    night.kept.remove("nightly")
    assert night.overdue(TICK + DAY + 7 * HOUR) is None


def test_clock_that_was_ahead_hides_no_entry_that_is_overdue(night):
    ahead = TICK + 400 * DAY
    night.keep(ahead)
    night.run(ahead, 0)
    assert last_success(night.entry, night.history, TICK + 7 * HOUR) is None
    assert night.overdue(TICK + 7 * HOUR).tick == TICK
    # A run of its own tick that ended by such a clock succeeded when it was due, for whoever asks.
    night.run(TICK, 0, ended=ahead)
    assert last_success(night.entry, night.history, TICK + 7 * HOUR) == (TICK, TICK)
    assert last_success(night.entry, night.history, ahead).ended == ahead


def test_hooks_of_an_entry_hear_once_that_it_is_overdue(tmp_path, monkeypatch, caplog):
    """Really so: of an entry each second, with a deadline of a second, that never runs."""
    caplog.set_level("INFO", "hyperdiag")
    monkeypatch.setattr(overdue_module, "_LOOK_SECONDS", 0.05)
    (tmp_path / "often.yaml").write_text("every: 1h\ndeadline_seconds: 1")
    (tmp_path / "quiet.yaml").write_text("every: 1h\ndeadline_seconds: 1")
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    entries = []
    kept, history = KeptEntries(tmp_path), History(tmp_path)
    for entry in read_entries([tmp_path]):
        hook = [sys.executable, "-c", script, f"{tmp_path}/{entry.name}.told"]
        on = ["failure"] if entry.name == "often" else ["success", "busy"]
        object.__setattr__(entry, "notify", NotifyConfig(command=hook, on=on))
        kept.keep(entry.name, entry.due, datetime.now(UTC) - DAY, None)
        entries.append(entry)
    for _ in range(2):  # the second is a scheduler that was started again
        watch = OverdueWatch(tmp_path, lambda: entries)
        watch.start()
        wait(lambda: all(each.reported for each in kept.all().values()))
        watch.join(0.3)
        watch.stop()
        watch.join()
    (line,) = (tmp_path / "often.told").read_text().splitlines()
    message = json.loads(line)
    tick = datetime.fromisoformat(message["tick"])
    assert datetime.now(UTC) - tick < 2 * HOUR
    assert datetime.fromisoformat(message["overdue_since"]) == tick + timedelta(seconds=1)
    assert {key: message[key] for key in ("state", "entry", "date")} == {
        "state": "overdue",
        "entry": "often",
        "date": message["tick"],
    }
    assert message["error"].startswith(f"often is overdue: its tick of {message['tick']} had not ")
    assert message["error"] in caplog.text
    assert not (tmp_path / "quiet.told").exists()
    assert caplog.text.count("quiet is overdue: ") == 1
    history.enter("often", [tick], "all", 60, tick)
    run = history.next("often")
    history.end(run, datetime.now(UTC).timestamp(), 0, 1.0)
    watch = OverdueWatch(tmp_path, lambda: entries)
    watch.start()
    wait(lambda: kept.all()["often"].reported is None)
    watch.stop()
    watch.join()
    assert "often: overdue no more" in caplog.text

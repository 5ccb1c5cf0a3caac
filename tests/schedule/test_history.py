"""The table of runs: what is entered, in which order it is done, what is left of it."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.schedule.database import FILE
from hyperdiag.schedule.history import AHEAD, History

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TICKS = [NOON + timedelta(minutes=k) for k in range(5)]


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def enter(history, due, missed="all", entry="nightly", now=None):
    return history.enter(entry, due, missed, 60.0, now or due[-1])


def states(history, entry="nightly"):
    return {run.moment: run.state for run in history.latest(entry, 100)}


def test_tick_is_entered_once(history):
    enter(history, TICKS[:3])
    run = history.next("nightly")
    assert history.begin(run, 1.0)
    history.end(run, 2.0, 0, 1.0)
    enter(history, TICKS[:4])
    assert states(history) == dict(zip(TICKS, ["ended", *["waiting"] * 3], strict=False))


def test_runs_are_done_in_order_those_interrupted_first(history):
    enter(history, TICKS[1:3])
    enter(history, TICKS[:1])
    done = []
    while run := history.next("nightly"):
        assert history.begin(run, 10.0)
        if run.tries == 0 and run.moment == TICKS[1]:
            history.interrupt(run, 11.0)
            enter(history, TICKS[3:])
            assert history.next("nightly").moment == TICKS[1]
            continue
        done.append(run.moment)
        history.end(run, 12.0, 0, 2.0)
    assert done == TICKS
    assert [run.tries for run in history.latest("nightly", 9)] == [1, 1, 1, 2, 1]


def test_run_that_died_with_its_process_is_next(history):
    enter(history, TICKS[:2])
    first = history.next("nightly")
    history.begin(first, 1.0)
    again = history.next("nightly")
    assert (again.moment, again.state) == (TICKS[0], "running")


def test_ended_or_skipped_run_is_not_begun(history):
    enter(history, TICKS[:2], missed="latest")
    skipped = history.latest("nightly", 2)[1]
    assert skipped.state == "skipped"
    assert not history.begin(skipped, 1.0)
    run = history.next("nightly")
    history.begin(run, 1.0)
    history.end(run, 3.5, 7, 2.5)
    assert not history.begin(run, 4.0)
    ended = history.latest("nightly", 1)[0]
    assert (ended.state, ended.started, ended.ended, ended.code, ended.tries) == (
        *("ended", 1.0, 3.5),
        *(7, 1),
    )


def test_tick_that_comes_during_a_run_is_skipped_or_waits(history):
    for entry, missed, wanted in (
        ("a", "skip", ["running", "skipped", "skipped"]),
        ("b", "latest", ["running", "skipped", "waiting"]),
        ("c", "all", ["running", "waiting", "waiting"]),
    ):
        enter(history, TICKS[:1], missed, entry)
        history.begin(history.next(entry), 1.0)
        for tick in TICKS[1:3]:
            enter(history, [tick], missed, entry)
        assert list(reversed(states(history, entry).values())) == wanted


def test_run_by_hand_is_another_attempt_unless_the_tick_is_unfinished(history):
    waiting = history.enter_by_hand("nightly", NOON)
    assert (waiting.attempt, waiting.by_hand, waiting.key) == (1, True, "20261123T120000Z")
    assert history.enter_by_hand("nightly", NOON) == waiting
    history.begin(waiting, 1.0)
    history.end(waiting, 2.0, 1, 1.0)
    again = history.enter_by_hand("nightly", NOON)
    assert (again.attempt, again.key) == (2, "20261123T120000Z-2")
    enter(history, [NOON])  # as a clock that was put back would
    assert [run.attempt for run in history.latest("nightly", 9)] == [2, 1]


def test_later_tick_does_not_take_the_place_of_one_by_hand(history):
    history.enter_by_hand("nightly", TICKS[0])
    enter(history, TICKS[1:3], "latest")
    assert list(states(history).values()) == ["waiting", "skipped", "waiting"]


def test_many_that_enter_the_same_ticks_at_once_enter_them_once(tmp_path):
    History(tmp_path)
    wait = threading.Barrier(8)

    def work():
        mine = History(tmp_path)
        wait.wait()
        for tick in TICKS:
            enter(mine, [tick])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(History(tmp_path)) == dict.fromkeys(TICKS, "waiting")


def test_history_is_one_plain_table(history, tmp_path):
    enter(history, TICKS)
    with sqlite3.connect(tmp_path / FILE) as connection:
        ((count, first),) = connection.execute("SELECT count(*), min(tick) FROM runs")
    connection.close()
    assert (count, first) == (5, NOON.timestamp())
    assert history.entries() == ["nightly"]


def finish(history, code=0, entry="nightly"):
    run = history.next(entry)
    history.begin(run, run.tick)
    history.end(run, run.tick + 5, code, 5.0)
    return run


def test_tick_that_came_before_its_time_is_served_again_when_it_comes(history):
    enter(history, TICKS[:4])
    finish(history)
    finish(history)
    # The clock goes back to the first tick: the others are to come.
    assert history.put_off("nightly", TICKS[0]) == 3
    assert history.put_off("nightly", TICKS[0]) == 0
    assert list(states(history).values()) == ["skipped", "skipped", "ended", "ended"]
    assert history.next("nightly") is None
    assert [run.reason for run in history.latest("nightly", 9)] == [AHEAD, AHEAD, AHEAD, None]
    for tick in TICKS[:4]:
        enter(history, [tick])
    runs = [(run.moment, run.attempt) for run in history.latest("nightly", 9)]
    assert (TICKS[0], 2) not in runs
    assert {(tick, 2) for tick in TICKS[1:4]} <= set(runs)
    assert history.next("nightly").key == "20261123T120100Z-2"
    enter(history, TICKS[:4])
    assert len(history.latest("nightly", 9)) == len(runs) == 7


def test_run_under_way_whose_tick_is_to_come_ends_under_its_own_name(history):
    enter(history, TICKS[:1])
    run = history.next("nightly")
    history.begin(run, 1.0)
    history.put_off("nightly", TICKS[0] - timedelta(days=400))
    assert history.next("nightly") is None
    history.end(run, 2.0, 0, 1.0)
    assert history.latest("nightly", 1)[0][4:6] == ("ended", AHEAD)
    history.interrupt(run, 3.0)
    assert history.next("nightly") is None


def test_what_was_put_off_by_a_clock_that_was_behind_is_as_it_was(history):
    enter(history, TICKS[:4], "latest")
    finish(history)
    enter(history, TICKS[4:])
    before = history.latest("nightly", 9)
    assert {run.state for run in before} == {"ended", "skipped", "waiting"}
    assert history.put_off("nightly", datetime(1970, 1, 1, tzinfo=UTC)) == 5
    assert {run.state for run in history.latest("nightly", 9)} == {"ended", "skipped"}
    history.take_back("nightly", NOON - timedelta(days=1))
    assert history.latest("nightly", 9) != before
    history.take_back("nightly", TICKS[-1])
    assert history.latest("nightly", 9) == before
    enter(history, TICKS)
    assert history.latest("nightly", 9) == before


def test_success_of_a_tick_to_come_or_put_off_is_none(history):
    assert history.last_success("nightly", NOON) is None
    enter(history, TICKS[:4])
    for code in (0, 0, 1, 0):
        finish(history, code)
    assert history.last_success("nightly", TICKS[-1]).moment == TICKS[3]
    assert history.last_success("nightly", TICKS[2]).moment == TICKS[1]
    assert history.last_ended("nightly", TICKS[2]).code == 1
    history.put_off("nightly", TICKS[0])
    assert history.last_success("nightly", TICKS[-1]).moment == TICKS[0]


def test_runs_of_ticks_to_come_stand_behind_those_that_were(history):
    now = datetime.now(UTC).replace(microsecond=0)
    past = [now - timedelta(minutes=k) for k in (3, 2, 1)]
    enter(history, [*past, now + timedelta(days=400)])
    latest = [run.moment for run in history.latest("nightly", 4)]
    assert latest == [*reversed(past), now + timedelta(days=400)]
    assert [run.moment for run in history.latest("nightly", 2)] == latest[:2]


def test_run_took_what_its_process_measured_though_the_clock_was_set_meanwhile(history):
    enter(history, TICKS[:1])
    run = history.next("nightly")
    history.begin(run, 1e9 + 400 * 86400)
    history.end(run, 1e9, 0, 7.0)
    (run,) = history.latest("nightly", 1)
    assert (run.started, run.ended) == (1e9 - 7, 1e9)

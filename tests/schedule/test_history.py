"""The table of runs: what is entered, in which order it is done, what is left of it."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest

from hyperdiag.schedule.history import FILE, History

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
    history.end(run, 2.0, 0)
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
        history.end(run, 12.0, 0)
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
    history.end(run, 3.5, 7)
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
    history.end(waiting, 2.0, 1)
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

import pytest

from hyperdiag.run.workers.deadline import Deadline


def test_before_anything_is_done_a_worker_may_be_quiet_for_an_hour():
    assert Deadline(None).quiet_seconds(10) == 3600


def test_worker_may_be_quiet_for_ten_times_the_slowest_for_as_many_rows():
    deadline = Deadline(None)
    deadline.observe(1000, 20)
    deadline.observe(1000, 5)
    assert deadline.quiet_seconds(1000) == pytest.approx(200)
    assert deadline.quiet_seconds(5000) == pytest.approx(1000)


def test_short_shards_have_a_minute():
    deadline = Deadline(None)
    deadline.observe(1000, 0.1)
    assert deadline.quiet_seconds(10) == 60


def test_short_shards_have_a_minute_more_than_a_store_may_take():
    deadline = Deadline(None, store_seconds=226)
    deadline.observe(1000, 0.1)
    assert deadline.quiet_seconds(10) == 286


def test_shards_that_were_filtered_out_say_nothing():
    deadline = Deadline(None)
    deadline.observe(0, 0.4)
    assert deadline.quiet_seconds(10) == 3600


def test_worker_that_makes_progress_is_not_overdue_however_long_it_takes():
    deadline = Deadline(None)
    deadline.observe(1000, 1)
    assert not deadline.is_over(1000, began=0, quiet_since=990, now=1000)
    assert deadline.is_over(1000, began=0, quiet_since=900, now=1000)


def test_configured_deadline_holds_for_all_from_their_beginning():
    deadline = Deadline(7.5)
    deadline.observe(10, 100)
    assert deadline.is_over(10**6, began=0, quiet_since=7, now=8)
    assert not deadline.is_over(10**6, began=0, quiet_since=0, now=7)
    assert deadline.is_fixed
    assert not Deadline(None).is_fixed


def test_sentence_names_what_a_shard_may_take_and_the_mend():
    deadline = Deadline(None)
    deadline.observe(1000, 20)
    sentence = "200 s without progress; a limits.shard_seconds of your own lets it take longer"
    assert deadline.sentence(1000) == sentence
    assert Deadline(7.5).sentence(1).startswith("limits.shard_seconds=7.5 is what")

"""What the process of a run is told."""

import json
import shlex
from datetime import UTC, datetime

import pytest

from hyperdiag.schedule.entry import read_entries
from hyperdiag.schedule.history import History
from hyperdiag.schedule.run_spec import RunSpec, make_run_spec

TICK = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
AWKWARD = ["output.path='a b/$HOME'", "dataset.filter=\"book == 'ü, x'\"", "+run={a: [1, 2]}"]


def made(folder, *lines, flags=()):
    (folder / "nightly.yaml").write_text(
        "\n".join(("cron: 30 0 * * *", "timezone: Europe/Berlin", *lines))
    )
    (entry,) = read_entries([folder])
    run = History(folder).enter_by_hand("nightly", TICK)
    return make_run_spec(folder, entry, run, flags, keep_logs=7)


def test_overrides_arrive_as_they_are_and_the_tick_gives_the_date(tmp_path):
    spec = made(tmp_path, f"overrides: {json.dumps(AWKWARD)}", flags=["--config-dir=/a b"])
    assert spec.command == ["derive", "--config-dir=/a b", *AWKWARD, "run.date=2026-11-23"]
    assert shlex.split(spec.shown) == ["hyperdiag", *spec.command]
    assert spec.log == f"{tmp_path}/logs/nightly/20261122T233000Z.log"
    assert (spec.job, spec.keep_logs) == (None, 7)


@pytest.mark.parametrize("address", [None, "http://head:8265"])
def test_specification_is_read_back_as_it_was_written(tmp_path, address):
    lines = [f"address: {address}"] if address else []
    spec = made(tmp_path, f"overrides: {json.dumps(AWKWARD)}", *lines)
    assert RunSpec.from_json(spec.to_json()) == spec


def test_job_has_an_id_of_its_entry_and_tick(tmp_path):
    spec = made(tmp_path, "address: http://head:8265", "overrides: [submit.environment=install]")
    assert spec.command == [
        *("submit", "submit.environment=install", "run.date=2026-11-23"),
        *("submit.address='http://head:8265'", "submit.id=nightly-20261122T233000Z"),
    ]
    assert spec.job == ("http://head:8265", "nightly-20261122T233000Z")


def test_what_is_shown_holds_no_credentials(tmp_path):
    secrets = [
        "dataset.path='s3://me:hunter2@bucket/in?secret_key=hunter2&region=x'",
        "network.kwargs={api_token: hunter2, scale: 1}",
    ]
    spec = made(tmp_path, f"overrides: {json.dumps(secrets)}")
    assert "hunter2" not in spec.shown
    assert "scale: 1" in spec.shown
    assert sum(word.count("hunter2") for word in spec.command) == 3

"""What Prometheus gets to see of a schedule, by its own reader of what is served."""

import socket
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hyperdiag.messages.errors import UsageError
from hyperdiag.schedule.entry import read_entries
from hyperdiag.schedule.history import History
from hyperdiag.schedule.kept_entries import KeptEntries
from hyperdiag.schedule.metrics import CLOCK, GAUGES, served_metrics
from tests.ray_head import free_port

SUCCESS, NEXT, OVERDUE, CODE = GAUGES


def seen(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels.get("entry")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_of_each_entry_how_it_stands_now(tmp_path):
    for name in ("done", "late", "new"):
        (tmp_path / f"{name}.yaml").write_text("every: 1h\ndeadline_seconds: 7200")
    entries = read_entries([tmp_path])
    history, kept = History(tmp_path), KeptEntries(tmp_path)
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    for name, code in (("done", 0), ("late", 1)):
        kept.keep(name, "every 1h", now - timedelta(days=2), None)
        history.enter(name, [hour], "all", 60, now)
        run = history.next(name)
        history.begin(run, now.timestamp() - 7)
        history.end(run, now.timestamp(), code, 7.0)
    kept.keep("new", "every 1h", now, None)
    with served_metrics(f"127.0.0.1:{(port := free_port())}", tmp_path, lambda: entries):
        values = seen(port)
    assert values[SUCCESS, "done"] == now.timestamp()
    assert {entry for name, entry in values if name == SUCCESS} == {"done"}
    assert {entry: value for (name, entry), value in values.items() if name == CODE} == {
        "done": 0,
        "late": 1,
    }
    assert values[OVERDUE, "done"] == values[OVERDUE, "new"] == 0
    assert values[OVERDUE, "late"] == pytest.approx((now - hour).total_seconds(), abs=30)
    assert values[NEXT, "new"] == (hour + timedelta(hours=1)).timestamp()
    assert values[CLOCK, None] == pytest.approx(now.timestamp(), abs=30)
    assert {name for name, _ in values} == {*GAUGES, CLOCK}


@pytest.mark.parametrize("address", ["9464", "host", "127.0.0.1:99999", ":9464"])
def test_address_that_is_none_is_refused(address, tmp_path):
    with (
        pytest.raises(UsageError, match=r"schedule.metrics must be host:port"),
        served_metrics(address, tmp_path, list),
    ):
        pass


def test_port_that_is_taken_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(UsageError, match=f"schedule.metrics {address}: cannot listen there"),
            served_metrics(address, tmp_path, list),
        ):
            pass


def test_nothing_is_served_where_nobody_asks_for_it(tmp_path):
    with served_metrics(None, tmp_path, list):
        assert list(tmp_path.iterdir()) == []

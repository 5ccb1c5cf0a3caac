"""Conditional requests, and the lease that is kept by them, against a store's real answers."""

import json
import logging

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.object_store.conditional import ConditionalStore, Conflict, put_guarded
from hyperdiag.data.object_store.tries import PassingError
from hyperdiag.data.output_folder import CURRENT
from hyperdiag.messages.errors import Busy
from hyperdiag.run.output import lease as lease_module
from hyperdiag.run.output.fence import current_of
from hyperdiag.run.output.lease import Lease


@pytest.fixture
def place(store):
    return resolve(store.uri("out"))


def test_object_is_written_if_it_is_as_it_was_seen(place, store):
    client, path = ConditionalStore(place.filesystem, place.path), (place / "a").path
    first = client.write(path, b"1", None)
    assert client.read(path) == (b"1", first)
    assert client.version(path) == first
    for seen in (None, {"e_tag": '"other"'}):
        with pytest.raises(Conflict):
            client.write(path, b"2", seen)
    assert client.write(path, b"3", first) != first
    with pytest.raises(Conflict):  # it is not there
        client.write((place / "b").path, b"4", first)
    assert client.version((place / "b").path) is None
    assert store.get("out/a") == b"3"


def test_file_replaces_another_once_the_guard_allows(place, store, tmp_path):
    asked = []
    for content in (b"first", b"second"):
        with (tmp_path / "file").open("w+b") as file:
            file.write(content)
            file.flush()
            put_guarded(
                place.filesystem, f"{place.path}/a", file, lambda: asked.append(store.get("out/a"))
            )
    assert store.get("out/a") == b"second"
    assert asked == [b"first"]


def test_lost_answer_is_no_lost_lease(place, proxy):
    lease = Lease(place, "out")
    with proxy.fault("lose_answer", method="PUT", path=CURRENT, times=1):
        lease.take(0, nobody_else_here=False)
    with proxy.fault("lose_answer", method="PUT", path=CURRENT, times=1):
        lease.confirm()
    assert current_of(place).holder.run == lease.run
    lease.release()
    assert current_of(place).holder is None


def test_store_that_is_silent_for_long_is_said(place, proxy):
    lease = Lease(place, "out")
    with proxy.fault("answer", method="GET", path=CURRENT), pytest.raises(PassingError):
        lease.take(0, nobody_else_here=False)


def test_store_that_ignores_conditions_is_named_and_nothing_is_promised(
    place, store, monkeypatch, caplog
):
    write = ConditionalStore.write

    def ignoring(self, path, content, seen):
        try:
            return write(self, path, content, seen)
        except Conflict:
            return write(self, path, content, self.version(path))

    monkeypatch.setattr(ConditionalStore, "write", ignoring)
    lease = Lease(place, "out")
    with caplog.at_level(logging.WARNING, "hyperdiag"):
        lease.take(0, nobody_else_here=False)
    assert "ignores conditions" in caplog.text
    assert lease.fence("out") is None
    lease.check()
    lease.release()
    assert json.loads(store.get(f"out/{CURRENT}"))["number"] == 1


def test_run_elsewhere_is_busy_until_its_lease_has_lapsed(place, monkeypatch):
    monkeypatch.setattr(lease_module, "_STORE_SECONDS", 0.6)
    monkeypatch.setattr(lease_module, "_LOOK_SECONDS", 0.05)
    first, second = Lease(place, "out"), Lease(place, "out")
    monkeypatch.setattr(lease_module, "this_machine", lambda: "elsewhere")
    first.take(0, nobody_else_here=False)
    monkeypatch.undo()
    with pytest.raises(Busy, match=r"another run is at work in output\.path out \(process \d+ on"):
        second.take(0, nobody_else_here=False)
    first._end.set()  # it stands still
    second.take(30, nobody_else_here=False)
    fence = first.fence("out")
    monkeypatch.setattr("hyperdiag.run.output.fence.resolve", lambda path: place)
    with pytest.raises(Busy, match=r"another run .* has taken .* over meanwhile"):
        fence.guard()()
    second.fence("out").guard()()
    second.release()

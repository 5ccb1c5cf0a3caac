"""Which shards go to which worker, with actors whose answers the test gives; real ones are in
`test_ray_pool.py`."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import Busy, OutputError
from hyperdiag.run.output.receipt import STAGES, Failed, Receipt, Tally
from hyperdiag.run.workers import dispatcher as dispatcher_module
from hyperdiag.run.workers.deadline import Deadline
from hyperdiag.run.workers.dispatcher import Dispatcher
from hyperdiag.run.workers.shard_queue import ShardQueue
from hyperdiag.run.workers.worker_actor import Failure
from hyperdiag.run.workers.worker_handle import WorkerHandle


class Actor:
    """Keeps what it is asked for, until the test answers."""

    def __init__(self):
        self.asked = []
        self.derive = SimpleNamespace(remote=self._ask)
        self.under_way = SimpleNamespace(remote=lambda: SimpleNamespace(future=Future))

    def _ask(self, shards):
        answer = Future()
        self.asked.append(([shard.id for shard in shards], answer))
        return SimpleNamespace(future=lambda: answer)

    @property
    def shards(self):
        """Ids of the shards of each call that is open."""
        return [ids for ids, _ in self.asked]

    def answer(self, error=None, trouble=""):
        """Answer the first call: with receipts, with an error, or with trouble of the device."""
        ids, answer = self.asked.pop(0)
        if error:
            answer.set_exception(error)
        elif trouble:
            answer.set_result([Failure(f"INTERNAL: {trouble}", trouble) for _ in ids])
        else:
            seconds = dict.fromkeys(STAGES, 0.1)
            answer.set_result([Receipt(number, Tally(1, 1), seconds) for number in ids])

    def die(self):
        """Answer all calls with the news of its death."""
        while self.asked:
            self.answer(ActorDiedError())


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(dispatcher_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(dispatcher_module.ray, "wait", lambda refs, **_: (refs, []))
    monkeypatch.setattr(WorkerHandle, "kill", lambda handle: clock.killed.append(handle))
    clock.killed = []
    return clock


@pytest.fixture
def started(clock):
    """Start to derive so many shards with so many workers; return the actors, and a step."""

    def start(workers, shards, seconds=None, calls=2):
        handles = [WorkerHandle(Actor(), ready=True) for _ in range(workers)]
        group = SimpleNamespace(
            ready=[*handles],
            handles=handles,
            starting={},
            reconcile=lambda: None,
        )
        group.replace = lambda handle: handles.remove(handle) if handle in handles else None
        group.broken = []

        def proved(handle):
            handle.proven, handle.device_failures = True, 0

        def replace_broken(handle, trouble):
            group.broken.append(trouble)
            handles.remove(handle)

        group.proved, group.replace_broken = proved, replace_broken
        queue = ShardQueue([Shard(n, None, 0, 0, 0, 1) for n in range(shards)], 3)
        dispatcher = Dispatcher(group, queue, Deadline(seconds), calls)
        batches = dispatcher.batches()

        def step(later=0.0):
            clock.now += 0.5 + later  # so that nobody is waited for
            return [outcome for outcome in next(batches) if outcome is not None]

        def join(actor):
            handle = WorkerHandle(actor)
            handles.append(handle)
            group.starting["its start"] = handle

        def advance_start(ref):
            group.starting.pop(ref).ready = True

        step.group, step.join, group.advance_start = group, join, advance_start
        return [handle.actor for handle in handles], step

    return start


def test_shards_go_to_the_least_busy_and_receipts_come_back(started):
    (a, b), step = started(2, 6)
    assert step() == []
    assert (a.shards, b.shards) == ([[0], [2]], [[1], [3]])
    b.answer()
    b.answer()
    assert [receipt.shard for receipt in step()] == [1, 3]
    step()
    assert b.shards == [[4], [5]]
    for actor in (a, a, b, b):
        actor.answer()
    assert sorted(receipt.shard for receipt in step()) == [0, 2, 4, 5]
    with pytest.raises(StopIteration):
        step()


def test_suspects_wait_for_as_many_workers_as_they_are_and_the_others_go_on(started):
    actors, step = started(5, 100)
    step()
    (dead, *others) = actors
    lost = [number for ids in dead.shards for number in ids]
    dead.die()
    step()
    assert len(lost) == 2
    # Each of the others is done with one of its two: two of them run dry, two get another.
    for actor in others:
        actor.answer()
    step()
    step()
    assert sorted(len(actor.shards) for actor in others) == [1, 1, 2, 2]
    dry = [actor for actor in others if len(actor.shards) == 1]
    for actor in dry:
        actor.answer()
    step()
    step()
    assert sorted(actor.shards for actor in dry) == [[[number]] for number in lost]  # and alone
    dry[0].answer()
    step()
    step()
    assert len(dry[0].shards) == 2


def test_worker_that_hangs_is_ended_once_and_all_it_had_is_tried_again(started, clock):
    (a, b), step = started(2, 4, seconds=30)
    step()
    b.answer()
    b.answer()
    assert len(step()) == 2
    step(later=40)
    assert [handle.actor for handle in clock.killed] == [a]
    step()
    step()
    assert b.shards == [[0]]  # alone
    a.answer()  # too late: it counts for nothing
    assert step() == []
    b.answer()
    assert [receipt.shard for receipt in step()] == [0]


@pytest.mark.parametrize("kind", [OutputError, Busy])
def test_what_came_before_an_error_of_the_output_counts(started, kind):
    (a, b), step = started(2, 9)
    step()
    a.answer()
    cause = kind("no more")
    b.answer(RayTaskError("derive", "", cause).as_instanceof_cause())
    assert [receipt.shard for receipt in step()] == [0]
    with pytest.raises(kind, match="no more"):
        step()


def test_worker_whose_device_fails_twice_is_ended_and_its_shards_go_to_others(started):
    (a, b), step = started(2, 6, calls=3)
    step()
    a.answer(trouble="CUDA_ERROR_LAUNCH_FAILED")
    assert step() == []
    assert step.group.broken == []  # it may have been the shard
    b.answer()
    a.answer(trouble="CUDA_ERROR_LAUNCH_FAILED")
    assert [receipt.shard for receipt in step()] == [1]
    assert step.group.broken == ["CUDA_ERROR_LAUNCH_FAILED"]
    assert [handle.actor for handle in step.group.handles] == [b]
    a.answer()  # too late: it counts for nothing
    derived = []
    for _ in range(12):
        if b.asked:
            b.answer()
        derived += [receipt.shard for receipt in step()]
        if len(derived) == 5:
            break
    assert sorted(derived) == [0, 2, 3, 4, 5]


def test_failures_of_a_device_between_which_a_shard_was_derived_end_no_worker(started):
    (a,), step = started(1, 9)
    failed, derived = set(), []
    while len(derived) < 9:
        step()
        (shard, *_), _ = a.asked[0]
        a.answer(trouble="" if shard in failed or shard % 3 else "CUDA_ERROR_LAUNCH_FAILED")
        failed.add(shard)
        derived += [receipt.shard for receipt in step()]
    assert step.group.broken == []
    assert sorted(derived) == [*range(9)]


def test_shard_that_breaks_every_device_is_given_up_and_takes_no_other_with_it(started):
    """After shard 0 a device fails whatever it is given, until its process is another one's."""
    (a,), step = started(1, 30)
    derived, given_up, broken = [], [], False
    for _ in range(200):
        try:
            outcomes = step()
        except StopIteration:
            break
        derived += [outcome.shard for outcome in outcomes if isinstance(outcome, Receipt)]
        given_up += [outcome.shard.id for outcome in outcomes if isinstance(outcome, Failed)]
        if not step.group.handles:  # as if another was started in its place
            a.asked.clear()
            step.join(a)
            broken = False
        elif a.asked:
            broken = broken or a.shards[0] == [0]
            a.answer(trouble="CUDA_ERROR_ILLEGAL_ADDRESS" if broken else "")
    assert given_up == [0]
    assert sorted(derived) == list(range(1, 30))

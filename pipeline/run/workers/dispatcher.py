"""Shards to workers, and their outcomes back, by what changes alone.

What is done for a receipt takes the same time, however many workers there are. All workers are
looked at about twice a second, and all that they have under way more seldom if that is much.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from hyperdiag.messages.errors import Busy, HyperdiagError, OutputError, first_line
from hyperdiag.run.output.receipt import Failed, Receipt

from .answers import Answers
from .call import Call
from .call_size import CallSize
from .deadline import Deadline
from .free_workers import FreeWorkers
from .questions import seconds_between, to_ask
from .ray_actors import WorkerGroup
from .shard_queue import ShardQueue
from .worker_actor import Failure
from .worker_handle import WorkerHandle

_TICK_SECONDS = 0.5
# After so many failures of its device, without a shard derived between them, a worker is replaced.
# After some errors CUDA fails every other call of the same process, too.
_MOST_DEVICE_FAILURES = 2
_LOOKED_AT_PER_SECOND = 2000  # of the calls that are under way, to see whether one is overdue


class Dispatcher:
    """Derives the shards of a queue with a group of workers.

    Args:
        group: the workers; some may start, die and be replaced meanwhile.
        queue: of the shards.
        deadline: when a shard is overdue.
        calls_in_flight: that a worker may have.
    """

    def __init__(
        self, group: WorkerGroup, queue: ShardQueue, deadline: Deadline, calls_in_flight: int
    ):
        self._group, self._queue, self._deadline = group, queue, deadline
        self._free = FreeWorkers(calls_in_flight)
        self._running: dict[Call, WorkerHandle] = {}
        # A question to a worker stands for itself: the worker's handle.
        self._answers: Answers[Call | WorkerHandle] = Answers()
        self._size = CallSize()
        self._next_look = 0.0
        self._workers = 0
        for handle in group.ready:
            self._joined(handle)

    def batches(self) -> Iterator[list[Receipt | Failed | None]]:
        """Yield what became of shards, as it is heard of, and [None] about twice a second.

        A worker that dies, does not answer in time, or whose device fails is replaced, and its
        shards go back to the queue.

        Raises:
            HyperdiagError: if the device of every worker fails.
            OutputError: if the output cannot be written.
            Busy: if another run has taken it.
        """
        next_tick = time.monotonic() + _TICK_SECONDS
        while self._running or not self._queue.empty:
            self._hand_out()
            outcomes: list[Receipt | Failed | None] = []
            try:
                for call, answer in self._answers.wait(max(next_tick - time.monotonic(), 0.0)):
                    if isinstance(call, WorkerHandle):
                        self._told(call, answer)
                    elif call in self._running:  # else its worker was ended meanwhile
                        outcomes += self._outcomes_of(call, answer)
            except HyperdiagError:
                yield outcomes  # what came before it counts
                raise
            if time.monotonic() >= next_tick:
                outcomes += [*self._tick(), None]
                next_tick = time.monotonic() + _TICK_SECONDS
            yield outcomes

    def _tick(self) -> Iterator[Failed]:
        """Do what is to be done now and then: take in workers that start, ask, end who hangs."""
        starting = self._group.starting
        if starting:
            ready, _ = ray.wait(list(starting), num_returns=len(starting), timeout=0)
            for ref in ready:
                handle = starting[ref]
                self._group.advance_start(ref)
                if handle.ready:
                    self._joined(handle)
        self._group.reconcile()
        now = time.monotonic()
        for handle in to_ask(self._group.handles, now):
            self._answers.expect(handle.actor.under_way.remote(), handle)
        if now >= self._next_look:
            self._next_look = now + len(self._running) / _LOOKED_AT_PER_SECOND
            yield from self._end_overdue(now)

    def _joined(self, handle: WorkerHandle) -> None:
        self._workers += 1
        self._free.update(handle)

    def _lost(self, handle: WorkerHandle) -> None:
        """End a worker, if nobody has before, and have another started in its place."""
        if handle in self._group.handles:
            self._workers -= 1
        handle.kill()
        self._free.remove(handle)
        self._group.replace(handle)

    def _hand_out(self) -> None:
        """Give the least busy workers shards, until nobody can take more."""
        while handle := self._free.least_busy():
            # No more than there are suspects: the others go on.
            if handle.calls and self._queue.suspects_due > self._free.running_dry:
                self._free.run_dry(handle)
                continue
            rows = 0 if self._deadline.is_fixed else self._size.rows(self._workers)
            most = self._size.shards(self._workers, self._queue.untried)
            shards = self._queue.take(not handle.calls, rows, most, not handle.works)
            if not shards:
                return
            call = Call(shards, self._queue.is_suspect(shards[0]), time.monotonic())
            self._running[call] = handle
            handle.calls.append(call)
            self._free.update(handle)
            self._answers.expect(handle.actor.derive.remote(shards), call)

    def _told(self, handle: WorkerHandle, answer: "Future[Any]") -> None:
        """Take in how far a worker is."""
        handle.answering = False
        try:
            rows = answer.result()
        except RayError:
            rows = {}  # the results of its shards will tell
        ids = (shard.id for call in handle.calls for shard in call.shards)
        handle.under_way = {shard: rows[shard] for shard in ids if shard in rows}

    def _outcomes_of(self, call: Call, answer: "Future[Any]") -> Iterator[Receipt | Failed | None]:
        handle = self._running.pop(call)
        handle.calls.remove(call)
        for shard in call.shards:
            handle.under_way.pop(shard.id, None)
        died = False
        try:
            results = answer.result()
        except RayTaskError as error:
            if isinstance(error.cause, (OutputError, Busy)):
                raise error.cause from None
            results = [Failure(f"{type(error.cause).__name__}: {error.cause}")] * len(call.shards)
        except RayError as error:  # dead, out of memory, or out of reach: then it is to be dead
            died = True
            self._lost(handle)
            results = [Failure(f"its worker died ({first_line(error)})")] * len(call.shards)
        else:
            worked = [r.tally.derived + r.tally.bad for r in results if isinstance(r, Receipt)]
            # Rows that a filter left out took next to no time.
            self._deadline.observe(sum(worked), time.monotonic() - call.began)
        if not died:
            self._free.update(handle)
        trouble = ""
        for shard, result in zip(call.shards, results, strict=True):
            if isinstance(result, Receipt):
                self._queue.succeeded(shard)
                self._size.observe(result)
                self._group.proved(handle)
                yield result
                continue
            trouble = result.trouble or trouble
            handle.device_failures += bool(result.trouble)
            if result.trouble and handle.device_failures > 1:
                self._queue.put_back(shard, result.cause, **handle.log_fields)
                continue
            of_device = bool(result.trouble)
            yield self._queue.failed(shard, result.cause, died, of_device, **handle.log_fields)
        if trouble and handle.device_failures >= _MOST_DEVICE_FAILURES:
            self._end_broken(handle, trouble)

    def _end_broken(self, handle: WorkerHandle, trouble: str) -> None:
        """End a worker whose device fails, and have it replaced."""
        if handle not in self._group.handles:
            return
        self._workers -= 1
        self._free.remove(handle)
        calls, handle.calls = handle.calls, []
        for call in calls:
            del self._running[call]
            for shard in call.shards:
                self._queue.put_back(shard, f"its worker's device failed: {trouble}")
        self._group.replace_broken(handle, trouble)

    def _end_overdue(self, now: float) -> Iterator[Failed]:
        """End workers that take too long for a shard, and replace them."""
        # A worker's progress is heard of so much later.
        late = seconds_between(len(self._group.handles))
        overdue = [
            call
            for call, handle in self._running.items()
            if self._deadline.is_over(
                call.rows, call.began, call.quiet_since(handle.under_way, now) + late, now
            )
        ]
        for culprit in overdue:
            handle = self._running.get(culprit)
            if handle is None:  # its worker had another that was overdue
                continue
            # Nobody waits for it: a node that is cut off never answers.
            calls, handle.calls = handle.calls, []
            self._lost(handle)
            for call in calls:
                del self._running[call]
                cause = (
                    f"its worker, {now - culprit.began:.0f} s into shard {culprit.shards[0].id}, "
                    f"was taken for hung and was ended ({self._deadline.sentence(culprit.rows)})"
                )
                for shard in call.shards:
                    given_up = self._queue.failed(shard, cause, True, False, **handle.log_fields)
                    if given_up:
                        yield given_up

"""Workers as Ray actors: started, replaced where they die, joined by others as a cluster grows."""

import logging
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.messages.errors import HyperdiagError, first_line
from hyperdiag.messages.log import about
from hyperdiag.messages.secrets import registered_secrets
from hyperdiag.run.cluster.near_cores import choose_cores
from hyperdiag.run.cluster.ray_workarounds import node_of
from hyperdiag.run.cluster.room import capacity, resources
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.plan.plan import Plan

from .broken_devices import BrokenDevices
from .start_failures import StartFailures
from .worker_actor import Address, WorkerActor
from .worker_handle import WorkerHandle

log = logging.getLogger("hyperdiag")

# For which a worker is waited for that should have said that it is not ready in time.
_GRACE_SECONDS = 60.0
_SIZE_CHECK_SECONDS = 5.0  # between two looks at how large the cluster is


class WorkerGroup:
    """The workers of one plan.

    Args:
        cluster: how many there shall be, at most and at least, and what each needs, as
            `with_cores` returns it.
        plan: of the run, without its list of files.
        output_path: where they write.
        limits: how often they may die at their start, for each of them, before the run is given
            up; and how long they may take for it.
        fence: what they ask before they show a file, if anything.

    Attributes:
        handles: of all workers that are alive, as far as is known.
        starting: those that start, by the reference of the call that they are to answer.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        plan: Plan,
        output_path: str,
        limits: LimitsConfig,
        fence: Fence | None = None,
    ):
        self._fence = fence
        self._cluster, self._output_path, self._limits = cluster, output_path, limits
        self._plan = ray.put(plan)
        self.handles: list[WorkerHandle] = []
        self.starting: dict[Any, WorkerHandle] = {}
        self._failures = StartFailures(cluster, limits)
        self._broken = BrokenDevices(limits.max_attempts)
        self._places_given_up = 0  # on nodes with others that go on
        self._size_checked = self._last_enough = time.monotonic()
        for _ in range(cluster.workers or capacity(cluster)):
            self._add()

    @property
    def ready(self) -> list[WorkerHandle]:
        """Those that have compiled their kernel."""
        return [handle for handle in self.handles if handle.ready]

    @property
    def least(self) -> int:
        """How many the run does not begin without."""
        return min(self._cluster.min_workers or len(self.handles), len(self.handles))

    def _add(self) -> None:
        actor = WorkerActor.options(  # type: ignore[attr-defined]
            max_concurrency=self._cluster.in_flight,
            **resources(self._cluster),
            **self._failures.bad_nodes.placement,
        ).remote(str(Path.cwd()), registered_secrets())
        handle = WorkerHandle(actor)
        self.handles.append(handle)
        self.starting[actor.address.remote()] = handle

    def advance_start(self, ref: Any) -> None:
        """Take a worker from placed to pinned and compiling, or from there to ready.

        Args:
            ref: of a call in `starting` that is answered.

        Raises:
            HyperdiagError: if it cannot start, or workers die again and again at their start.
        """
        handle = self.starting.pop(ref)
        try:
            address = ray.get(ref)
        except RayTaskError as error:
            self._failed_at_start(handle, f"a worker cannot start: {error.cause}", lasting=True)
            return
        except RayError as error:
            if isinstance(error, RayActorError) and error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]  # after the stack
                cause = f"a worker cannot start: {reason}"
                self._failed_at_start(handle, cause, lasting=True)
            else:
                self._failed_at_start(handle, f"workers die at their start: {first_line(error)}")
            return
        if handle.address is not None:
            handle.ready = True
            self._failures.forget()
            return
        handle.address, handle.placed = address, time.monotonic()
        if self._cluster.pin:
            neighbours = (h for h in self.handles if h.address and h.address.node == address.node)
            taken = [neighbour.cores for neighbour in neighbours]
            handle.cores = choose_cores(address.cores, address.near, taken, self._cluster.cores)
        call = handle.actor.start.remote(
            *(self._plan, self._output_path, self._fence, handle.cores),
            self._limits.start_seconds,
        )
        self.starting[call] = handle

    def _failed_at_start(self, handle: WorkerHandle, cause: str, lasting: bool = False) -> None:
        """Try another in its place; but not for ever, and the run goes on with the others.

        Raises:
            HyperdiagError: if they are not enough.
        """
        node = handle.address.node if handle.address else node_of(handle.actor)
        handle.kill()
        if node is not None and any(each.is_ready_on(node) for each in self.handles):
            node = None
        self._failures.record(cause, node, lasting, len(self.ready), len(self.handles))
        if node not in self._failures.bad_nodes:  # of which it is said
            log.warning("%s", cause, extra=about(**handle.log_fields))
        again = not self._failures.too_many(len(self.handles))
        self._replace_or_drop(handle, again)

    def _replace_or_drop(self, handle: WorkerHandle, again: bool) -> None:
        """Start another worker in place of one, if one is to be tried again and there is room."""
        if again and self._has_room_beside(handle):
            self.replace(handle)
        elif handle in self.handles:
            self.handles.remove(handle)
            node = handle.address and handle.address.node
            self._places_given_up += node not in self._failures.bad_nodes

    def _has_room_beside(self, handle: WorkerHandle) -> bool:
        """Return whether there is a place for another worker in place of one."""
        bad = self._failures.bad_nodes
        others = (each for each in self.handles if each is not handle)
        return self._failures.has_room_beside(
            sum(not (each.address and each.address.node in bad) for each in others)
        )

    def proved(self, handle: WorkerHandle) -> None:
        """Take note that a worker has derived a shard."""
        handle.device_failures = 0
        if not handle.proven and handle.address:
            handle.proven = True
            self._broken.forget(handle.address)

    def replace_broken(self, handle: WorkerHandle, trouble: str) -> None:
        """End a worker whose device fails, and start another, on that device or elsewhere.

        Where one after another could not derive a shard there, the node is left out; but not if
        there are others on it whose devices have not failed: then they go on without it.

        Args:
            handle: the worker.
            trouble: what its device says.

        Raises:
            HyperdiagError: if there is no device that works, or none has.
        """
        assert handle.address is not None
        handle.kill()
        log.warning(
            "a worker is ended, since its device fails: %s",
            trouble,
            extra=about(**handle.log_fields),
        )
        again = True
        if not handle.proven:
            self._broken.record(handle.address)
            again = self._may_have_another(handle.address, trouble)
        self._replace_or_drop(handle, again)

    def _may_have_another(self, address: Address, trouble: str) -> bool:
        """Return whether to start a worker for one that could not derive anything where it was."""
        # One that has not answered yet may work: its first shard may take long.
        others = [each for each in self.ready if not each.device_failures]
        if not others and self._broken.everywhere(len(self.handles)):
            raise HyperdiagError(self._broken.sentence(trouble))
        if not self._broken.at(address):
            return True
        cause = self._broken.sentence(trouble)
        if any(each.is_ready_on(address.node) for each in others):
            log.warning("%s; the others on its node go on", cause)
            return False
        self._failures.leave_out(address.node, cause)
        return True

    def room(self) -> int:
        """Return how many workers the cluster has room for, without nodes that are left out."""
        return self._failures.room()

    def replace(self, handle: WorkerHandle) -> None:
        """Start another worker for a dead one, once, whichever of its calls tells first."""
        if handle in self.handles:
            self.handles.remove(handle)
            self._add()

    def reconcile(self) -> None:
        """Replace a worker that hangs at its start, and add workers where the cluster has grown.

        To be called now and then.

        Raises:
            HyperdiagError: if there have been too few workers for too long.
        """
        now = time.monotonic()
        longest = self._limits.start_seconds + _GRACE_SECONDS
        for ref, handle in list(self.starting.items()):
            if handle.address and now - handle.placed > longest:
                del self.starting[ref]
                cause = (
                    f"a worker was not ready after {longest:g} s, and did not say why "
                    "(limits.start_seconds): building the network or compiling it may hang"
                )
                self._failed_at_start(handle, cause)
        # Those that compile have their place, however long it takes.
        placed = sum(handle.address is not None for handle in self.handles)
        if placed >= self.least:
            self._last_enough = now
        elif now - self._last_enough > self._cluster.wait_seconds:
            raise HyperdiagError(
                f"{placed} workers, fewer than the {self.least} of cluster.min_workers, for "
                f"{self._cluster.wait_seconds:g} s (cluster.wait_seconds): the cluster has room "
                f"for {self.room()}; what is finished is kept, and the same command "
                "goes on from there"
            )
        if self._cluster.workers is None and now - self._size_checked > _SIZE_CHECK_SECONDS:
            self._size_checked = now
            for _ in range(self.room() - self._places_given_up - len(self.handles)):
                log.info("the cluster has grown: one more worker")
                self._add()

    def rows_under_way(self) -> int:
        """Return the rows read so far of shards that are not done."""
        return sum(sum(handle.under_way.values()) for handle in self.handles)

    def kill(self) -> None:
        """Kill all workers."""
        for handle in self.handles:
            handle.kill()

"""What the driver knows of a worker."""

import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import Any

import ray

from hyperdiag.process.proc import start_ticks

from .call import Call
from .worker_actor import Address


@dataclass(eq=False)
class WorkerHandle:
    """What the driver knows of one worker.

    Attributes:
        actor: Ray's handle of it.
        address: where it is; None until Ray has found a place for it.
        placed: when that was, on the monotonic clock.
        cores: that it keeps to; none where it may run on all.
        ready: whether it has compiled its kernel.
        proven: whether it has derived a shard.
        device_failures: of its device, since it has derived the last one.
        calls: with shards, that it has not answered, in the order in which they were made.
        under_way: {shard id: rows read so far}, as last heard of.
        asked: when it was asked for that, on the monotonic clock.
        answering: whether it has not answered that yet.
    """

    actor: Any
    address: Address | None = None
    placed: float = 0.0
    cores: tuple[int, ...] = ()
    ready: bool = False
    proven: bool = False
    device_failures: int = 0
    calls: list[Call] = field(default_factory=list)
    under_way: dict[int, int] = field(default_factory=dict)
    asked: float = 0.0
    answering: bool = False

    def is_ready_on(self, node: str) -> bool:
        """Return whether it has started, on a node."""
        return self.ready and self.address is not None and self.address.node == node

    @property
    def works(self) -> bool:
        """Whether it has derived a shard, and its device has not failed since."""
        return self.proven and not self.device_failures

    @property
    def log_fields(self) -> dict[str, str | int]:
        """Its node and process, for the log."""
        return {"node": self.address.node, "process": self.address.process} if self.address else {}

    def kill(self) -> None:
        """End the worker's process, even if that does not react.

        `ray.kill` asks the process to end itself; one on this machine is killed by the kernel, too.
        """
        ray.kill(self.actor)
        here = ray.get_runtime_context().get_node_id()
        if self.address and self.address.node == here:
            with contextlib.suppress(OSError):  # it is dead already
                # The number of a process that died may be another's by now.
                if start_ticks(self.address.process) == self.address.ticks:
                    os.kill(self.address.process, signal.SIGKILL)

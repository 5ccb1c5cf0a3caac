"""A run and what befalls it: events drawn from a seed, struck at their moments."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ray_node import exit_code, kill_all, send

from .cluster import Cluster, workers

# What the command may exit with, and what must have befallen it.
_DONE, _INCOMPLETE = 0, 1
_KILLED = (-signal.SIGKILL,)
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)  # the latter before Python listens
_MOST_RESUMES = 8
_POLL_SECONDS = 0.02

WORKER, NODE, DRIVER = "worker killed", "node killed", "driver killed"
TERMINATED, FROZEN = "driver terminated", "worker frozen"


@dataclass(frozen=True)
class Event:
    """What happens, and when.

    Moments are counted in finished shards, which slow machines have as well.

    Attributes:
        kind: of event.
        after: shards that are finished first; None: nothing but the event before.
        delay: seconds from then on.
        lasting: seconds, of a freeze, or until a lost node is replaced; None: it never is.
        pick: from 0 to 1, who is hit among several.
    """

    kind: str
    after: int | None
    delay: float
    lasting: float | None = None
    pick: float = 0.0


def draw(seed: int, shards: int, start_seconds: float, has_nodes: bool) -> list[Event]:
    """Return one to four events over a run's whole course, from its start to its last shard.

    Args:
        seed: of everything random.
        shards: of the run.
        start_seconds: that an undisturbed run takes before it works on shards.
        has_nodes: whether there are nodes that can be lost.
    """
    rng = random.Random(seed)
    kinds = [WORKER, WORKER, DRIVER, DRIVER, TERMINATED, FROZEN]
    if has_nodes:
        kinds += [NODE, NODE]
    moments = []
    for _ in range(rng.randint(1, 4)):
        # One in five while it starts; the others at any moment of the work.
        starting = rng.random() < 0.2
        moments.append(
            (0, rng.uniform(0, start_seconds))
            if starting
            else (rng.randrange(1, shards), rng.uniform(0, 0.3))
        )
    events = []
    for after, delay in sorted(moments):
        kind = rng.choice(kinds)
        lasting = None
        if kind == FROZEN or (kind == NODE and rng.random() < 0.6):
            lasting = rng.uniform(0.5, 2.5)
        if events and rng.random() < 0.3:  # while the run recovers from the event before
            events.append(Event(kind, None, rng.uniform(0, start_seconds), lasting, rng.random()))
        else:
            events.append(Event(kind, after, delay, lasting, rng.random()))
    return events


@dataclass
class Course:
    """One output, from its first command to the one that ends well, events included.

    Args:
        command: what follows `hyperdiag`, output and cluster included.
        output: its output folder.
        cluster: whose nodes are lost; None: the driver starts its own Ray.
    """

    command: Sequence[object]
    output: Path
    cluster: Cluster | None = None
    history: list[str] = field(default_factory=list)
    resumes: int = 0

    def __post_init__(self) -> None:
        self.log = self.output.parent / "driver.log"
        self._then: list[tuple[float, Callable[[], object]]] = []
        self._sent: set[int] = set()
        self._drivers: list[subprocess.Popen[bytes]] = []

    def run(self, events: Sequence[Event], limit: float) -> None:
        """Give the command, again and again, until it ends well; strike meanwhile.

        Args:
            events: in the order of their moments.
            limit: seconds for it all.
        """
        waiting = deque(events)
        self._began = self._reached = time.monotonic()
        self._start()
        try:
            while (code := exit_code(self._drivers[-1])) != _DONE:
                assert time.monotonic() - self._began < limit, f"no end\n{self.said()}"
                if code is not None:
                    self._resume(code)
                self._strike_what_is_due(waiting)
                time.sleep(_POLL_SECONDS)
        finally:
            self._tidy()
        self.history += [f"too late: {event.kind}" for event in waiting]

    def said(self) -> str:
        """Return the last lines of all drivers."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def _start(self) -> None:
        if self.cluster:
            self.cluster.wait_for_a_node()  # without any the command refuses to start, rightly
        self._finished_before = self._finished()
        # What a killed driver leaves in the folder of temporary files goes with the cluster's.
        temporary = self.output.parent if self.cluster is None else self.cluster.folder
        with self.log.open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", "hyperdiag", *map(str, self.command)],
                cwd=self.output.parent,
                env={**os.environ, "TMPDIR": os.fspath(temporary)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._drivers.append(driver)

    def _resume(self, code: int) -> None:
        allowed = {_INCOMPLETE}
        allowed |= {*_KILLED} if signal.SIGKILL in self._sent else set()
        allowed |= {*_STOPPED} if signal.SIGTERM in self._sent else set()
        assert code in allowed, f"exit code {code} after {self._sent}\n{self.said()}"
        if code == _INCOMPLETE:
            self._note(f"incomplete ({self.said().splitlines()[-1]})")
        self.resumes += 1
        assert self.resumes <= _MOST_RESUMES, f"still not done\n{self.said()}"
        self._sent = set()
        self._start()

    def _strike_what_is_due(self, waiting: deque[Event]) -> None:
        now = time.monotonic()
        for due, act in [*self._then]:
            if due <= now:
                self._then.remove((due, act))
                act()
        if not waiting:
            return
        event = waiting[0]
        if event.after is not None and self._finished() < event.after:
            self._reached = now
        elif now - self._reached >= event.delay and self._strike(event):
            waiting.popleft()
            self._reached = time.monotonic()

    def _finished(self) -> int:
        data = self.output / "data"
        return len(os.listdir(data)) if data.exists() else 0  # noqa: PTH208

    def _strike(self, event: Event) -> bool:
        """Let an event happen; return False while there is nobody that it could befall."""
        if event.kind in (DRIVER, TERMINATED):
            number = signal.SIGKILL if event.kind == DRIVER else signal.SIGTERM
            if exit_code(self._drivers[-1]) is not None:
                return False
            self._sent.add(number)
            os.kill(self._drivers[-1].pid, number)
        elif event.kind == NODE:
            return self._strike_node(event)
        else:
            leaders = (
                [node.leader for node in self.cluster.nodes] if self.cluster else self._drivers
            )
            found = [worker for leader in leaders for worker in workers(leader.pid)]
            if not found:
                return False
            victim = found[int(event.pick * len(found))]
            if not send(victim, signal.SIGKILL if event.kind == WORKER else signal.SIGSTOP):
                return False
            if event.lasting is not None:
                self._later(event.lasting, lambda: send(victim, signal.SIGCONT))
        self._note(event.kind)
        return True

    def _strike_node(self, event: Event) -> bool:
        cluster = self.cluster
        assert cluster is not None
        if not cluster.nodes:
            return False
        victim = cluster.nodes[int(event.pick * len(cluster.nodes))]
        alone = not any(node.is_up() for node in cluster.nodes if node is not victim)
        if alone and self._finished() == self._finished_before:
            return False  # the command may not have looked for nodes yet, and refuse to start
        cluster.kill_node(victim)
        # Without any node there is nothing to wait for but another.
        after = event.lasting if not alone else event.lasting or 1.0
        self._note(event.kind + ("" if after is None else f", another {after:.1f} s later"))
        if after is not None:
            self._later(after, cluster.add_node)
        return True

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        self._then.append((time.monotonic() + seconds, act))

    def _note(self, what: str) -> None:
        seconds = time.monotonic() - self._began
        self.history.append(f"{seconds:.1f} s ({self._finished()} shards) {what}")

    def _tidy(self) -> None:
        """Bring back what was frozen, and end what is left of this run."""
        for _, act in self._then:
            act()
        self._then = []
        for driver in self._drivers:
            kill_all(driver.pid)
            driver.wait(10)

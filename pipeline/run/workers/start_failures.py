"""Workers that cannot start: when their node is left out, and when the run is given up."""

from collections import Counter

from hyperdiag.config.schema import ClusterConfig, LimitsConfig
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.messages.wording import counted
from hyperdiag.run.cluster.bad_nodes import BadNodes
from hyperdiag.run.cluster.room import capacity


class StartFailures:
    """What was seen of workers that died or failed at their start.

    Args:
        cluster: what each worker needs, and how many the run needs.
        limits: how often workers may die at their start on a node.

    Attributes:
        bad_nodes: that are left out.
    """

    def __init__(self, cluster: ClusterConfig, limits: LimitsConfig):
        self._cluster, self._limits = cluster, limits
        self._failures = 0
        self._failures_on: Counter[str] = Counter()  # by node
        self.bad_nodes = BadNodes()

    def forget(self) -> None:
        """Begin to count anew, since a worker has started."""
        self._failures = 0

    def record(self, cause: str, node: str | None, lasting: bool, ready: int, workers: int) -> None:
        """Take note of a failure.

        Args:
            cause: what happened.
            node: on which no worker has started; None if others have, or it is not known.
            lasting: whether the next try will end in the same way.
            ready: how many workers there are, on any node.
            workers: how many there were to be.

        Raises:
            HyperdiagError: if it cannot be the node's fault, or what is left is not enough.
        """
        self._failures += 1
        if node is not None:
            self._failures_on[node] += 1
            if lasting or self._failures_on[node] >= self._limits.max_attempts:
                self.leave_out(node, cause)
        elif not ready and (lasting or self.too_many(workers)):
            raise HyperdiagError(cause)
        if self.bad_nodes:
            self._check_room()

    def leave_out(self, node: str, cause: str) -> None:
        """Start no worker on a node from now on.

        Raises:
            HyperdiagError: with the cause, if there is no other node; or if what is left is not
                enough.
        """
        self._check_not_the_only_one(node, cause)
        self.bad_nodes.add(node, cause)
        self._check_room()

    def too_many(self, workers: int) -> bool:
        """Return whether there were too many failures to try again, with so many workers."""
        return self._failures >= self._limits.max_attempts * workers

    def room(self) -> int:
        """Return how many workers the cluster has room for, without the nodes left out."""
        return capacity(self._cluster, self.bad_nodes)

    def has_room_beside(self, workers: int) -> bool:
        """Return whether there is a place for one more, or may be one."""
        return self._cluster.autoscales or not self.bad_nodes or workers < self.room()

    def _check_not_the_only_one(self, node: str, cause: str) -> None:
        if not (self._cluster.autoscales or self.bad_nodes or capacity(self._cluster, {node})):
            raise HyperdiagError(cause)

    def _check_room(self) -> None:
        """Check that the nodes that are left are enough; those of an autoscaler are to come."""
        least, room = self._cluster.min_workers or 1, self.room()
        if self._cluster.autoscales or room >= least:
            return
        raise HyperdiagError(
            f"the nodes that are left have room for {counted(room, 'worker')}, fewer than the "
            f"{least} that the run needs (cluster.min_workers); left out were those "
            f"{self.bad_nodes.sentence()}"
        )

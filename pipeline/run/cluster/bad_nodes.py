"""Nodes that cannot do the work of a run, each with the reason; nothing more is placed there."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import ray

from hyperdiag.messages.errors import listed
from hyperdiag.messages.log import about

log = logging.getLogger("hyperdiag")


class _BadNode(NamedTuple):
    """A node: its address, and why nothing is placed there."""

    address: str
    cause: str


def node_addresses() -> dict[str, str]:
    """Return {id: address} of the nodes that are alive."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


class BadNodes:
    """Nodes by their ids, which Ray gives anew to a node that is started again."""

    def __init__(self) -> None:
        self._nodes: dict[str, _BadNode] = {}

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, node: str, cause: str) -> None:
        """Leave a node out from now on, and say so; of the same node once."""
        if node in self._nodes:
            return
        address = node_addresses().get(node, "an address that is not known any more")
        self._nodes[node] = _BadNode(address, cause)
        log.warning(
            "the node at %s (%s) is left out of this run: %s",
            *(address, node, cause),
            extra=about(node=node),
        )

    @property
    def placement(self) -> dict[str, Any]:
        """Options for Ray that place a task or an actor elsewhere."""
        if not self._nodes:
            return {}
        return {"label_selector": {"ray.io/node-id": f"!in({','.join(self._nodes)})"}}

    def causes(self) -> list[str]:
        """Return the causes, each once."""
        return list(dict.fromkeys(bad.cause for bad in self._nodes.values()))

    def sentence(self) -> str:
        """Return which nodes were left out and why, those with the same cause together."""
        by_cause: dict[str, list[str]] = {}
        for node, bad in self._nodes.items():
            by_cause.setdefault(bad.cause, []).append(f"{bad.address} ({node})")
        return "; ".join(f"on {listed(nodes)}: {cause}" for cause, nodes in by_cause.items())

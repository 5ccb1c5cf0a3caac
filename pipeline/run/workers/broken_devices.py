"""Devices on which one worker after another fails."""

from collections import Counter

from .worker_actor import Address


class BrokenDevices:
    """What was seen of workers that were ended because their device failed.

    A device is known by its node and what Ray calls it there; the cores of a node count as one.

    Args:
        most: workers in a row, none of which has derived a shard, after which it is taken for
            broken.
    """

    def __init__(self, most: int):
        self._most = most
        self._in_a_row: Counter[tuple[str, str]] = Counter()
        self._since_success = 0

    def record(self, address: Address) -> None:
        """Take note of a worker that derived nothing."""
        self._in_a_row[address.node, address.devices] += 1
        self._since_success += 1

    def forget(self, address: Address) -> None:
        """Begin to count anew, since a worker has derived a shard."""
        self._in_a_row.pop((address.node, address.devices), None)
        self._since_success = 0

    def at(self, address: Address) -> bool:
        """Return whether the device of a worker is broken."""
        return self._in_a_row[address.node, address.devices] >= self._most

    def everywhere(self, workers: int) -> bool:
        """Return whether as many have failed as if the devices of so many workers were broken."""
        return self._since_success >= self._most * workers

    def sentence(self, trouble: str) -> str:
        """Return what is wrong with a device that is broken, of which the last word is given."""
        workers = "a worker" if self._most == 1 else f"{self._most} workers in a row"
        return f"the device fails, and {workers} could not derive a shard with it: {trouble}"

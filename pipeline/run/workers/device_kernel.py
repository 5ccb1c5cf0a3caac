"""The kernel of a plan on the device of this process: turns, memory, and how results come back."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import derivatives, numerics
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.networks import Network
from hyperdiag.run.cluster.device import is_out_of_memory
from hyperdiag.run.plan.plan import Plan

from .sample import Arrays

log = logging.getLogger("hyperdiag")

Function = Callable[[np.ndarray], Sequence[Any]]


class DeviceKernel:
    """Computes batches of points; several threads may call it, each within one of its `turns`.

    Args:
        plan: the frozen run.
        network: as it is built for the run.

    Attributes:
        function: of points (batch, n), to the quantities, (batch, ...) each, or (..., batch) where
            a column is written for each number: turning them around costs little on a device. A
            benchmark puts another in its place.
        turns: batches that may be on the device: one on a CPU, whose core a kernel fills by itself;
            two on a GPU, so that one is copied while the other is computed.
        at_once: rows of a call: the plan's batch, or fewer where the device has no memory for them.
    """

    def __init__(self, plan: Plan, network: Network):
        kernel = plan.kernel
        bundle = derivatives(
            network.function,
            network.n_inputs,
            method=kernel.method,
            wrt=network.wrt(kernel.directions),
            dtype=kernel.dtype,
            tile=kernel.tile,
            outputs=kernel.quantities,
            precision=kernel.precision,
        )
        self._rows_last = plan.layout.kind == "wide"
        self.function: Function = _rows_last(bundle, kernel.dtype) if self._rows_last else bundle
        self.turns = threading.Semaphore(1 if kernel.device == "cpu" else 2)
        self.at_once = kernel.batch
        self._tile = kernel.tile or kernel.batch
        self._shape = kernel.batch, network.n_inputs

    def trace(self) -> None:
        """Trace the function, without compiling it."""
        jax.eval_shape(self.function, jax.ShapeDtypeStruct(self._shape, np.float32))

    def __call__(self, points: np.ndarray) -> Arrays:
        """Return the quantities of up to a batch of points, (rows, ...) each.

        Where the device has no memory for a batch of tiles, it is halved, from then on, down to a
        tile: the bits of a row do not depend on it. Without tiles they do, and it is the end.
        """
        while True:
            at_once = self.at_once
            try:
                return self._in_parts(points, at_once)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if at_once <= self._tile:
                    raise HyperdiagError(
                        f"the device has no memory for {at_once} rows at once ({error}); "
                        f"take derivatives.tile={max(at_once // 4, 1)}"
                    ) from error
                tiles = -(-at_once // self._tile) // 2
                # Another thread may have met the same, and halved it already.
                self.at_once = min(self.at_once, max(tiles, 1) * self._tile)
                log.warning("out of device memory: now %d rows at once", self.at_once)

    def _in_parts(self, points: np.ndarray, at_once: int) -> Arrays:
        """Fewer points are padded with the last of them: the kernel always sees one shape."""
        parts = []
        for first in range(0, points.shape[0], at_once):
            part = points[first : first + at_once]
            rows = part.shape[0]
            if rows < at_once:
                part = np.concatenate([part, np.repeat(part[-1:], at_once - rows, axis=0)])
            # Copies of all start before the first is waited for.
            arrays = jax.device_get(self.function(part))
            if self._rows_last:
                arrays = [np.moveaxis(array, -1, 0) for array in arrays]
            parts.append([array[:rows] for array in arrays])
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _rows_last(function: Function, dtype: str) -> Function:
    """Return the same function, but with the rows as the last axis of what it returns."""
    turned = jax.jit(lambda arrays: [jnp.moveaxis(array, 0, -1) for array in arrays])

    def turned_function(points: np.ndarray) -> Sequence[Any]:
        with numerics(dtype):
            return turned(list(function(points)))

    return turned_function

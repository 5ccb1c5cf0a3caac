"""Rows of each shard derived once more, in float64 by another method."""

from collections.abc import Sequence

import numpy as np

from pipeline.errors import HyperdiagError
from pipeline.hyperdual import reference, relative_error
from pipeline.networks import build_network

from .plan import Plan
from .receipt import TITLES, Tally

# A step in x, relative, that is nothing to a smooth network, but crosses a kink that is near.
_STEP = {"float32": 1e-6, "float64": 1e-14}
_FAR = 1000

Arrays = Sequence[np.ndarray]


class Verifier:
    """Compares rows with the reference. Several threads may use it.

    Args:
        plan: the frozen run.
    """

    def __init__(self, plan: Plan):
        network, how = plan.settings["network"], plan.settings["derivatives"]
        built = build_network(network["settings"], "float64")
        directions = [built.inputs.index(name) for name in how["directions"]]
        every = directions == list(range(built.n_inputs))
        self._quantities: list[str] = how["outputs"]
        self._reference = reference(
            built.function, built.n_inputs, None if every else directions, self._quantities
        )
        self._outputs = built.outputs
        self._rows: int = how["verify_rows"]
        self._tolerance: float = how["tolerance"]
        self._step = _STEP[how["dtype"]]

    def warm_up(self) -> None:
        """Compile the reference."""
        self._derive(np.zeros((1, self._reference.n_inputs)))

    def verify(self, points: np.ndarray, computed: Arrays, tally: Tally) -> None:
        """Compare rows of a shard, and note in its tally how large the errors are.

        Args:
            points: (rows, n), as the kernel saw them.
            computed: the quantities of these rows.
            tally: of the whole shard: errors are relative to an output's largest entry in it.

        Raises:
            HyperdiagError: if an error is beyond the tolerance.
        """
        wanted = self._derive(points)
        at_kinks = np.zeros(points.shape[0], dtype=bool)
        for at, (quantity, found) in enumerate(zip(self._quantities, computed, strict=True)):
            scale = np.abs(np.array(tally.ranges[quantity])).max(axis=0)
            scale = scale.reshape(1, -1, *[1] * (found.ndim - 2))
            errors = relative_error(np.abs(found - wanted[at]), scale)
            if errors.max() > self._tolerance:
                jumps = self._jumps(points, at, errors, scale)
                at_kinks |= (jumps & (errors > self._tolerance)).reshape(jumps.shape[0], -1).any(1)
                errors = np.where(jumps, 0.0, errors)
            if errors.max() > self._tolerance:
                row, output = np.unravel_index(int(errors.argmax()), errors.shape)[:2]
                raise HyperdiagError(
                    f"verification: the {TITLES[quantity]} of '{self._outputs[output]}' differs "
                    f"from a float64 reference by {errors.max():.1e} of its largest entry, at the "
                    f"point {points[row].tolist()}; derivatives.tolerance is {self._tolerance:g}. "
                    "Take derivatives.dtype=float64, another derivatives.method, or a larger "
                    "tolerance"
                )
            tally.largest_error = max(tally.largest_error, float(errors.max()))
        tally.verified += points.shape[0]
        tally.at_kinks += int(at_kinks.sum())

    def _derive(self, points: np.ndarray) -> list[np.ndarray]:
        """Return the reference at up to `verify_rows` points, always in one shape."""
        rows = points.shape[0]
        full = np.concatenate([points, np.repeat(points[-1:], self._rows - rows, axis=0)])
        return [np.asarray(array)[:rows] for array in self._reference(full)]

    def _jumps(
        self, points: np.ndarray, at: int, errors: np.ndarray, scale: np.ndarray
    ) -> np.ndarray:
        """Tell where the reference itself changes as much within rounding of the point: a kink."""
        here = self._derive(points)[at]
        reach = np.maximum(np.abs(points), np.abs(points).max(axis=0))
        step = self._step * np.where(reach > 0, reach, 1)
        moved = [self._derive(points + sign * step)[at] for sign in (-1, 1)]
        change = np.maximum(*(relative_error(np.abs(there - here), scale) for there in moved))
        # What is smooth changes by about the step; a jump does not depend on it.
        return change > np.maximum(errors / 4, _FAR * self._step)

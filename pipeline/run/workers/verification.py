"""Rows of each shard derived once more, in float64 by the reference's method."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.hyperdual import Bundle, derivatives, reference, relative_error
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.networks import build_network
from hyperdiag.run.output.receipt import Tally
from hyperdiag.run.plan.plan import Plan

# A step in x, relative, that crosses a kink within rounding of the point and of what follows.
_STEP = {"float32": 1e-6, "float64": 1e-14}
# How much more than the reference's own method in the run's dtype a method may err by rounding.
_ROUNDING = 10
# Of an output's largest entry: errors below the tolerance times this are never looked at.
_PART = {"float32": 1e-4, "float64": 1e-10}


class Verifier:
    """Compares rows with the reference. Several threads may use it.

    Args:
        plan: the frozen run.
        rows: that are compared at once, at most; None means as many as the plan says of a shard.

    Attributes:
        method: the reference's, which may be that of the plan.
    """

    def __init__(self, plan: Plan, rows: int | None = None):
        kernel = plan.kernel
        self._network_options = plan.network_options
        built = build_network(self._network_options, "float64")
        self._wrt = built.wrt(kernel.directions)
        self._quantities = kernel.quantities
        self._reference = reference(built.function, built.n_inputs, self._wrt, self._quantities)
        self.method = self._reference.choice.method
        self._strict = kernel.strict
        self._outputs = built.outputs
        self._rows = kernel.verify_rows if rows is None else rows
        self._tolerance = kernel.tolerance
        self._dtype = kernel.dtype
        self._step, self._part = _STEP[self._dtype], _PART[self._dtype]

    def warm_up(self) -> None:
        """Compile the reference."""
        self._derive(np.zeros((1, self._reference.n_inputs)))

    def verify(self, points: np.ndarray, computed: Sequence[np.ndarray], tally: Tally) -> None:
        """Compare rows of a shard, and note in its tally how large the errors are.

        Args:
            points: (rows, n), as the kernel saw them.
            computed: the quantities of these rows.
            tally: of the whole shard.

        Raises:
            HyperdiagError: if an error is beyond the tolerance.
        """
        wanted = self._derive(points)
        at_kinks = np.zeros(points.shape[0], dtype=bool)
        for at, (quantity, array) in enumerate(zip(self._quantities, computed, strict=True)):
            scale = self._scale(wanted[at], tally.ranges[quantity])
            errors = relative_error(np.abs(array - wanted[at]), scale)
            within = errors <= self._tolerance  # false for NaN
            if not within.all():
                jumps = self._jumps(points, at, errors, scale)
                at_kinks |= (jumps & ~within).reshape(jumps.shape[0], -1).any(axis=1)
                errors = np.where(jumps, 0.0, errors)
                within |= jumps
            if not within.all() and not self._strict:
                within |= errors <= self._rounding(points, wanted[at], at, scale)
            if not within.all():
                row, output = map(int, np.unravel_index(int(within.argmin()), within.shape)[:2])
                raise HyperdiagError(self._refusal(quantity, points[row], output, errors[~within]))
            tally.largest_error = max(tally.largest_error, float(errors.max()))
        tally.verified += points.shape[0]
        tally.at_kinks += int(at_kinks.sum())

    def _rounding(
        self, points: np.ndarray, wanted: np.ndarray, at: int, scale: np.ndarray
    ) -> np.ndarray:
        """Return the error, for each output, that the dtype has by any method.

        Where an activation saturates, its slope is the difference of nearly equal numbers: the
        reference's own method, in the run's dtype, errs as much.
        """
        plain = np.asarray(self._plain(points)[at])
        errors = relative_error(np.abs(plain - wanted), scale)
        others = tuple(axis for axis in range(errors.ndim) if axis != 1)
        return _ROUNDING * errors.max(axis=others, keepdims=True)

    @cached_property
    def _plain(self) -> Bundle:
        built = build_network(self._network_options, self._dtype)
        return derivatives(
            built.function,
            built.n_inputs,
            self.method,
            self._wrt,
            self._dtype,
            outputs=self._quantities,
        )

    def _scale(self, wanted: np.ndarray, ends: list[list[float]]) -> np.ndarray:
        """Return what errors are relative to, in the shape of one row with an axis before.

        The largest of the verified rows for each output and direction, since a direction's errors
        come from its own terms; but not below a small part of the output's largest in the shard,
        where terms of that size cancel.
        """
        largest = np.abs(np.array(ends)).max(axis=0)
        largest = largest.reshape(1, -1, *[1] * (wanted.ndim - 2))
        return np.maximum(np.abs(wanted).max(axis=0, keepdims=True), self._part * largest)

    def _refusal(self, quantity: str, point: np.ndarray, output: int, errors: np.ndarray) -> str:
        double = self._dtype == "float64"
        other = "" if double else "derivatives.dtype=float64 for more digits, "
        title = QUANTITIES[quantity].title
        return (
            f"verification: the {title} of '{self._outputs[output]}' differs from a "
            f"float64 reference by {errors.max():.1e} of the largest there, at the point "
            f"{point.tolist()}; derivatives.tolerance is {self._tolerance:g}. Take {other}"
            f"derivatives.method={self.method} (what the reference does: a "
            "network with "
            "derivative rules of its own may have no other), or a larger tolerance"
        )

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
        # A fixed direction along which no two inputs move alike.
        direction = np.random.default_rng(0).uniform(0.5, 1.5, (points.shape[1],))
        direction[::2] *= -1
        move = np.where(reach > 0, reach, 1) * direction

        def change(step: float) -> np.ndarray:
            moved = self._derive(points + step * move)[at]
            return relative_error(np.abs(moved - here), scale)

        sides = [change(sign * self._step) for sign in (-1, 1)]
        near, nearest = np.maximum(*sides), np.minimum(*sides)
        far = np.maximum(*(change(sign * 10 * self._step) for sign in (-1, 1)))
        # A kink lies on one side, and its jump does not depend on the step. What is only steep
        # changes on both sides, and ten times less.
        jumps = (nearest < 0.1 * near) & (near > 0.5 * far)
        return jumps & (near > np.maximum(errors, self._tolerance) / 4)

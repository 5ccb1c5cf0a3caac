"""Rows of each shard derived once more, in float64 by the reference's method."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.hyperdual import HIGHEST, Bundle, derivatives, reference, relative_error
from hyperdiag.messages.errors import HyperdiagError, listed
from hyperdiag.networks import Network, float64_function
from hyperdiag.run.cluster.device import is_out_of_memory
from hyperdiag.run.output.receipt import Tally
from hyperdiag.run.plan.plan import Plan

log = logging.getLogger("hyperdiag")

# A step in x, relative, that crosses a kink within rounding of the point and of what follows.
_STEP = {"float32": 1e-6, "float64": 1e-14}
# How much more than the reference's own method in the run's dtype a method may err by rounding.
_ROUNDING = 10
# Of an output's largest entry: errors below the tolerance times this are never looked at.
_PART = {"float32": 1e-4, "float64": 1e-10}
# Of an output's value: the most that the error of a derivative, over the size of the inputs, may be
# where rounding excuses it.
_SMALL = {"float32": 1e-3, "float64": 1e-9}
# Of the verified values of a quantity, over all outputs: the most for which rounding excuses more
# than what the value itself is rounded by, in more than one row: where a shard has few rows, one of
# them says nothing about the others.
_RARE = 0.25


class Verifier:
    """Compares rows with the reference. Several threads may use it.

    Args:
        plan: the frozen run.
        network: as it is built for the run.
        rows: that are compared at once, at most; None means as many as the plan says of a shard.
        written: whether the written quantities alone are compared, not all that are computed.

    Attributes:
        method: the reference's, which may be that of the plan.

    Raises:
        MethodError: if no reference can differentiate the network.
    """

    def __init__(
        self, plan: Plan, network: Network, rows: int | None = None, written: bool = False
    ):
        kernel = plan.kernel
        self._network = network
        self._wrt = network.wrt(kernel.directions)
        self._quantities = plan.written if written else kernel.quantities
        self._dtype, self._precision = kernel.dtype, kernel.precision
        single = self._dtype == "float32"
        self._reference = reference(
            network.function,
            network.n_inputs,
            self._wrt,
            list(dict.fromkeys([*self._quantities, "value"])),
            self._dtype,
            float64_function(plan.network_options) if single else None,
        )
        self.method = self._reference.choice.method
        self._strict = kernel.strict
        # Fewer, from then on, where the device has no memory for them.
        self._at_once = kernel.verify_rows if rows is None else rows
        self._tolerance = kernel.tolerance
        self._step, self._part = _STEP[self._dtype], _PART[self._dtype]
        self._small = _SMALL[self._dtype]

    def warm_up(self) -> None:
        """Compile the reference."""
        self._derive(np.zeros((1, self._reference.n_inputs)))

    def verify(self, points: np.ndarray, computed: Sequence[np.ndarray], tally: Tally) -> None:
        """Compare rows of a shard, and note in its tally how large the errors are.

        Two kinds of errors are excused, and counted: at a kink within rounding of the point; and of
        a derivative, unless the tolerance was asked for, where it is so small beside the value that
        the dtype cannot hold it, by any method. Where that is more than the value itself is rounded
        by, it may be so for a quarter of a quantity's verified values, or one row. An error of the
        value never is excused for rounding.

        Args:
            points: (rows, n), float64, as they were read, not rounded to the run's dtype.
            computed: the quantities of these rows.
            tally: of the whole shard.

        Raises:
            HyperdiagError: if an error is beyond the tolerance and not excused, or too many are
                excused for rounding.
        """
        wanted = self._derive(points)
        at_kinks, rounded = np.zeros((2, points.shape[0]), dtype=bool)
        by_rounding: dict[str, np.ndarray] = {}
        largest_excused = 0.0
        for quantity, array in zip(self._quantities, computed, strict=True):
            right = wanted[quantity]
            scale = self._scale(right, tally.ranges[quantity])
            errors = relative_error(np.abs(array - right), scale)
            beyond = ~(errors <= self._tolerance)  # true for NaN
            excused = np.zeros_like(beyond)
            if beyond.any():
                jumps = beyond & self._jumps(points, quantity, array, errors, scale)
                at_kinks |= _rows_with(jumps)
                excused |= jumps
            if (beyond & ~excused).any() and not self._strict and QUANTITIES[quantity].order:
                part = self._rounding(points, quantity, array, wanted)
                tiny = beyond & ~excused & (part <= self._small)
                rounded |= _rows_with(tiny)
                excused |= tiny
                by_rounding[quantity] = tiny & (part > np.finfo(self._dtype).eps)
                largest_excused = max(largest_excused, errors.max(initial=0, where=tiny))
            beyond &= ~excused
            if beyond.any():
                row, output = map(int, np.argwhere(beyond)[0, :2])
                what = f"{QUANTITIES[quantity].title} of '{self._network.outputs[output]}'"
                raise HyperdiagError(
                    self._refusal(what, points[row], errors[beyond].max())
                    + self._of_inputs(points, quantity, array, tally)
                )
            tally.largest_error = max(
                tally.largest_error, float(errors.max(initial=0, where=~excused))
            )
        for quantity, tiny in by_rounding.items():
            if tiny.sum() > _RARE * tiny.size and _rows_with(tiny).sum() > 1:
                raise HyperdiagError(self._too_many(quantity, tiny, largest_excused))
        tally.verified += points.shape[0]
        tally.at_kinks += int(at_kinks.sum())
        tally.rounded += int(rounded.sum())

    def _rounding(
        self,
        points: np.ndarray,
        quantity: str,
        computed: np.ndarray,
        wanted: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return how large the errors of a derivative are beside the value; infinite for its own.

        Where an activation saturates, its slope is the difference of nearly equal numbers: the
        reference's own method, in the run's dtype, errs as much. Other errors are the method's own.
        What is compared with the value is the error times the size of the inputs (twice, for a
        second derivative).
        """
        errors = np.abs(computed - wanted[quantity])
        plain = np.asarray(getattr(self._plain(points), quantity))
        by_any = np.abs(plain - wanted[quantity])
        others = tuple(axis for axis in range(errors.ndim) if axis != 1)
        limit = _ROUNDING * by_any.max(axis=others, keepdims=True)
        sizes = np.abs(points).max(axis=0)[self._wrt or slice(None)]
        sizes = np.where(sizes > 0, sizes, 1.0)
        order, axes = QUANTITIES[quantity].order, QUANTITIES[quantity].axes
        if axes == 0:
            size = sizes.max() ** order
        elif axes == 1:
            size = sizes**order
        else:
            size = np.multiply.outer(sizes, sizes)
        value = np.abs(wanted["value"]).max(axis=0)
        value = value.reshape(1, -1, *[1] * axes)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = errors * size / value
        return np.where(errors <= limit, part, np.inf)

    @cached_property
    def _plain(self) -> Bundle:
        return derivatives(
            self._network.function,
            self._network.n_inputs,
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

    def _refusal(self, what: str, point: np.ndarray, error: float) -> str:
        other = "" if self._dtype == "float64" else "derivatives.dtype=float64 for more digits, "
        if self._precision != HIGHEST:
            other = f"derivatives.precision={HIGHEST} for {self._precision}, {other}"
        return (
            f"verification: the {what} differs from a float64 reference by {error:.1e} of the "
            f"largest there, at the point {point.tolist()}; derivatives.tolerance is "
            f"{self._tolerance:g}. Take {other}derivatives.method={self.method} (what the "
            "reference does: a network with derivative rules of its own may have no other), or a "
            "larger tolerance"
        )

    def _too_many(self, quantity: str, tiny: np.ndarray, largest: float) -> str:
        """Return why a shard is refused of which rounding would excuse much.

        Args:
            quantity: its name.
            tiny: which of its values (rows, m, ...) would be excused, and count.
            largest: error of those that would be, of all quantities.
        """
        others = tuple(axis for axis in range(tiny.ndim) if axis != 1)
        outputs = [self._network.outputs[at] for at in np.flatnonzero(tiny.any(axis=others))]
        mend = "" if self._dtype == "float64" else "derivatives.dtype=float64 for their digits, or "
        return (
            f"verification: {tiny.sum():,} of {tiny.size:,} verified values of the "
            f"{QUANTITIES[quantity].title} ({listed(outputs)}) are off by more than the tolerance, "
            f"since {self._dtype} cannot hold them beside the output's value, by any method (a "
            f"saturated activation, cancelling terms). Up to {_RARE:.0%}, or one row, are "
            f"published with a word, more only if asked for: take {mend}a derivatives.tolerance of "
            f"your own, about {2 * largest:.1g}, to have them as they are"
        )

    def _of_inputs(
        self, points: np.ndarray, quantity: str, computed: np.ndarray, tally: Tally
    ) -> str:
        """Return a clause on the rounding of the inputs, if the errors come from that."""
        rounded = points.astype(self._dtype).astype(np.float64)
        lost = np.abs(points - rounded).max(axis=0)
        if not lost.any():
            return ""
        wanted = self._derive(rounded)[quantity]
        scale = self._scale(wanted, tally.ranges[quantity])
        if not (relative_error(np.abs(computed - wanted), scale) <= self._tolerance).all():
            return ""
        sizes = np.maximum(np.abs(points).max(axis=0), np.finfo(np.float64).tiny)
        spread = np.maximum(np.ptp(points, axis=0), sizes * np.finfo(np.float64).eps)
        worst = int(np.argmax(lost / spread))
        return (
            f". At the points as {self._dtype} rounds them it is right: "
            f"'{self._network.inputs[worst]}' is rounded by up to {lost[worst]:.3g}"
        )

    def _derive(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Return the reference at points, all of them at once, or as many as there is memory for.

        Raises:
            HyperdiagError: if there is none for a single one.
        """
        while True:
            at_once = self._at_once
            try:
                parts = [
                    self._derive_part(points[first : first + at_once], at_once)
                    for first in range(0, points.shape[0], at_once)
                ]
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if at_once == 1:
                    raise HyperdiagError(
                        f"there is no memory to verify a single row ({error}); take "
                        "derivatives.verify_rows=0"
                    ) from error
                self._at_once = max(at_once // 2, 1)
                log.warning("out of memory while verifying: now %d rows at once", self._at_once)
            else:
                return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _derive_part(self, points: np.ndarray, at_once: int) -> dict[str, np.ndarray]:
        """Return the reference at up to so many points, always in one shape."""
        rows = points.shape[0]
        full = np.concatenate([points, np.repeat(points[-1:], at_once - rows, axis=0)])
        arrays = self._reference(full)._asdict()
        return {quantity: np.asarray(array)[:rows] for quantity, array in arrays.items()}

    def _jumps(
        self,
        points: np.ndarray,
        quantity: str,
        computed: np.ndarray,
        errors: np.ndarray,
        scale: np.ndarray,
    ) -> np.ndarray:
        """Tell where the reference itself changes as much within rounding of the point: a kink.

        Where the value itself jumps, it must be that of one of the sides.
        """
        here = self._derive(points)[quantity]
        reach = np.maximum(np.abs(points), np.abs(points).max(axis=0))
        # A fixed direction along which no two inputs move alike.
        direction = np.random.default_rng(0).uniform(0.5, 1.5, (points.shape[1],))
        direction[::2] *= -1
        move = np.where(reach > 0, reach, 1) * direction

        def moved(step: float) -> np.ndarray:
            return self._derive(points + step * move)[quantity]

        def differences(arrays: list[np.ndarray], right: np.ndarray) -> list[np.ndarray]:
            return [relative_error(np.abs(array - right), scale) for array in arrays]

        beside = [moved(sign * self._step) for sign in (-1, 1)]
        sides = differences(beside, here)
        near, nearest = np.maximum(*sides), np.minimum(*sides)
        far = np.maximum(*differences([moved(sign * 10 * self._step) for sign in (-1, 1)], here))
        # A kink lies on one side, and its jump does not depend on the step. What is only steep
        # changes on both sides, and ten times less.
        jumps = (nearest < 0.1 * near) & (near > 0.5 * far)
        jumps &= near > np.maximum(errors, self._tolerance) / 4
        if QUANTITIES[quantity].order == 0:
            jumps &= np.minimum(*differences(beside, computed)) <= self._tolerance
        return jumps


def _rows_with(entries: np.ndarray) -> np.ndarray:
    """Tell which rows have an entry that is true."""
    return np.any(entries.reshape(entries.shape[0], -1), axis=1)

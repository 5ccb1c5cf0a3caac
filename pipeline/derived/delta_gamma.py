"""`delta_gamma`: the change of each output for shocks of the inputs, to first and second order.

For shocks dx_i, in the inputs' units:

    change1 = sum_i J_i dx_i
    change2 = change1 + 1/2 sum_i D_i dx_i^2         or, with `cross_terms`, of the whole Hessian
    change2 = change1 + 1/2 sum_ij H_ij dx_i dx_j

Unit: that of the output. Source: Taylor's formula; in risk, the delta-gamma approximation
(J. C. Hull, Options, Futures, and Other Derivatives, chapter on value at risk). For shocks of size
h the error of change1 is of order h^2, that of change2 of order h^3, but h^2 where several inputs
are shocked together, mixed derivatives are not zero and `cross_terms` is off.

A dataset's column, a constant or a scenario says a shock; scenarios have columns of their own each,
`change2_o__in_<scenario>`. With `by_input` each input's own terms are written, too, without those
of mixed derivatives: `change2_o__by_i`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict

from hyperdiag.data.blocks import Axis, Block

from .kind import Amounts, Kind, by_inputs, columns_in, stacked
from .rows import Names, Rows, added


@dataclass(frozen=True)
class Scenario:
    """Shocks that happen together.

    Attributes:
        name: of the scenario; empty where there is but this one.
        shocks: {input: shock, or its column}; other inputs stay.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    shocks: Amounts


@dataclass(frozen=True)
class DeltaGamma(Kind):
    """Change of each output to first and second order, in each scenario.

    Attributes:
        scenarios: in their order; at least one.
        by_input: whether the terms of each input are written, too.
        cross_terms: whether the whole Hessian is taken.
    """

    scenarios: tuple[Scenario, ...]
    by_input: bool = False
    cross_terms: bool = False

    @property
    def other_columns(self) -> frozenset[str]:
        """Columns of the dataset that hold shocks."""
        return frozenset().union(*(columns_in(each.shocks) for each in self.scenarios))

    def _shocked(self, names: Names) -> tuple[str, ...]:
        shocked = {name for scenario in self.scenarios for name in scenario.shocks}
        return tuple(name for name in names.directions if name in shocked)

    def blocks(self, names: Names) -> list[Block]:
        """Return both changes in total, then by input."""
        axes = [self.output_axis(names)]
        if self.scenarios[0].name:
            axes.append(Axis("scenarios", "in", tuple(each.name for each in self.scenarios)))
        blocks = [self._block(f"change{order}", axes) for order in (1, 2)]
        if self.by_input:
            inputs = by_inputs(self._shocked(names))
            blocks += [self._block(f"change{order}_term", [*axes, inputs]) for order in (1, 2)]
        return blocks

    def _block(self, name: str, axes: list[Axis]) -> Block:
        return Block(name, "delta_gamma", "of the output", tuple(axes))

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return both changes (rows, m), then their terms; with axes of scenarios and inputs."""
        shocked = self._shocked(rows.names)
        slopes = {name: rows.jacobian(name) for name in shocked}
        bends = (
            {}
            if self.cross_terms and not self.by_input
            else {name: rows.hessian_diag(name) for name in shocked}
        )
        changes: list[list[np.ndarray]] = [[], []]
        terms: list[list[np.ndarray]] = [[], []]
        for scenario in self.scenarios:
            shocks = {n: rows.amount(scenario.shocks.get(n, 0.0)) for n in shocked}
            first = added(slopes[name] * shocks[name] for name in shocked)
            curved = (
                self._mixed(rows, shocks)
                if self.cross_terms
                else (bends[name] * (0.5 * shocks[name] * shocks[name]) for name in shocked)
            )
            changes[0].append(first)
            changes[1].append(first + added(curved))
            for name in shocked if self.by_input else ():
                term = slopes[name] * shocks[name]
                terms[0].append(term)
                terms[1].append(term + bends[name] * (0.5 * shocks[name] * shocks[name]))
        blocks = self.blocks(rows.names)
        return [
            stacked(parts).reshape(*parts[0].shape, *block.shape[1:])
            if block.shape[1:]
            else parts[0]
            for block, parts in zip(blocks, [*changes, *terms][: len(blocks)], strict=True)
        ]

    def _mixed(self, rows: Rows, shocks: dict[str, float | np.ndarray]) -> Iterator[np.ndarray]:
        for first in shocks:
            for second in shocks:
                yield rows.hessian(first, second) * (0.5 * shocks[first] * shocks[second])

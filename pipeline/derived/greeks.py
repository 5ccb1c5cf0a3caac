"""`greeks`: sensitivities of prices under the names of finance, with their units and signs.

For a price V of spot S, volatility v, rate r and time to expiry T, in years, all four inputs of the
network; v and r are per 1.00, so that 20% is 0.2:

    delta =  dV/dS             of the price / of the spot
    gamma =  d2V/dS2           of the price / of the spot, squared
    vega  =  dV/dv             per 1.00, or (times 0.01) per percentage point
    volga =  d2V/dv2           per 1.00 squared, or (times 0.0001) per percentage point squared
    rho   =  dV/dr             per 1.00, (times 0.01) per percentage point or (times 0.0001) per
                               basis point
    theta = -dV/dT             per year, (over 365) per calendar day or (over 252) per trading day

Theta is the change of the price as time passes, which makes T smaller: hence the sign. Source:
J. C. Hull, Options, Futures, and Other Derivatives, chapter on the Greek letters; volga is also
called vomma. Of several spots (a basket) each has a column of its own: `delta_o__by_i`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from hyperdiag.data.blocks import Block

from .kind import Kind, by_inputs, stacked
from .rows import Names, Rows

# What a derivative per 1.00, or per year, is to be multiplied by.
PER_MOVE: Final = {"unit": 1.0, "percentage_point": 1e-2, "basis_point": 1e-4}
PER_TIME: Final = {"year": 1.0, "calendar_day": 1 / 365, "trading_day": 1 / 252}
Move = Literal["unit", "percentage_point", "basis_point"]
Time = Literal["year", "calendar_day", "trading_day"]


@dataclass(frozen=True)
class Greeks(Kind):
    """The Greeks of each output, of those inputs that are named; at least one is.

    Attributes:
        spot, volatility, rate, time: names of the inputs that are such.
        vega_per, rho_per: the move of volatility and rate that a Greek is for.
        theta_per: the time that passes.
    """

    spot: tuple[str, ...]
    volatility: tuple[str, ...]
    rate: tuple[str, ...]
    time: tuple[str, ...]
    vega_per: Move
    rho_per: Move
    theta_per: Time

    def _greeks(self) -> list[tuple[str, tuple[str, ...], int, float, str]]:
        """Return of each Greek its name, inputs, order of derivative, factor and unit."""
        move, bump = PER_MOVE[self.vega_per], PER_MOVE[self.rho_per]
        vega, rho, theta = (
            each.replace("_", " ") for each in (self.vega_per, self.rho_per, self.theta_per)
        )
        every = [
            ("delta", self.spot, 1, 1.0, "of the output / of the input"),
            ("gamma", self.spot, 2, 1.0, "of the output / of the input squared"),
            ("vega", self.volatility, 1, move, f"of the output, per {vega}"),
            ("volga", self.volatility, 2, move * move, f"of the output, per {vega} squared"),
            ("rho", self.rate, 1, bump, f"of the output, per {rho}"),
            ("theta", self.time, 1, -PER_TIME[self.theta_per], f"of the output, per {theta}"),
        ]
        return [greek for greek in every if greek[1]]

    def blocks(self, names: Names) -> list[Block]:
        """Return a number for each output, of several inputs of a sort one for each."""
        outputs = self.output_axis(names)
        return [
            Block(greek, "greeks", unit, (outputs, by_inputs(of)) if len(of) > 1 else (outputs,))
            for greek, of, _, _, unit in self._greeks()
        ]

    def arrays(self, rows: Rows) -> list[np.ndarray]:
        """Return the Greeks, (rows, m) or (rows, m, inputs) each."""
        of_order: dict[int, Callable[[str], np.ndarray]] = {1: rows.jacobian, 2: rows.hessian_diag}
        arrays = []
        for _, of, order, factor, _ in self._greeks():
            parts = [of_order[order](name) * factor for name in of]
            arrays.append(stacked(parts) if len(parts) > 1 else parts[0])
        return arrays

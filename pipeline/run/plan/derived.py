"""The part of a plan that says what is derived of a row's derivatives, checked against the rest."""

import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from hyperdiag.config.derived import (
    DeltaGammaConfig,
    GreeksConfig,
    PropagationConfig,
    StandardisedConfig,
)
from hyperdiag.config.schema import Config
from hyperdiag.data.points import unusable
from hyperdiag.derived.correlation import Correlations
from hyperdiag.derived.delta_gamma import DeltaGamma, Scenario
from hyperdiag.derived.derived import Derived
from hyperdiag.derived.elasticity import Elasticity
from hyperdiag.derived.greeks import Greeks
from hyperdiag.derived.kind import Amounts
from hyperdiag.derived.mine import plan_mine
from hyperdiag.derived.propagation import Propagation
from hyperdiag.derived.relative import Relative
from hyperdiag.derived.rows import Names
from hyperdiag.derived.standardised import Standardised
from hyperdiag.derived.top import Top
from hyperdiag.messages.errors import Problems, closest_or_all, listed
from hyperdiag.networks import Network

from .correlations import check_correlations, of_covariance
from .kernel import directions_of
from .scenarios import read_scenarios

_TRIAL_ROWS = 3


def plan_derived(
    config: Config, network: Network, schema: pa.Schema | None, with_files: bool = True
) -> Derived:
    """Return the plan's section on derived quantities.

    Args:
        config: of the run.
        network: whose inputs and outputs are named.
        schema: the dataset's columns; None where nobody looked at its files.
        with_files: whether scenarios must be there to be read; without, what is returned may lack
            them, and is no part of a plan.

    Raises:
        UsageError: with every problem that was found.
    """
    problems = Problems()
    planner = _Planner(network, directions_of(config, network), schema, with_files, problems)
    asked = config.derived
    elastic, relative, standardised = asked.elasticity, asked.relative, asked.standardised
    mine = asked.mine and problems.attempt(
        plan_mine,
        asked.mine.target,
        planner.names,
        network.typical_points(_TRIAL_ROWS),
        asked.mine.options or {},
    )
    derived = Derived(
        propagation=planner.propagation(asked.propagation) if asked.propagation else None,
        delta_gamma=planner.delta_gamma(asked.delta_gamma) if asked.delta_gamma else None,
        elasticity=Elasticity(planner.outputs("elasticity", elastic.outputs)) if elastic else None,
        relative=Relative(planner.outputs("relative", relative.outputs)) if relative else None,
        standardised=Standardised(*planner.spread("standardised", standardised))
        if standardised
        else None,
        greeks=planner.greeks(asked.greeks) if asked.greeks else None,
        top=planner.top(asked.top.count, asked.top) if asked.top else None,
        mine=mine or None,
    )
    problems.check()
    return derived


class _Planner:
    """Checks what is configured against a network and a dataset, and freezes it.

    What is wrong goes into `problems`; what is returned then is not used.
    """

    def __init__(
        self,
        network: Network,
        directions: tuple[str, ...],
        schema: pa.Schema | None,
        with_files: bool,
        problems: Problems,
    ):
        self._network, self._schema, self._problems = network, schema, problems
        self._with_files = with_files
        self.names = Names(tuple(network.inputs), directions, tuple(network.outputs))

    def outputs(self, kind: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
        """Return names of outputs, or None for all."""
        if names is None:
            return None
        what = f"derived.{kind}.outputs"
        for name in names:
            if name not in self.names.outputs:
                self._problems.add(
                    f"{what}: network '{self._network.name}' has no output '{name}'"
                    f"{closest_or_all(name, self.names.outputs)}"
                )
        if len(set(names)) < len(names):
            self._problems.add(f"{what} names an output twice")
        # In the network's order, as all columns are.
        return tuple(name for name in self.names.outputs if name in names)

    def propagation(self, asked: PropagationConfig) -> Propagation:
        """Return what is asked for, a covariance as deviations and correlations."""
        key, problems = "derived.propagation", self._problems
        deviations: Amounts = asked.deviations or {}
        correlations: Correlations = asked.correlations or {}
        if asked.covariance is not None and (deviations or correlations):
            problems.add(
                f"{key}: covariance stands for deviations and correlations: give it or them"
            )
        elif asked.covariance is not None:
            deviations, correlations = of_covariance(key, asked.covariance, problems)
        elif not deviations:
            problems.add(
                f"{key}.deviations is required: {key}.deviations={{input: number or column}}"
            )
        deviations = self._amounts(f"{key}.deviations", deviations, 0.0)
        uncertain = [name for name in self.names.directions if name in deviations]
        check_correlations(f"{key}.correlations", correlations, uncertain, problems)
        return Propagation(
            self.outputs("propagation", asked.outputs),
            deviations,
            {a: dict(others) for a, others in correlations.items()},
            asked.full,
        )

    def delta_gamma(self, asked: DeltaGammaConfig) -> DeltaGamma | None:
        """Return what is asked for, with all shocks."""
        key = "derived.delta_gamma"
        if (asked.shocks is None) == (asked.scenarios is None):
            self._problems.add(
                f"{key} needs shocks, {key}.shocks={{input: number or column}}, or scenarios, "
                f"{key}.scenarios=file.parquet, and not both"
            )
            return None
        scenarios: tuple[Scenario, ...] = ()
        if asked.shocks is not None:
            shocks = self._amounts(f"{key}.shocks", asked.shocks, -math.inf)
            scenarios = (Scenario("", shocks),)
        elif asked.scenarios is not None and (self._with_files or Path(asked.scenarios).is_file()):
            scenarios = (
                self._problems.attempt(read_scenarios, asked.scenarios, self.names.directions) or ()
            )
        outputs = self.outputs("delta_gamma", asked.outputs)
        return DeltaGamma(outputs, scenarios, asked.by_input, asked.cross_terms)

    def spread(
        self, kind: str, asked: StandardisedConfig
    ) -> tuple[tuple[str, ...] | None, dict[str, float | str]]:
        """Return outputs and deviations; where none are configured, those in training."""
        key = f"derived.{kind}.deviations"
        deviations: Amounts = asked.deviations or {}
        if asked.deviations is None:
            deviations = {
                name: deviation
                for name in self.names.directions
                if (deviation := self._in_training(name))
            }
            unknown = [name for name in self.names.directions if name not in deviations]
            if unknown:
                self._problems.add(
                    f"{key}: network '{self._network.name}' does not say how {listed(unknown)} "
                    f"spread in training: give {key}={{{unknown[0]}: number or column, ...}}"
                )
        return self.outputs(kind, asked.outputs), self._amounts(key, deviations, 0.0)

    def _in_training(self, name: str) -> float | None:
        """Return an input's standard deviation in training, as far as it is known."""
        if name in self._network.moments:
            return float(self._network.moments[name][1])
        if name in self._network.ranges:
            low, high = self._network.ranges[name]
            return (high - low) / math.sqrt(12)  # of a uniform distribution
        return None

    def top(self, count: int, asked: StandardisedConfig) -> Top:
        """Return what is asked for."""
        outputs, deviations = self.spread("top", asked)
        if count > len(deviations) > 0:
            self._problems.add(
                f"derived.top.count={count} is more than the inputs that are compared: "
                f"{listed(deviations)}"
            )
        return Top(outputs, deviations, count)

    def greeks(self, asked: GreeksConfig) -> Greeks:
        """Return what is asked for, a single input as a list of it."""
        roles: dict[str, tuple[str, ...]] = {}
        for role in ("spot", "volatility", "rate", "time"):
            names = getattr(asked, role) or ()
            roles[role] = (names,) if isinstance(names, str) else tuple(names)
            for name in roles[role]:
                self._check_input(f"derived.greeks.{role}", name)
        every = [name for names in roles.values() for name in names]
        if not every:
            self._problems.add(
                "derived.greeks: name an input at least, derived.greeks.spot=..., volatility, "
                "rate or time"
            )
        for name in dict.fromkeys(name for name in every if every.count(name) > 1):
            self._problems.add(f"derived.greeks names '{name}' twice")
        return Greeks(
            self.outputs("greeks", asked.outputs),
            **roles,
            vega_per=asked.vega_per,
            rho_per=asked.rho_per,
            theta_per=asked.theta_per,
        )

    def _amounts(self, key: str, amounts: Amounts, least: float) -> dict[str, float | str]:
        """Return numbers or columns by input, in the order of the inputs."""
        for name, amount in amounts.items():
            self._check_input(key, name)
            if isinstance(amount, str):
                self._check_column(f"{key}.{name}", amount)
            elif not (math.isfinite(amount) and amount >= least):
                limit = "" if least < 0 else ", not below zero"
                self._problems.add(f"{key}.{name} must be a finite number{limit}; got {amount}")
        return {
            name: amounts[name] if isinstance(amounts[name], str) else float(amounts[name])
            for name in self.names.directions
            if name in amounts
        }

    def _check_input(self, key: str, name: str) -> None:
        network, names = self._network, self.names
        if name not in names.inputs:
            self._problems.add(
                f"{key}: network '{network.name}' has no input '{name}'"
                f"{closest_or_all(name, names.inputs)}"
            )
        elif name not in names.directions:
            self._problems.add(
                f"{key}: there is no derivative with respect to '{name}' (derivatives.wrt has "
                f"{listed(names.directions)})"
            )

    def _check_column(self, key: str, column: str) -> None:
        if self._schema is None:
            return
        if column not in self._schema.names:
            self._problems.add(
                f"{key}: the dataset has no column '{column}'"
                f"{closest_or_all(column, self._schema.names)}"
            )
            return
        reason = unusable(self._schema.field(column).type, False, 1)
        if reason:
            self._problems.add(f"{key}: column '{column}' {reason}")

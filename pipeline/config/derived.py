"""The configuration of derived quantities: a section for each kind, None where it is not chosen."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PositiveInt

from hyperdiag.derived.greeks import Move, Time

Amounts = Annotated[dict[str, float | str], Field(min_length=1)]
Names = Annotated[list[str], Field(min_length=1)]
_DIAGONAL, _FULL = ("jacobian", "hessian_diag"), ("jacobian", "hessian")


class _Section(BaseModel):
    """A section: no key beyond its own, no value of another type, no change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Kind(_Section):
    """What every kind has: the outputs that it is computed for; None takes all."""

    outputs: Names | None = None

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute for it."""
        return ("jacobian",)


class PropagationConfig(_Kind):
    """`propagation`: deviations of the inputs, and what they have to do with one another."""

    deviations: Amounts | None = None
    correlations: dict[str, dict[str, float]] | None = None
    covariance: dict[str, dict[str, float]] | None = None
    cross_terms: bool = False

    @property
    def full(self) -> bool:
        """Whether the whole Hessian is taken."""
        return self.cross_terms or bool(self.correlations) or self.covariance is not None

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute for it."""
        return _FULL if self.full else _DIAGONAL


class DeltaGammaConfig(_Kind):
    """`delta_gamma`: shocks of the inputs, or a file of scenarios."""

    shocks: Amounts | None = None
    scenarios: str | None = None
    by_input: bool = False
    cross_terms: bool = False

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute for it."""
        if not self.cross_terms:
            return _DIAGONAL
        return (*_FULL, "hessian_diag") if self.by_input else _FULL


class OfValueConfig(_Kind):
    """`elasticity` and `relative`: relative to the value."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute for it."""
        return ("value", "jacobian")


class StandardisedConfig(_Kind):
    """`standardised`: deviations of the inputs; None takes what the network was trained with."""

    deviations: Amounts | None = None


class TopConfig(StandardisedConfig):
    """`top`: how many inputs are named."""

    count: PositiveInt = 3


class GreeksConfig(_Kind):
    """`greeks`: which inputs are what, and the units."""

    spot: str | Names | None = None
    volatility: str | Names | None = None
    rate: str | Names | None = None
    time: str | Names | None = None
    vega_per: Move = "unit"
    rho_per: Move = "unit"
    theta_per: Time = "year"

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute for it."""
        return _DIAGONAL if self.spot or self.volatility else ("jacobian",)


class MineConfig(_Section):
    """`mine`: a function of the user's, and its keyword arguments."""

    target: str
    options: dict[str, JsonValue] | None = None


def _as_section(mine: Any) -> Any:
    return {"target": mine} if isinstance(mine, str) else mine


class DerivedConfig(_Section):
    """Which kinds are computed, in the order of their columns."""

    propagation: PropagationConfig | None = None
    delta_gamma: DeltaGammaConfig | None = None
    elasticity: OfValueConfig | None = None
    relative: OfValueConfig | None = None
    standardised: StandardisedConfig | None = None
    greeks: GreeksConfig | None = None
    top: TopConfig | None = None
    mine: Annotated[MineConfig | None, BeforeValidator(_as_section)] = None

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the kernel has to compute, each named once."""
        sections = (getattr(self, name) for name in type(self).model_fields)
        asked = [s.quantities for s in sections if isinstance(s, _Kind)]
        if self.mine:
            asked.append(("value", *_DIAGONAL))
        return tuple(dict.fromkeys(name for names in asked for name in names))

    @property
    def columns(self) -> set[str]:
        """The dataset's columns that deviations and shocks stand in."""
        amounts = [
            self.propagation and self.propagation.deviations,
            self.delta_gamma and self.delta_gamma.shocks,
            self.standardised and self.standardised.deviations,
            self.top and self.top.deviations,
        ]
        every = [amount for each in amounts for amount in (each or {}).values()]
        return {amount for amount in every if isinstance(amount, str)}

    def computed(self, written: list[str]) -> tuple[str, ...]:
        """Return what the kernel has to compute where some quantities are written, these first."""
        return tuple(dict.fromkeys([*written, *self.quantities]))

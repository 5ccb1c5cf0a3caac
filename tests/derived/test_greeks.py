import numpy as np
import pytest
from scipy.stats import norm

from hyperdiag.derived.greeks import Greeks

from .networks import STRIKE, black_scholes, bowl, rows_of

RNG = np.random.default_rng(4)
SPOT, VOL = RNG.uniform(70, 140, 60), RNG.uniform(0.1, 0.5, 60)
RATE, TIME = RNG.uniform(-0.01, 0.08, 60), RNG.uniform(0.1, 2, 60)


def closed_forms():
    """Return the Greeks of a European call, (60,) each, per 1.00 and per year."""
    root = np.sqrt(TIME)
    d1 = (np.log(SPOT / STRIKE) + (RATE + VOL**2 / 2) * TIME) / (VOL * root)
    d2 = d1 - VOL * root
    discounted = STRIKE * np.exp(-RATE * TIME)
    vega = SPOT * norm.pdf(d1) * root
    return {
        "delta": norm.cdf(d1),
        "gamma": norm.pdf(d1) / (SPOT * VOL * root),
        "vega": vega,
        "volga": vega * d1 * d2 / VOL,
        "rho": discounted * TIME * norm.cdf(d2),
        "theta": -SPOT * norm.pdf(d1) * VOL / (2 * root) - RATE * discounted * norm.cdf(d2),
    }


def _greeks(vega_per="unit", rho_per="unit", theta_per="year", **roles):
    every = {"spot": ("a",), "volatility": ("b",), "rate": ("c",), "time": ("d",)} | roles
    return Greeks(None, **every, vega_per=vega_per, rho_per=rho_per, theta_per=theta_per)


UNITS = {
    ("unit", "unit", "year"): {},
    ("percentage_point", "basis_point", "calendar_day"): {
        **{"vega": 1 / 100, "volga": 1 / 10_000, "rho": 1 / 10_000, "theta": 1 / 365},
    },
    ("basis_point", "percentage_point", "trading_day"): {
        **{"vega": 1e-4, "volga": 1e-8, "rho": 1 / 100, "theta": 1 / 252},
    },
}


@pytest.mark.parametrize("units", UNITS, ids=" ".join)
def test_greeks_of_black_scholes_are_the_closed_forms_in_every_unit(units):
    rows = rows_of(black_scholes(), np.stack([SPOT, VOL, RATE, TIME], axis=1))
    kind = _greeks(*units)
    names = [block.name for block in kind.blocks(rows.names)]
    wanted = closed_forms()
    assert names == list(wanted)
    for name, array in zip(names, kind.arrays(rows), strict=True):
        factor = UNITS[units].get(name, 1.0)
        np.testing.assert_allclose(array[:, 0], factor * wanted[name], rtol=1e-9, atol=1e-12)


def test_units_are_said():
    rows = rows_of(black_scholes(), np.stack([SPOT, VOL, RATE, TIME], axis=1)[:1])
    units = {b.name: b.unit for b in _greeks("percentage_point").blocks(rows.names)}
    assert units["vega"] == "of the output, per percentage point"
    assert units["theta"] == "of the output, per year"


def test_greeks_of_several_spots_have_columns_each():
    rows = rows_of(bowl(), RNG.normal(size=(5, 3)))
    kind = _greeks(spot=("a", "c"), volatility=(), rate=(), time=())
    delta, gamma = kind.blocks(rows.names)
    assert delta.columns[:2] == ["delta_u__by_a", "delta_u__by_c"]
    assert gamma.shape == (2, 2)
    arrays = kind.arrays(rows)
    for quantity, array in zip(("jacobian", "hessian_diag"), arrays, strict=True):
        np.testing.assert_array_equal(array, rows.quantities[quantity][:, :, [0, 2]])

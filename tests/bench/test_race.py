import math
from collections import namedtuple
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench import RIVALS, Rival, Subject, run_race
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.race import reference_arrays, relative_error
from hyperdiag.bench.subject import like
from hyperdiag.hyperdual import Derivatives, numerics

TINY = Subject("tiny", "3-4-2, tanh", lambda dtype: mlp((3, 4, 2)), n=3, m=2, rows=96)


def _halving(x):
    """Halve until all are below 1: a loop that ends by what it finds."""
    return jax.lax.while_loop(lambda y: jnp.any(y > 1), lambda y: y / 2, x**2)


def test_race_of_all_contestants_times_and_checks_each():
    rivals = [rival for rival in RIVALS.values() if rival.requires is None]
    results = run_race(TINY, rivals, rounds=2)
    assert list(results) == [rival.name for rival in rivals]
    for rival in rivals:
        result = results[rival.name]
        assert result.cannot is None
        assert result.rows == 96
        assert not result.slow
        assert result.calls >= 2
        assert result.rows_per_s == result.rows / result.seconds > 0
        assert result.compile_seconds > 0
        assert tuple(result.errors) == rival.gives
        assert max(result.errors.values()) < 1e-5


def test_race_with_a_scale_of_rows_times_so_many():
    assert run_race(TINY, [RIVALS["jacfwd"]], rounds=1, rows_scale=0.25)["jacfwd"].rows == 24


def test_race_records_why_a_contestant_cannot_and_goes_on():
    loop = Subject("loop", "a loop", lambda dtype: _halving, n=3, m=3, rows=8)
    results = run_race(loop, [RIVALS["taylor"], RIVALS["jvp_of_jvp"]], rounds=2)
    assert results["taylor"].cannot == "KeyError: while"
    assert results["taylor"].rows_per_s is None
    assert results["jvp_of_jvp"].cannot is None


@pytest.mark.parametrize(("factor", "error"), [(1.5, "0.5"), (math.nan, "inf")])
def test_race_records_wrong_numbers_as_such(factor, error):
    def build(fn, n):
        right = RIVALS["jvp_of_jvp"].build(fn, n)
        return lambda x: Derivatives(*right(x)[:2], right(x)[2] * factor)

    results = run_race(TINY, [Rival("wrong", "", build), RIVALS["jacfwd"]], rounds=1)
    reason = f"wrong numbers: hessian_diag is off by {error} of its largest"
    assert results["wrong"].cannot == reason
    assert results["jacfwd"].cannot is None


def test_race_gives_a_slow_contestant_fewer_rows_and_rounds(monkeypatch):
    _set(monkeypatch, SLOW_SECONDS=0.0, _TURN_SECONDS=0.0)
    result = run_race(TINY, [RIVALS["jvp_of_jvp"]], rounds=5)["jvp_of_jvp"]
    assert result.slow
    assert result.rows == 3  # of 96, the probe's
    assert result.calls == 2


def test_race_takes_turns_each_round_beginning_with_another(monkeypatch):
    _set(monkeypatch, _TURN_SECONDS=0.0)
    visits = []

    def build(name, fn, n):
        call = RIVALS["jacfwd"].build(fn, n)

        def noted(x):
            visits.append(name)
            return call(x)

        return noted

    rivals = [Rival(name, "", partial(build, name), gives=("jacobian",)) for name in "abc"]
    run_race(TINY, rivals, rounds=4)
    assert "".join(visits[-12:]) == "abc" + "bca" + "cab" + "abc"


def test_race_says_what_a_contestant_chose():
    def build(fn, n):
        call = RIVALS["jacfwd"].build(fn, n)

        def bundle(x):
            return call(x)

        bundle.choice = namedtuple("Choice", "method tile")("mine", 32)
        return bundle

    result = run_race(TINY, [Rival("a", "", build, gives=("jacobian",))], rounds=1)["a"]
    assert result.choice == {"method": "mine", "tile": 32}


def test_reference_is_float64_while_a_trace_in_float32_is_alive():
    def build(dtype):
        weights = np.array([0.1])
        return lambda x: like(x, weights) * x**2

    subject = Subject("square", "", build, n=1, m=1, rows=1)
    with numerics("float32"):
        alive = jax.jit(subject.build("float32"))
        assert alive(jnp.ones(1)).dtype == jnp.float32
    reference = reference_arrays(subject, np.array([[3.0]], np.float32))
    assert {array.dtype.name for array in reference.values()} == {"float64"}
    np.testing.assert_allclose(reference["value"], [[0.9]], rtol=1e-15)
    np.testing.assert_allclose(reference["jacobian"], [[[0.6]]], rtol=1e-15)
    np.testing.assert_allclose(reference["hessian_diag"], [[[0.2]]], rtol=1e-15)
    np.testing.assert_allclose(reference["laplacian"], [[0.2]], rtol=1e-15)


def test_relative_error_is_by_the_largest_of_each_output():
    expected = np.array([[[100.0, 1.0], [0.1, 0.0]], [[-200.0, 3.0], [0.0, 0.2]]])
    found = expected.copy()
    found[0, 0, 1] += 2.0  # 0.01 of 200
    found[1, 1, 0] += 0.05  # a quarter of 0.2
    assert relative_error(found, expected) == pytest.approx(0.25)
    assert relative_error(found[:, :1], expected[:, :1]) == pytest.approx(0.01)
    assert relative_error(np.full((1, 1), 0.5), np.zeros((1, 1))) == 0.5


def _set(monkeypatch, **settings):
    for name, value in settings.items():
        monkeypatch.setattr(f"hyperdiag.bench.race.{name}", value)

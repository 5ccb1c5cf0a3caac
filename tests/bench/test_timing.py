import math
import time
from collections import namedtuple
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench.benchmark_network import BenchmarkNetwork, like
from hyperdiag.bench.contestants import CONTESTANTS, Contestant
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.timing import (
    reference_arrays,
    reference_device,
    relative_error,
    time_network,
)
from hyperdiag.hyperdual import Derivatives, numerics

TINY = BenchmarkNetwork("tiny", "3-4-2, tanh", lambda dtype: mlp((3, 4, 2)), n=3, m=2, rows=96)


def _halving(x):
    """Halve until all are below 1: a loop that ends by what it finds."""
    return jax.lax.while_loop(lambda y: jnp.any(y > 1), lambda y: y / 2, x**2)


@pytest.mark.slow
def test_timing_of_all_contestants_times_and_checks_each():
    contestants = [contestant for contestant in CONTESTANTS.values() if contestant.requires is None]
    results = time_network(TINY, contestants, rounds=2)
    assert list(results) == [contestant.name for contestant in contestants]
    for contestant in contestants:
        result = results[contestant.name]
        assert result.cannot is None
        assert result.rows == 96
        assert not result.slow
        assert result.calls >= 2
        assert result.rows_per_s == result.rows / result.seconds > 0
        assert result.build_seconds > 0
        assert result.compile_seconds > 0
        assert tuple(result.errors) == contestant.gives
        assert max(result.errors.values()) < 1e-5


def test_timing_with_a_scale_of_rows_times_so_many():
    assert (
        time_network(TINY, [CONTESTANTS["jacfwd"]], rounds=1, rows_scale=0.25)["jacfwd"].rows == 24
    )


def test_timing_records_why_a_contestant_cannot_and_goes_on():
    loop = BenchmarkNetwork("loop", "a loop", lambda dtype: _halving, n=3, m=3, rows=8)
    results = time_network(loop, [CONTESTANTS["taylor"], CONTESTANTS["jvp_of_jvp"]], rounds=2)
    assert results["taylor"].cannot == "KeyError: while"
    assert results["taylor"].rows_per_s is None
    assert results["jvp_of_jvp"].cannot is None


@pytest.mark.parametrize(("factor", "error"), [(1.5, "0.5"), (math.nan, "inf")])
def test_timing_records_wrong_numbers_as_such(factor, error):
    def build(fn, n):
        right = CONTESTANTS["jvp_of_jvp"].build(fn, n)
        return lambda x: Derivatives(*right(x)[:2], right(x)[2] * factor)

    results = time_network(TINY, [Contestant("wrong", "", build), CONTESTANTS["jacfwd"]], rounds=1)
    reason = f"wrong numbers: hessian_diag is off by {error} of its largest"
    assert results["wrong"].cannot == reason
    assert results["jacfwd"].cannot is None


def test_timing_gives_a_slow_contestant_fewer_rows_and_rounds(monkeypatch):
    _set(monkeypatch, SLOW_SECONDS=0.0, _TURN_SECONDS=0.0)
    result = time_network(TINY, [CONTESTANTS["jvp_of_jvp"]], rounds=5)["jvp_of_jvp"]
    assert result.slow
    assert result.rows == 3  # of 96, the probe's
    assert result.calls == 2


def test_timing_takes_turns_each_round_beginning_with_another(monkeypatch):
    _set(monkeypatch, _TURN_SECONDS=0.0)
    visits = []

    def build(name, fn, n):
        call = CONTESTANTS["jacfwd"].build(fn, n)

        def noted(x):
            visits.append(name)
            return call(x)

        return noted

    contestants = [
        Contestant(name, "", partial(build, name), gives=("jacobian",)) for name in "abc"
    ]
    time_network(TINY, contestants, rounds=4)
    assert "".join(visits[-12:]) == "abc" + "bca" + "cab" + "abc"


def test_timing_says_what_a_contestant_chose():
    def build(fn, n):
        call = CONTESTANTS["jacfwd"].build(fn, n)

        def bundle(x):
            return call(x)

        bundle.choice = namedtuple("Choice", "method tile")("mine", 32)
        return bundle

    result = time_network(TINY, [Contestant("a", "", build, gives=("jacobian",))], rounds=1)["a"]
    assert result.choice == {"method": "mine", "tile": 32}


def test_reference_is_float64_while_a_trace_in_float32_is_alive():
    def build(dtype):
        weights = np.array([0.1])
        return lambda x: like(x, weights) * x**2

    network = BenchmarkNetwork("square", "", build, n=1, m=1, rows=1)
    with numerics("float32"):
        alive = jax.jit(network.build("float32"))
        assert alive(jnp.ones(1)).dtype == jnp.float32
    reference = reference_arrays(network, np.array([[3.0]], np.float32))
    assert {array.dtype.name for array in reference.values()} == {"float64"}
    np.testing.assert_allclose(reference["value"], [[0.9]], rtol=1e-15)
    np.testing.assert_allclose(reference["jacobian"], [[[0.6]]], rtol=1e-15)
    np.testing.assert_allclose(reference["hessian_diag"], [[[0.2]]], rtol=1e-15)
    np.testing.assert_allclose(reference["laplacian"], [[0.2]], rtol=1e-15)


def test_relative_error_is_by_the_largest_of_each_output():
    expected = np.array([[[100.0, 1.0], [0.1, 0.0]], [[-200.0, 3.0], [0.0, 0.2]]])
    actual = expected.copy()
    actual[0, 0, 1] += 2.0  # 0.01 of 200
    actual[1, 1, 0] += 0.05  # a quarter of 0.2
    assert relative_error(actual, expected) == pytest.approx(0.25)
    assert relative_error(actual[:, :1], expected[:, :1]) == pytest.approx(0.01)
    assert relative_error(np.full((1, 1), 0.5), np.zeros((1, 1))) == 0.5


def _set(monkeypatch, **settings):
    for name, value in settings.items():
        monkeypatch.setattr(f"hyperdiag.bench.timing.{name}", value)


def test_timing_of_wrong_numbers_as_asked_for():
    def build(fn, n):
        right = CONTESTANTS["jvp_of_jvp"].build(fn, n)
        return lambda x: Derivatives(*right(x)[:2], right(x)[2] * 1.5)

    contestants = [Contestant("half off", "", build)]
    result = time_network(TINY, contestants, rounds=1, wrong=math.inf)["half off"]
    assert result.cannot is None
    assert result.rows_per_s > 0
    assert result.errors["hessian_diag"] == pytest.approx(0.5, rel=1e-4)


def test_timing_after_its_deadline_has_the_first_contestant_once(monkeypatch):
    _set(monkeypatch, _TURN_SECONDS=0.0)
    contestants = [CONTESTANTS["jacfwd"], CONTESTANTS["jvp_of_jvp"]]
    results = time_network(TINY, contestants, rounds=4, deadline=time.monotonic() - 1)
    assert list(results) == ["jacfwd"]
    assert results["jacfwd"].calls == 1


def test_reference_is_computed_on_the_cpu_or_on_what_there_is(monkeypatch):
    assert reference_device().platform == "cpu"
    device = object()

    def devices(backend=None):
        if backend == "cpu":
            raise RuntimeError("Unknown backend cpu")
        return [device]

    monkeypatch.setattr(jax, "local_devices", devices)
    assert reference_device() is device


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("1.0 GB of memory"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
    ],
)
def test_timing_of_a_contestant_that_lacks_memory_takes_the_rows_that_fit(error):
    def build(fn, n):
        right = CONTESTANTS["jvp_of_jvp"].build(fn, n)

        def call(points):
            if len(points) > 3:
                raise error
            return right(points)

        return call

    result = time_network(TINY, [Contestant("large", "", build)], rounds=5)["large"]
    assert result.cannot is None
    assert (result.rows, result.slow) == (3, True)
    assert result.errors["hessian_diag"] < 1e-5

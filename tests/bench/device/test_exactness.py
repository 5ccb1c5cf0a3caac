import math
import time
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.bench.benchmark_network import BenchmarkNetwork
from hyperdiag.bench.dense import mlp
from hyperdiag.bench.device import exactness as module
from hyperdiag.bench.device.exactness import exactness, wrong_numbers
from hyperdiag.bench.device.parts import Part
from hyperdiag.hyperdual import OWN_METHODS, Derivatives, derivatives

TINY = BenchmarkNetwork("tiny", "3-4-2, tanh", lambda dtype: mlp((3, 4, 2)), n=3, m=2, rows=96)


def part():
    return Part("exactness", time.monotonic() + 600)


def test_exactness_holds_each_method_against_float64():
    results = exactness([TINY], part())
    assert [(r["method"], r["dtype"]) for r in results] == [
        (method, dtype) for dtype in ("float32", "float64") for method in OWN_METHODS
    ]
    for result in results:
        assert list(result["errors"]) == list(Derivatives._fields)
        limit, least = (1e-5, 1e-9) if result["dtype"] == "float32" else (1e-13, 0)
        assert least < max(result["errors"].values()) + (least == 0) * 1e-20 < limit
    assert wrong_numbers(results) == []


@pytest.mark.parametrize("factor", [1.02, math.nan])
def test_exactness_of_wrong_numbers_is_said(monkeypatch, factor):
    def wrong(fn, n, method, **options):
        bundle = derivatives(fn, n, method, **options)

        def call(points):
            value, jacobian, hessian_diag = bundle(points)
            return Derivatives(value, jacobian, hessian_diag * factor)

        return call

    monkeypatch.setattr(module, "derivatives", wrong)
    monkeypatch.setattr(module, "_CASES", (("hyperdual", "float32"),))
    (sentence,) = wrong_numbers(exactness([TINY], part()))
    off = "inf" if math.isnan(factor) else "0.02"
    assert sentence == f"hyperdual in float32 on tiny: hessian_diag is off by {off} of its largest"


def test_exactness_of_a_case_that_fails_is_said_and_the_others_go_on(monkeypatch):
    def build(dtype):
        if dtype == "float32":
            return mlp((3, 4, 2))
        return lambda x: jnp.asarray(np.ones(2)) @ x  # of three

    monkeypatch.setattr(module, "_CASES", (("hyperdual", "float32"), ("hyperdual", "float64")))
    broken = replace(TINY, name="broken", build=build)
    results = exactness([broken, TINY], part())
    assert [result["cannot"] is None for result in results] == [False, True, False, True]
    assert wrong_numbers(results)[0].startswith("hyperdual in float32 on broken failed: TypeError")


def test_exactness_without_time_does_its_first_case_and_names_the_others():
    late = Part("exactness", time.monotonic() - 1)
    results = exactness([TINY], late)
    assert len(results) == 1
    assert len(late.left_out) == 5
    assert late.left_out[0] == "hyperdual_adjoint in float32 on tiny"

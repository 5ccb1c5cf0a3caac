"""Rules that a user adds, and what happens without one."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core
from jax.interpreters import batching, mlir

from hyperdiag.hyperdual import OWN_METHODS, RuleError, derivatives
from hyperdiag.hyperdual._registry import RULES
from hyperdiag.hyperdual._rules.transcendental import JETS
from hyperdiag.hyperdual.rules import (
    Source,
    register,
    register_elementwise,
    register_linear,
    scale,
)

from .programs._check import QUICK, WALKS


def _primitive(name, compute):
    """A primitive that JAX can run and batch, but not differentiate."""
    primitive = core.Primitive(name)
    primitive.def_impl(compute)
    primitive.def_abstract_eval(lambda aval: aval)
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    batching.defvectorized(primitive)
    return primitive


cube_p = _primitive("cube_of_ours", lambda x: x * x * x)


@pytest.fixture
def clean_table():
    rules, jets = dict(RULES), dict(JETS)
    yield
    for table, before in ((RULES, rules), (JETS, jets)):
        table.clear()
        table.update(before)


def _net(x):
    weights = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)), x.dtype)
    return jnp.tanh(weights @ cube_p.bind(weights.T @ jnp.sin(weights @ x)))


def _same_in_jax(x):
    weights = np.random.default_rng(0).standard_normal((3, 4))
    return jnp.tanh(weights @ (weights.T @ jnp.sin(weights @ x)) ** 3)


def _assert_exact(method):
    points = np.random.default_rng(1).standard_normal((3, 4))
    bundle = derivatives(_net, 4, method, dtype="float64", tile=2)
    first = jax.jacrev(_same_in_jax)
    nested = jax.vmap(lambda x: (first(x), jax.jacfwd(first)(x)))
    with jax.enable_x64(True):
        found = bundle(points)
        jacobian, hessian = jax.jit(nested, compiler_options=QUICK)(points)
    np.testing.assert_allclose(found.jacobian, jacobian, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found.hessian_diag, np.einsum("rjii->rji", hessian), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("method", WALKS)
def test_primitive_without_derivative_is_refused_with_its_name_and_place(method):
    with pytest.raises(RuleError, match=r"'cube_of_ours' twice, at test_rules\.py:\d+ \(_net\)"):
        derivatives(_net, 4, method, tile=2)(np.ones((2, 4)))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", OWN_METHODS)
def test_elementwise_rule_with_its_own_derivatives_is_exact(method, clean_table):
    register_elementwise("cube_of_ours", lambda x: (x**3, 3 * x**2, 6 * x))
    _assert_exact(method)


@pytest.mark.parametrize("method", OWN_METHODS)
def test_rule_from_push_source_and_pull_is_exact(method, clean_table):
    @register("cube_of_ours")
    def cube(equation):
        (x,) = equation.values
        slope, bend = 3 * x**2, 6 * x
        return equation.record(
            push=lambda tangents: [scale(tangents[0], slope)],
            source=lambda jacobians: [[Source(bend, jacobians[0], jacobians[0])]],
            pull=lambda cotangents: ([cotangents[0] * slope], None),
        )

    _assert_exact(method)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("method", WALKS)
def test_linear_rule_gives_what_the_general_rule_gives(method, clean_table):
    fn = lambda x: jnp.cumsum(jnp.sin(x)) * x[0]
    points = np.random.default_rng(1).standard_normal((3, 4))
    with_rule = derivatives(fn, 4, method, dtype="float64", tile=2)(points)
    del RULES["cumsum"]
    general = derivatives(fn, 4, method, dtype="float64", tile=2)(points)
    register_linear("cumsum")
    registered = derivatives(fn, 4, method, dtype="float64", tile=2)(points)
    for a, b, c in zip(with_rule, general, registered, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)
        np.testing.assert_allclose(a, c, rtol=0, atol=1e-14)


def test_every_rule_is_for_a_primitive_that_this_jax_has():
    names = {found.name for found in gc.get_objects() if issubclass(type(found), core.Primitive)}
    assert sorted(set(RULES) - names - {"closed_call"}) == []  # 0.12 has none any more

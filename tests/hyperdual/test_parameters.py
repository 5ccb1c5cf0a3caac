"""Each parameter of each primitive that has a rule is met at more than one value."""

from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import OWN_METHODS, derivatives
from hyperdiag.hyperdual import rules as _all_rules  # noqa: F401, which enters them
from hyperdiag.hyperdual._jaxpr import equations
from hyperdiag.hyperdual._registry import PARAMETERS, RULES

from .programs import PROGRAMS

# Parameters that change no number, or that follow from the others and the operands.
WITHOUT_INFLUENCE = {
    "accuracy": "how exactly a compiler evaluates a function",
    "sharding": "where an array is kept",
    "out_sharding": "where a result is kept",
    "weak_type": "how the type of a later result is chosen, which has been chosen",
    "out_dtype": "the type of a product; only JAX itself sets it",
    "update_jaxpr": "of `scatter-add` always an addition",
    "update_consts": "of an addition there are none",
    "prevent_cse": "how a program is compiled",
    "differentiated": "how a program is compiled",
    "policy": "what is kept for a reverse mode",
    "num_consts": "of a function with a rule of its own: how its operands are listed",
    "jvp_jaxpr_fun": "the rule; a function, which has no text",
    "fwd_jaxpr_thunk": "the rule; a function, which has no text",
    "bwd": "the rule; a function, which has no text",
    "out_trees": "the structure of what the rule returns",
    "symbolic_zeros": "how the rule is called",
}
OF_A_CALL = {
    "in_shardings", "out_shardings", "in_layouts", "out_layouts", "donated_invars", "ctx_mesh",
    "keep_unused", "inline", "compiler_options_kvs", "name",
}  # fmt: skip


@pytest.fixture(scope="module")
def values():
    """{primitive: {parameter: the values that it takes in all programs}}."""
    taken = defaultdict(lambda: defaultdict(set))
    with jax.enable_x64(True):
        for program in PROGRAMS.values():
            traced = jax.make_jaxpr(program.fn)(jnp.asarray(program.points(1)[0]))
            for eqn in equations(traced):
                taken[eqn.primitive.name].update()
                for name, value in eqn.params.items():
                    taken[eqn.primitive.name][name].add(str(value))
    return taken


@pytest.mark.slow
def test_each_parameter_is_met_at_more_than_one_value(values):
    single = {
        (primitive, name)
        for primitive in RULES
        for name, met in values[primitive].items()
        if len(met) < 2 and name not in WITHOUT_INFLUENCE
    }
    assert {pair for pair in single if pair[0] != "jit" or pair[1] not in OF_A_CALL} == set()


def test_rules_know_the_parameters_of_this_version_of_jax(values):
    """An unknown one costs speed, not exactness: the general rule does the primitive then."""
    unknown = {
        primitive: set(values[primitive]) - known
        for primitive, known in PARAMETERS.items()
        if set(values[primitive]) - known
    }
    assert unknown == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", OWN_METHODS)
def test_primitive_with_a_parameter_that_its_rule_does_not_know_is_still_exact(method, monkeypatch):
    def network(x):
        return jnp.sin(x.reshape(2, 3).T.reshape(6)) * jnp.cumsum(x) ** 2

    monkeypatch.setitem(PARAMETERS, "reshape", frozenset({"new_sizes"}))
    monkeypatch.setitem(PARAMETERS, "transpose", frozenset())
    called = []
    for name in ("reshape", "transpose"):
        monkeypatch.setitem(RULES, name, lambda equation: called.append(equation))
    x = np.random.default_rng(0).standard_normal((2, 6))
    bundle = derivatives(network, 6, method, dtype="float64", tile=2)
    with jax.enable_x64(True):
        expected = jax.vmap(jax.hessian(network))(jnp.asarray(x))
    np.testing.assert_allclose(
        bundle(x).hessian_diag, jnp.diagonal(expected, axis1=-2, axis2=-1), rtol=1e-12, atol=1e-12
    )
    assert called == []

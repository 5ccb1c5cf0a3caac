"""The examples in the docstrings of the rules, by each method and against the dense Hessian."""

import doctest
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import METHODS, OWN_METHODS
from hyperdiag.hyperdual._equation import general
from hyperdiag.hyperdual._jaxpr import equations
from hyperdiag.hyperdual._registry import RULES

from .programs._check import QUICK, assert_close, reference

# Each rule with the names of its primitives.
PRIMITIVES = {}
for _name, _rule in RULES.items():
    PRIMITIVES.setdefault(_rule, []).append(_name)
BY_NAME = {rule.__name__: rule for rule in [*PRIMITIVES, general]}


def _primitives(fn, z):
    return {eqn.primitive.name for eqn in equations(jax.make_jaxpr(fn)(z))}


def _run_example(name, derive):
    """Run the example in the docstring of a rule with a `derive` of one's own.

    Returns how many of its lines were run, how many failed, and the report on these.
    """
    rule = BY_NAME[name]
    names = {"derive": derive, "jax": jax, "jnp": jnp, "lax": lax}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    example = parser.get_doctest(inspect.getdoc(rule), names, name, inspect.getfile(rule), 0)
    report = []
    runner.run(example, out=report.append)
    return runner.tries, runner.failures, "".join(report)


def derive(fn, x):
    """Print value (m,), Jacobian (m, n) and Hessian diagonal (m, n) of fn at x, as all find it."""
    vector = lambda z: jnp.atleast_1d(fn(z))
    with jax.enable_x64(True):
        z = jnp.asarray(x, float)
        first = jax.jacfwd if "while" in _primitives(vector, z) else jax.jacrev
        ours = lambda z: [METHODS[method].function(vector, z) for method in OWN_METHODS]
        together = lambda z: [reference(fn, z, first), *ours(z)]
        expected, *derived = jax.jit(together, compiler_options=QUICK)(z)
    for method, result in zip(OWN_METHODS, derived, strict=True):
        assert_close(result, expected, note=f"by {method}")
    for title, array in zip(("value", "J", "D"), derived[0], strict=True):
        entries = re.sub(r"'", "", str(np.vectorize("{:.6g}".format)(array).tolist()))
        print(f"{title:5s} {array.shape!s:7s} {entries}")


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", BY_NAME)
def test_example_of_a_rule_prints_what_it_says(name):
    rule, used = BY_NAME[name], set()

    def derive_and_note(fn, x):
        used.update(_primitives(fn, jnp.asarray(x, float)))
        derive(fn, x)

    tries, failures, report = _run_example(name, derive_and_note)
    assert tries > 0
    assert failures == 0, report
    if rule is general:
        assert used - set(RULES)
    else:
        assert used & set(PRIMITIVES[rule]), "the example does not use the rule"


def _parameters_in_example(name):
    """Return the parameters that a rule's primitives have where its example is traced."""
    parameters = set()

    def trace(fn, x):
        with jax.enable_x64(True):
            program = jax.make_jaxpr(lambda z: jnp.atleast_1d(fn(z)))(jnp.asarray(x, float))
        for eqn in equations(program):
            if eqn.primitive.name in PRIMITIVES[BY_NAME[name]]:
                parameters.update(eqn.params)

    _run_example(name, trace)
    return parameters


@pytest.mark.parametrize("name", BY_NAME)
def test_docstring_of_a_rule_lists_operands_and_parameters_and_where_to_read_on(name):
    text = inspect.getdoc(BY_NAME[name])
    assert re.search(r"^Operands", text, re.M)
    assert re.search(r"[Pp]arameters", text)
    if BY_NAME[name] is not general:
        listed = set(re.findall(r"\w+", text[text.index("\nOperands") :]))
        assert sorted(_parameters_in_example(name) - listed) == []
    links = re.findall(r"https://\S+", text)
    assert links
    assert all(re.match(r"https://(docs\.jax\.dev/en/latest|openxla\.org/xla)/", s) for s in links)

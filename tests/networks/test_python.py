import textwrap
from itertools import count

import numpy as np
import pytest

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks.python import build

_NUMBERS = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module under a name of its own, and return the name."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(source):
        name = f"users_module_{next(_NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return written


GOOD = """
import jax.numpy as jnp

NUMBER = 3

def make(scale=2.0):
    return lambda x: scale * jnp.stack([x[0] * x[1], x[0] + x[1]])

def scalar():
    return lambda x: jnp.sum(x**2)
"""


def test_python_builder_with_kwargs_gives_the_function(module):
    network = build(f"{module(GOOD)}:make", {"scale": 3.0}, n_inputs=2, dtype="float64")
    run = derivatives(network.function, 2, dtype="float64")([[5.0, 7.0]])
    assert np.asarray(run.value).tolist() == [[105.0, 36.0]]
    assert np.asarray(run.jacobian).tolist() == [[[21.0, 15.0], [3.0, 3.0]]]
    assert (network.name, network.inputs, network.outputs) == (
        "python",
        ("x1", "x2"),
        ("y1", "y2"),
    )


def test_python_scalar_function_has_one_output_and_given_names_hold(module):
    network = build(
        f"{module(GOOD)}:scalar", inputs=["a", "b"], outputs=["c"], ranges={"b": [0, 1]}
    )
    assert (network.inputs, network.outputs) == (("a", "b"), ("c",))
    assert network.ranges == {"b": (0.0, 1.0)}


def test_python_builder_of_a_network_keeps_its_names_and_ranges(module):
    name = module("""
        from hyperdiag.networks import Network

        def make():
            function = lambda x: x * 2
            return Network("mine", function, ("p", "q"), ("r", "s"), "abc", {"p": (0.0, 1.0)}, "!")
        """)
    network = build(f"{name}:make")
    assert (network.name, network.inputs, network.outputs, network.digest) == (
        "python",
        ("p", "q"),
        ("r", "s"),
        "abc",
    )
    assert network.ranges == {"p": (0.0, 1.0)}


@pytest.mark.parametrize("target", ["module", "module:", ":make", "", "module.make"])
def test_python_target_without_two_parts_is_refused(target):
    with pytest.raises(UsageError, match=r"reads like package\.module:builder"):
        build(target)


def test_python_missing_module_is_named():
    with pytest.raises(UsageError, match="no module 'no_such_module_of_ours'"):
        build("no_such_module_of_ours:make")


def test_python_module_that_a_module_imports_is_named_if_missing(module):
    with pytest.raises(UsageError, match="imports not_installed_here, which is not installed"):
        build(f"{module('import not_installed_here')}:make")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "failed: ZeroDivisionError"),
        ("def (", "failed: SyntaxError"),
        ("raise ModuleNotFoundError('get it first')", "failed: get it first"),
    ],
)
def test_python_module_that_fails_at_import_is_refused(module, source, message):
    with pytest.raises(UsageError, match=message):
        build(f"{module(source)}:make")


@pytest.mark.parametrize("target", [".relative:make", "a..b:make", "os.path.join:make"])
def test_python_module_name_that_is_no_module_is_refused(target):
    with pytest.raises(UsageError, match=r"network\.target"):
        build(target)


@pytest.mark.parametrize(
    ("attribute", "kwargs", "message"),
    [
        ("mke", {}, r"has no 'mke' \(closest: 'make'\)"),
        ("NUMBER", {}, "is a int, not a function"),
        ("make", {"sale": 1.0}, "does not take network.kwargs={'sale': 1.0}"),
        ("make", {"scale": 1.0, "other": 1}, "does not take network.kwargs"),
    ],
)
def test_python_attribute_that_is_no_such_builder_is_refused(module, attribute, kwargs, message):
    with pytest.raises(UsageError, match=message):
        build(f"{module(GOOD)}:{attribute}", kwargs, n_inputs=2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def make(x): return x", "It must be a builder"),
        ("def make(): return 3.0", "returned float; it must return"),
        ("def make(): pass", "returned NoneType; it must return"),
        ("def make(): raise KeyError('k')", "failed: KeyError: 'k'"),
        ("def make(): return lambda x: float(x[0])", "fails on one point of shape"),
        ("def make(): return lambda x: x if x[0] > 0 else -x", "fails on one point of shape"),
        ("def make(): return lambda x: x[None]", r"it returns \(1, 2\)"),
        ("def make(): return lambda x: (x, 'x')", "fails on one point of shape"),
        ("def make(): return lambda x: x.astype(int)", "floating-point numbers; it returns int"),
        ("def make(): return lambda x: x > 0", "floating-point numbers; it returns bool"),
        ("def make(): return lambda x: x * 1j", "floating-point numbers; it returns complex"),
        ("def make(): return lambda x: x @ x[:1]", "fails on one point of shape"),
        ("def make(): return lambda: 1", "fails on one point of shape"),
        ("def make(): return lambda x: x[:0]", "output"),
    ],
)
def test_python_builder_of_no_network_is_refused(module, body, message):
    with pytest.raises(UsageError, match=message):
        build(f"{module(body)}:make", n_inputs=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "how many inputs has it"),
        ({"n_inputs": 2, "outputs": ["a"]}, "network.outputs has 1 names"),
        ({"inputs": ["a", "a"]}, "names input a twice"),
        ({"n_inputs": 0}, "network"),
        ({"n_inputs": -1}, "network"),
    ],
)
def test_python_sizes_and_names_that_do_not_fit_are_refused(module, options, message):
    with pytest.raises(UsageError, match=message):
        build(f"{module(GOOD)}:make", **options)


def test_python_builder_of_another_function_each_time_is_refused(module):
    name = module("""
        import numpy as np

        def make(seed=None):
            weights = np.random.default_rng(seed).random(2, np.float32)
            return lambda x: x * weights
        """)
    with pytest.raises(UsageError, match=f"{name}:make returns another function each time"):
        build(f"{name}:make", n_inputs=2)
    assert build(f"{name}:make", {"seed": 1}, n_inputs=2).n_outputs == 2

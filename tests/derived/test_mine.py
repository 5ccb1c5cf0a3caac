import pickle
import sys

import numpy as np
import pytest

from hyperdiag.derived.mine import plan_mine
from hyperdiag.derived.rows import Names
from hyperdiag.messages.errors import HyperdiagError, UsageError

from .networks import bowl, rows_of

NAMES = Names(("a", "b"), ("a",), ("u", "v"))
POINTS = np.array([[0.5, 1.0], [1.5, -1.0], [0.0, 0.0]])
HEAD = "import numpy as np\n\n\ndef f(x, y, J, D):\n    "


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the user's into the current folder."""
    monkeypatch.chdir(tmp_path)
    names = []

    def write(source, name="user_module"):
        (tmp_path / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
        names.append(name)
        return f"{name}:f"

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_function_gets_all_rows_and_its_columns_come_back():
    names = rows_of(bowl(), POINTS[:, [0, 1, 1]]).names
    kind = plan_mine("tests.derived.networks:largest_move", names, POINTS[:, [0, 1, 1]], {})
    assert kind.columns == (("largest_move", "of the output"), ("twist", ""))
    rows = rows_of(bowl(), np.random.default_rng(0).normal(size=(20, 3)))
    jacobian, bend = rows.quantities["jacobian"], rows.quantities["hessian_diag"]
    largest, twist = kind.arrays(rows)
    moves = np.abs(jacobian[:, 0] * 0.01 * rows.points).max(axis=1)
    np.testing.assert_allclose(largest, moves, rtol=1e-14)
    np.testing.assert_allclose(twist, (jacobian * bend).sum(axis=(1, 2)), rtol=1e-13)


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ("return y[:, 0] * 2", '["twice"]'),
        ("return (y[:, 0] * 2)[:, None]", '("twice",)'),
        ('return {"twice": y[:, 0] * 2}', '{"twice": "EUR"}'),
    ],
)
def test_function_may_return_its_columns_in_any_of_these_ways(body, columns, module):
    target = module(f"{HEAD}{body}\n\n\nf.columns = {columns}\n")
    kind = plan_mine(target, NAMES, POINTS, {})
    assert [name for name, _ in kind.columns] == ["twice"]
    rows = rows_of(bowl(), POINTS[:, [0, 1, 1]])
    (array,) = kind.arrays(rows)
    np.testing.assert_array_equal(array, rows.quantities["value"][:, 0] * 2)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("f = 3\n", "derived.mine=user_module:f is a int, not a function"),
        ("def g(x, y, J, D): ...\n", "derived.mine: module user_module has no 'f'"),
        (f"{HEAD}return y\n", r"does not say what its columns are called: below it, f\.columns = "),
        (f"{HEAD}return y\nf.columns = [1, 2]\n", "does not say what its columns are called"),
        (f"{HEAD}return y\nf.columns = ['a']\n", r"returns \(3, 2\) for 3 rows; .* \(3, 1\)"),
        (f"{HEAD}return y.sum()\nf.columns = ['a']\n", r"returns \(\) for 3 rows"),
        (f"{HEAD}return y + 1j\nf.columns = ['a', 'b']\n", "it returns complex numbers"),
        (f"{HEAD}return {{'b': x}}\nf.columns = ['a']\n", r"returns \['b'\], and declares \['a'\]"),
        (f"{HEAD}return x / 'two'\nf.columns = ['a']\n", "fails on 3 rows: .*: "),
        (
            "def f(x): return x\nf.columns = ['a']\n",
            r"user_module:f is called with \(x, y, J, D\), .* and takes \(x\): too many positional",
        ),
        (
            f"{HEAD}return y - y.mean(axis=0)\nf.columns = ['a', 'b']\n",
            "'a' of a row is 0 by itself and .* among others: a row must not depend on other rows",
        ),
        ("import nothing_of_this_name\n", "user_module imports nothing_of_this_name"),
        ("raise OSError('no licence')\n", "importing user_module failed: OSError: no licence"),
    ],
)
def test_what_is_no_such_function_is_refused_with_a_sentence(source, sentence, module):
    with pytest.raises(UsageError, match=sentence):
        plan_mine(module(source), NAMES, POINTS, {})


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("f", "derived.mine reads like package.module:function; got 'f'"),
        ("os:system", "os is Python's own, and has no function for this"),
        ("user_modul:f", "no module 'user_modul' .looked in the current folder"),
    ],
)
def test_target_that_leads_nowhere_is_refused_with_a_sentence(target, sentence, module):
    module("f = 1\n")
    with pytest.raises(UsageError, match=sentence):
        plan_mine(target, NAMES, POINTS, {})


WITH_OPTIONS = """
def f(x, y, J, D, rate, shocks=(0.0,), *, style="plain"):
    shocks.append(1.0)  # of a copy
    return rate * y[:, 0] + sum(shocks) + (100.0 if style == "odd" else 0.0)


f.columns = ["a"]
"""


def test_options_are_keyword_arguments_and_none_is_changed_by_it(module):
    target = module(WITH_OPTIONS)
    options = {"rate": 0.03, "shocks": [0.5, 0.25], "style": "odd"}
    kind = plan_mine(target, NAMES, POINTS, options)
    rows = rows_of(bowl(), POINTS[:, [0, 1, 1]])
    right = 0.03 * rows.quantities["value"][:, 0] + 1.75 + 100
    for _ in range(2):
        np.testing.assert_allclose(kind.arrays(rows)[0], right, rtol=1e-15)
    assert kind.options == {"rate": 0.03, "shocks": [0.5, 0.25], "style": "odd"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, r"called with \(x, y, J, D\), .*missing a required argument: 'rate'"),
        ({"rat": 1}, r"D, rat=1\), .* takes \(x, y, J, D, rate, .*: missing a required argument"),
        ({"rate": 1, "style": "odd", "odd": 2}, "got an unexpected keyword argument 'odd'"),
        ({"rate": 1, "x": 2}, "multiple values for argument 'x'"),
        ({"rate": "high", "shocks": []}, "user_module:f fails on 3 rows: .*Error"),
    ],
)
def test_options_that_it_does_not_take_are_said_before_a_run_starts(options, sentence, module):
    with pytest.raises(UsageError, match=sentence):
        plan_mine(module(WITH_OPTIONS), NAMES, POINTS, options)


def test_site_that_does_not_allow_the_module_is_obeyed(module, tmp_path, monkeypatch):
    site = tmp_path / "site.yaml"
    site.write_text("allowed_modules: [tests.*]\n")
    monkeypatch.setenv("HYPERDIAG_SITE", str(site))
    target = module(f"{HEAD}return y\nf.columns = ['a', 'b']\n")
    with pytest.raises(UsageError, match="does not allow the module user_module"):
        plan_mine(target, NAMES, POINTS, {})


def test_worker_with_another_module_refuses(module):
    kind = plan_mine(module(f"{HEAD}return y\nf.columns = ['a', 'b']\n"), NAMES, POINTS, {})
    sent = pickle.loads(pickle.dumps(kind))
    sent.check_function()
    module(f"{HEAD}return 2 * y\nf.columns = ['a', 'b']\n")
    with pytest.raises(HyperdiagError, match="give the workers the same code"):
        pickle.loads(pickle.dumps(kind)).check_function()


def test_function_that_fails_later_says_which_it_is(module):
    body = "assert (y < 100).all(), 'too large'\n    return y\nf.columns = ['a', 'b']\n"
    kind = plan_mine(module(HEAD + body), NAMES, POINTS, {})
    with pytest.raises(HyperdiagError, match=r"user_module:f fails on 1 rows: .*: too large"):
        kind.arrays(rows_of(bowl(), np.full((1, 3), 50.0)))

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network
from hyperdiag.networks.network import checked_ranges, named, output_size


def _network(inputs=("a", "b"), outputs=("y",), ranges=None, **others):
    return Network("net", jnp.sum, inputs, outputs, "0123", ranges or {}, **others)


def test_network_sizes_and_bounds_follow_its_names_and_ranges():
    network = _network(("a", "b", "c"), ("y", "z"), {"c": (0.5, 2.0), "a": (-1.0, 1.0)})
    assert (network.n_inputs, network.n_outputs) == (3, 2)
    low, high = network.bounds()
    assert low.dtype == high.dtype == np.float64
    assert low.tolist() == [-1.0, -np.inf, 0.5]
    assert high.tolist() == [1.0, np.inf, 2.0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"inputs": ("a", "b", "a")}, "network 'net' names input a twice"),
        ({"outputs": ("y", "y")}, "network 'net' names output y twice"),
        ({"inputs": ()}, "network 'net' needs input names that are non-empty text"),
        ({"outputs": ("y", "")}, "network 'net' needs output names that are non-empty text"),
        ({"inputs": ("a", 2)}, "network 'net' needs input names that are non-empty text"),
        (
            {"inputs": ("alpha",), "ranges": {"alfa": (0.0, 1.0)}},
            "network 'net' has a range for 'alfa', which is not an input (closest: 'alpha')",
        ),
        (
            {"ranges": {"a": (1.0, 1.0)}},
            "network 'net': the range of 'a' must be finite with low < high; got [1.0, 1.0]",
        ),
        (
            {"ranges": {"b": (0.0, np.inf)}},
            "network 'net': the range of 'b' must be finite with low < high; got [0.0, inf]",
        ),
        (
            {"ranges": {"b": (np.nan, 1.0)}},
            "network 'net': the range of 'b' must be finite with low < high; got [nan, 1.0]",
        ),
    ],
)
def test_network_that_does_not_fit_is_refused_with_the_reason(change, problem):
    with pytest.raises(UsageError) as caught:
        _network(**change)
    assert caught.value.problems == (problem,)


def test_network_with_several_problems_names_them_all():
    with pytest.raises(UsageError) as caught:
        _network(("a", "a"), (), {"a": (2.0, 1.0), "q": (0.0, 1.0)})
    assert [problem.split(" ")[2] for problem in caught.value.problems] == [
        "names",
        "needs",
        "the",
        "has",
    ]


def test_typical_points_are_uniform_in_the_ranges_and_normal_elsewhere():
    network = _network(ranges={"b": (10.0, 12.0)})
    points = network.typical_points(5000, seed=3)
    assert (points.shape, points.dtype) == ((5000, 2), np.float64)
    assert stats.kstest(points[:, 0], "norm").pvalue > 1e-3
    assert stats.kstest(points[:, 1], "uniform", (10, 2)).pvalue > 1e-3
    np.testing.assert_array_equal(points, network.typical_points(5000, seed=3))
    assert (points != network.typical_points(5000, seed=4)).all()


def test_typical_points_are_where_the_data_of_the_training_were():
    moments = {"a": (5.0, 0.5), "b": (1.0, 1.0)}
    network = _network(("a", "b", "c"), ranges={"b": (10.0, 12.0)}, moments=moments)
    points = network.typical_points(5000, seed=3)
    # In units of the deviation: SciPy 1.18.1 takes no parameters of a normal distribution here.
    assert stats.kstest((points[:, 0] - 5) / 0.5, "norm").pvalue > 1e-3
    assert stats.kstest(points[:, 1], "uniform", (10, 2)).pvalue > 1e-3
    assert stats.kstest(points[:, 2], "norm").pvalue > 1e-3


@pytest.mark.parametrize("pair", [(5.0, -1.0), (1.0, 0.0), (np.inf, 1.0), ("5", "x"), (1, 2, 3)])
def test_moments_that_are_none_are_refused(pair):
    with pytest.raises(UsageError, match="the moments of 'a' must be a finite mean"):
        _network(moments={"a": pair})


def test_moments_of_no_input_are_refused():
    with pytest.raises(UsageError, match="has moments for 'c', which is not an input"):
        _network(moments={"c": (0.0, 1.0)})


def test_named_without_names_counts_from_one():
    assert named("x", 3, None) == ("x1", "x2", "x3")
    assert named("y", 2, ["b", "a"]) == ("b", "a")


@pytest.mark.parametrize(("prefix", "kind"), [("x", "inputs"), ("y", "outputs")])
def test_named_with_another_number_of_names_is_refused(prefix, kind):
    message = f"network.{kind} has 1 names; the network has 2 {kind}"
    with pytest.raises(UsageError, match=message):
        named(prefix, 2, ["a"])


def test_checked_ranges_become_pairs_of_floats():
    checked = checked_ranges({"a": [0, 1], "b": (-1.5, 2)})
    assert checked == {"a": (0.0, 1.0), "b": (-1.5, 2.0)}
    assert all(type(end) is float for ends in checked.values() for end in ends)
    assert checked_ranges(None) == checked_ranges({}) == {}


def test_checked_ranges_names_each_that_is_not_two_numbers():
    with pytest.raises(UsageError) as caught:
        checked_ranges({"a": [0], "b": [0, 1], "c": None, "d": ["low", 1]})
    assert [problem.split("'")[1] for problem in caught.value.problems] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("function", "size"),
    [(jnp.sum, 1), (lambda x: x[:2], 2), (lambda x: jnp.concatenate([x, x]), 6)],
    ids=["scalar", "part", "twice"],
)
def test_output_size_is_that_of_one_point(function, size):
    assert output_size(function, 3, "float32") == output_size(function, 3, "float64") == size


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[None], r"shape \(m,\) or \(\); it returns \(1, 3\)"),
        (lambda x: [x], "it returns list"),
        (lambda x: x.astype(jnp.int32), "must return floating-point numbers; it returns int32"),
        (lambda x: x @ jnp.ones(4), r"fails on one point of shape \(3,\): TypeError: "),
        (lambda x: 1 / 0, r"fails on one point of shape \(3,\): ZeroDivisionError: "),
    ],
    ids=["matrix", "list", "integers", "wrong width", "raises"],
)
def test_output_size_of_what_is_no_function_of_a_point_is_refused(function, message):
    with pytest.raises(UsageError, match=message):
        output_size(function, 3, "float32")


def test_output_size_of_a_function_that_fails_without_a_word_names_the_class():
    def function(x):
        raise RuntimeError

    with pytest.raises(UsageError, match=r"\): RuntimeError$"):
        output_size(function, 3, "float32")

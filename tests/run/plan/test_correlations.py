import numpy as np
import pytest

from hyperdiag.messages.errors import Problems, UsageError
from hyperdiag.run.plan.correlations import check_correlations, of_covariance


def test_covariance_is_taken_apart_and_is_what_its_parts_make():
    covariance = {"a": {"a": 0.04, "b": -0.006}, "b": {"b": 0.09}, "c": {"c": 1.0, "a": 0.1}}
    problems = Problems()
    deviations, correlations = of_covariance("d", covariance, problems)
    problems.check()
    assert deviations == {"a": 0.2, "b": 0.3, "c": 1.0}
    assert correlations["a"]["b"] * 0.2 * 0.3 == pytest.approx(-0.006, rel=1e-15)
    assert correlations["c"]["a"] * 0.2 == pytest.approx(0.1, rel=1e-15)


def test_covariance_without_variances_is_refused_with_all_of_them():
    problems = Problems()
    of_covariance("d", {"a": {"b": 0.1}, "b": {"b": 0.0, "c": 1.0}, "e": {"e": np.inf}}, problems)
    with pytest.raises(UsageError) as raised:
        problems.check()
    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "d.covariance.a needs a variance above zero",
        "d.covariance.b needs a variance above zero",
        "d.covariance.e needs a variance above zero",
        "d.covariance.c needs a variance",
    ]


@pytest.mark.parametrize(
    ("correlations", "sentence"),
    [
        ({"a": {"b": 0.5}, "b": {"a": 0.5, "c": -0.5}}, None),
        ({"a": {"spots": 0.5}}, r"k: 'spots' has no deviation \(closest: 'spot'\)"),
        ({"a": {"a": 1.0}}, "it must be of two inputs, and from -1 to 1"),
        ({"a": {"b": 1.1}}, r"'a' and 'b' is 1\.1; it must be"),
        ({"a": {"b": float("nan")}}, "'a' and 'b' is nan; it must be"),
        ({"a": {"b": 0.5}, "b": {"a": 0.4}}, "'b' and 'a' is said twice, and differs"),
        ({"a": {"b": 0.9, "c": 0.9}, "b": {"c": -0.9}}, "not positive semidefinite"),
    ],
)
def test_correlations_are_checked(correlations, sentence):
    problems = Problems()
    check_correlations("k", correlations, ["a", "b", "c", "spot"], problems)
    if sentence is None:
        problems.check()
    else:
        with pytest.raises(UsageError, match=sentence):
            problems.check()

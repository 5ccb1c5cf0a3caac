import pytest

from hyperdiag.config.derived import DerivedConfig
from hyperdiag.messages.errors import UsageError


@pytest.mark.parametrize(
    ("sections", "quantities"),
    [
        ({}, ()),
        ({"propagation": {}}, ("jacobian", "hessian_diag")),
        ({"propagation": {"cross_terms": True}}, ("jacobian", "hessian")),
        ({"propagation": {"correlations": {"a": {"b": 0.5}}}}, ("jacobian", "hessian")),
        ({"propagation": {"covariance": {"a": {"a": 0.5}}}}, ("jacobian", "hessian")),
        ({"delta_gamma": {"shocks": {"a": 1}}}, ("jacobian", "hessian_diag")),
        ({"delta_gamma": {"cross_terms": True}}, ("jacobian", "hessian")),
        (
            {"delta_gamma": {"cross_terms": True, "by_input": True}},
            ("jacobian", "hessian", "hessian_diag"),
        ),
        ({"elasticity": {}}, ("value", "jacobian")),
        ({"relative": {}}, ("value", "jacobian")),
        ({"standardised": {}, "top": {}}, ("jacobian",)),
        ({"greeks": {"rate": "r", "time": "t"}}, ("jacobian",)),
        ({"greeks": {"spot": "s"}}, ("jacobian", "hessian_diag")),
        ({"mine": "a:b"}, ("value", "jacobian", "hessian_diag")),
        ({"mine": {"target": "a:b"}}, ("value", "jacobian", "hessian_diag")),
    ],
)
def test_what_a_kind_needs_is_computed_after_what_is_written(sections, quantities):
    derived = DerivedConfig.model_validate(sections)
    assert derived.quantities == quantities
    assert derived.computed(["laplacian", "jacobian"]) == tuple(
        dict.fromkeys(["laplacian", "jacobian", *quantities])
    )


def test_columns_are_those_of_deviations_and_shocks():
    amounts = {"a": 1.0, "b": "spread"}
    sections = {
        **{"propagation": {"deviations": amounts}, "delta_gamma": {"shocks": {"a": "dx"}}},
        **{"standardised": {"deviations": {"b": "s"}}, "top": {"deviations": {"b": "t"}}},
    }
    assert DerivedConfig.model_validate(sections).columns == {"spread", "dx", "s", "t"}
    assert DerivedConfig().columns == set()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "derived.propagation.deviations={a: [1]}",
            r"derived\.propagation\.deviations\.a must be ",
        ),
        ("derived.propagation.deviations={}", r"derived\.propagation\.deviations must be .*1 item"),
        ("derived.top.count=0", r"derived\.top\.count must be greater than 0; got 0"),
        ("derived.greeks.theta_per=week", "must be one of year, calendar_day, trading_day"),
        ("derived.greeks.spot=[]", r"derived\.greeks\.spot must be "),
        ("+derived.greeks.spots=a", r"derived\.greeks\.spots is no key here"),
        ("derived.delta_gamma.by_input=maybe", r"by_input must be a boolean"),
        ("derived.mine=3", r"derived\.mine must be "),
        ("+derived.mine={target: 'a:b', opions: {}}", r"derived\.mine\.opions is no key here"),
        ("+derived.mine={options: {}}", r"derived\.mine\.target is (required|missing)"),
        ("+derived.mine={target: 'a:b', options: {1: 2}}", r"derived\.mine\.options"),
    ],
)
def test_value_that_is_none_is_refused_with_its_key(override, sentence, configure):
    with pytest.raises(UsageError, match=sentence):
        configure("derived=[propagation,top,greeks,delta_gamma]", override)

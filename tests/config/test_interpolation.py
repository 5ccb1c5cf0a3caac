"""Interpolations that lead nowhere, of every kind that OmegaConf knows."""

import pytest
from omegaconf import OmegaConf

from hyperdiag.config.interpolation import check_interpolations
from hyperdiag.messages.errors import UsageError

CASES = {
    "${oc.env:NOPE}": r"a\.b needs the environment variable NOPE, which is not set",
    "x/${oc.env:NOPE}/y": r"a\.b needs the environment variable NOPE",
    "${a.sea}": r"a\.b refers to a\.sea, and there is no such key \(closest: 'a\.seat'\)",
    "${.seats}": r"a\.b refers to seats, and there is no such key",
    "${q}": r"a\.b refers to q, which is required: q=\.\.\.",
    "${a.b}": r"a\.b refers to itself",
    "${c.0}": r"a\.b refers to itself",
    "${a}": r"a\.b refers to itself",
    "${oc.what:1}": r"a\.b has an interpolation \$\{oc\.what:\.\.\.\}, of which nothing is known",
    "${at:%Y}": r"a\.b: run\.date must be an ISO date or time",
    "${oc.decode:'['}": r"a\.b: mismatched input",
}


@pytest.mark.parametrize("value", CASES)
def test_interpolation_that_leads_nowhere_is_said_with_its_key(value):
    config = {"a": {"b": value, "seat": 3}, "c": ["${a.b}"], "q": "???", "run": {"date": "new"}}
    with pytest.raises(UsageError, match=rf"^{CASES[value]}"):
        check_interpolations(OmegaConf.create(config))


def test_every_interpolation_that_leads_nowhere_is_said_at_once():
    config = OmegaConf.create({"a": "${x}", "b": {"c": [1, {"d": "${oc.env:NOPE}"}]}, "e": "${f}"})
    with pytest.raises(UsageError) as error:
        check_interpolations(config)
    assert [problem.split()[0] for problem in error.value.problems] == ["a", "b.c[1].d", "e"]


def test_interpolations_that_lead_somewhere_are_left_as_they_are(monkeypatch):
    monkeypatch.setenv("SOME", "where")
    values = {
        "a": "${oc.env:SOME}",
        "b": {"c": "${..a}", "d": "${e}", "f": "???"},
        "e": {"g": ["${oc.env:NOPE,5}", "${b.c}"]},
    }
    config = OmegaConf.create(values)
    check_interpolations(config)
    assert OmegaConf.to_container(config) == values


def test_configuration_of_a_run_says_what_its_interpolations_lack(configure):
    with pytest.raises(UsageError) as error:
        configure("output.path=${oc.env:NOPE}", "dataset.rows=${rows}", "run.date=2026-11-23")
    assert sorted(problem.split()[0] for problem in error.value.problems) == [
        "dataset.rows",
        "output.path",
    ]
    with pytest.raises(UsageError, match=r"^run\.date needs the environment variable NOPE"):
        configure("run.date=${oc.env:NOPE}")

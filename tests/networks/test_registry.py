from itertools import count

import numpy as np
import pytest

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network, network_names, network_options, network_summary

_NUMBERS = count()
MODULE = '''
from hyperdiag.networks import Network


def build(slope, offset=1.0, dtype="float32"):
    """Straight lines, from a package.

    More.
    """
    return Network(dtype, lambda x: slope * x + offset, ("p",), ("q",), "abc", {})
'''


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """An importable distribution that registers networks; returns its module's name."""

    def installed(**entry_points):
        module = f"users_package_{next(_NUMBERS)}"
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {value.format(module)}" for name, value in entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[hyperdiag.networks]", *lines, ""]))
        (tmp_path / f"{module}.py").write_text(MODULE)
        monkeypatch.syspath_prepend(tmp_path)
        return module

    return installed


def test_names_without_packages_are_the_built_in_ones():
    assert {"chain", "python", "qlknn"} <= set(network_names())
    assert network_names() == sorted(network_names())


def test_options_of_chain_are_those_of_its_builder_without_dtype():
    options = network_options("chain")
    assert options["layers"] == "???"
    assert options["layout"] == "out_in"
    assert set(options) == {
        "layers",
        "weights",
        "layout",
        "weight_order",
        "input_scaling",
        "output_scaling",
        "seed",
        "inputs",
        "outputs",
        "ranges",
    }


def test_summary_of_chain_is_one_line():
    assert network_summary("chain").startswith("Chain of layers")
    assert "\n" not in network_summary("chain")


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"name": "chian"}, ["no network is registered as 'chian' (closest: 'chain')"]),
        ({"name": "zzzzzz"}, ["no network is registered as 'zzzzzz'; `hyperdiag networks` lists"]),
        ({"name": "chain"}, ["network 'chain' needs network.layers=..."]),
        ({"name": "chain", "layers": "???"}, ["network 'chain' needs network.layers=..."]),
        ({"name": "chain", "layers": None}, ["network 'chain' needs network.layers=..."]),
        (
            {"name": "chain", "layer": "Dense(2, 1)"},
            [
                "network 'chain' has no option 'network.layer' (closest: 'layers')",
                "network 'chain' needs network.layers=...",
            ],
        ),
        ({"name": "qlknn", "seed": 1}, ["network 'qlknn' has no option 'network.seed'; it has: n"]),
        (
            {"name": "chain", "layers": "Dense(2, 1)", "dtype": "float64"},
            ["network 'chain' has no option 'network.dtype'"],
        ),
    ],
)
def test_build_from_settings_that_do_not_fit_names_each_problem(settings, problems):
    with pytest.raises(UsageError) as caught:
        build_network(settings)
    assert len(caught.value.problems) == len(problems)
    for found, expected in zip(caught.value.problems, problems, strict=True):
        assert found.startswith(expected)


def test_build_several_unknown_options_come_in_the_order_of_the_settings():
    names = [f"option_{letter}" for letter in "qwertyuiop"]
    with pytest.raises(UsageError) as caught:
        build_network({"name": "qlknn", **dict.fromkeys(names, 1)})
    found = [problem.split("'")[3] for problem in caught.value.problems]
    assert found == [f"network.{name}" for name in names]


def test_build_keeps_the_settings_it_was_given():
    settings = {"name": "chain", "layers": "Dense(2, 1)", "seed": 3}
    network = build_network(settings)
    assert settings == {"name": "chain", "layers": "Dense(2, 1)", "seed": 3}
    assert network.name == "chain"


def test_entry_point_of_a_distribution_is_a_network_as_any_other(distribution):
    distribution(lines="{}:build")
    assert "lines" in network_names()
    assert network_options("lines") == {"slope": "???", "offset": 1.0}
    assert network_summary("lines") == "Straight lines, from a package."
    network = build_network({"name": "lines", "slope": 3.0}, dtype="float64")
    assert network.name == "float64"
    run = derivatives(network.function, 1, dtype="float64")([[2.0]])
    np.testing.assert_array_equal(run.value, [[7.0]])
    with pytest.raises(UsageError, match=r"needs network\.slope"):
        build_network({"name": "lines"})


def test_entry_point_with_a_built_in_name_does_not_replace_it(distribution):
    distribution(chain="{}:build")
    assert "layers" in network_options("chain")


@pytest.mark.parametrize("value", ["{}_missing:build", "{}:missing"])
def test_entry_point_that_leads_nowhere_is_refused_with_its_name(distribution, value):
    distribution(broken=value)
    with pytest.raises(UsageError, match="broken"):
        build_network({"name": "broken"})

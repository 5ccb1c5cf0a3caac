import re

import pytest

from hyperdiag.networks import network_names


def test_networks_lists_all_that_are_registered(invoke):
    done = invoke("networks")
    assert done.returncode == 0
    for name in network_names():
        assert re.search(rf"^{name} ", done.stdout, re.M)


def test_networks_shows_qlknn_whole(invoke):
    text = invoke("networks", "network=qlknn").stdout
    assert re.search(r"^digest [0-9a-f]{16}$", text, re.M)
    assert "10 inputs, 8 outputs" in text
    assert "Hessian diagonal: not zero at 256 of 256 points drawn from the trained ranges\n" in text
    assert re.search(r"^normni +0\.5 \.\. 1 +0\.75", text, re.M)
    assert "…" not in text


def test_networks_at_a_point_shows_the_derivatives_there(invoke, tmp_path):
    (tmp_path / "cube.py").write_text("def build():\n    return lambda x: x[:1] ** 3 * x[1]\n")
    text = invoke(
        *("networks", "network=python", "network.target=cube:build"),
        *("network.inputs=[a,b]", "point=[2,5]"),
    ).stdout
    assert re.search(r"^y1 +40", text, re.M)
    jacobian, hessian_diag = text.split("Jacobian at the point")[1].split("Hessian diagonal")
    assert re.search(r"^a +60 *\nb +8", jacobian, re.M)
    assert re.search(r"^a +60 *\nb +0", hessian_diag, re.M)


def test_networks_of_relus_says_that_the_hessian_diagonal_is_zero(invoke):
    text = invoke(
        "networks", "network=chain", "network.layers='Chain(Dense(2, 8, relu), Dense(8, 1))'"
    ).stdout
    assert (
        "diagonal: zero at each of 256 points drawn from a standard normal distribution\n" in text
    )


@pytest.mark.slow
def test_networks_says_at_how_many_points_a_hessian_diagonal_is_zero_or_not_finite(
    invoke, tmp_path
):
    """Where it is zero at some, and where it is not a number at others."""
    code = "import jax.numpy as jnp\n"
    code += "def build(): return lambda x: jnp.maximum(x[:1], 0) ** 2 * x[1]\n"
    code += "def build_root(): return lambda x: jnp.sqrt(x[:1]) + x[1]\n"
    (tmp_path / "some.py").write_text(code)
    python = ["networks", "network=python", "network.inputs=[a,b]"]
    text = invoke(*python, "network.target=some:build", "network.ranges={b: [0, 1]}").stdout
    drawn = "drawn from the trained ranges, from a standard normal distribution where none is known"
    count = re.search(rf"diagonal: not zero at (\d+) of 256 points {drawn}$", text, re.M)
    assert 100 < int(count[1]) < 156
    text = invoke(*python, "network.target=some:build_root").stdout
    counts = re.search(r"not zero at (\d+) of 256 points .*; not finite at (\d+) of them", text)
    assert int(counts[1]) + int(counts[2]) == 256
    assert 100 < int(counts[2]) < 156


def test_networks_at_a_point_of_another_width_refuses(invoke):
    done = invoke("networks", "network=chain", "point=[1,2]")
    assert done.returncode == 2
    assert "point must have 5 numbers, for x1, x2, x3, x4, x5" in done.stderr


def test_networks_of_many_inputs_and_outputs_shows_some_and_counts_the_rest(invoke):
    done = invoke("networks", "network=chain", "network.layers='Dense(400, 300, tanh)'")
    lines = done.stdout.splitlines()
    assert len(lines) < 70
    assert lines.count("388 more") == 3  # of the inputs: once each, in the Jacobian, in D
    assert "288 more" in lines
    header = next(line for line in lines if line.startswith("input") and "y1" in line)
    assert header.split() == ["input", *(f"y{i}" for i in range(1, 9)), "292", "more"]

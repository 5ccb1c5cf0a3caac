"""Where the data of the training were, from how a graph scales its inputs."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

from .models import model_of, saved

MEAN = np.array([5000, -3, 0.01], np.float32)
DEVIATION = np.array([2, 50, 1e-3], np.float32)
W = np.random.default_rng(3).standard_normal((3, 2)).astype(np.float32)
LAYER = ("Tanh", "z", "t"), ("MatMul", "t w", "y")
ARRAYS = {"mean": MEAN, "deviation": DEVIATION, "inverse": 1 / DEVIATION, "w": W}
ARRAYS |= {"variance": DEVIATION**2, "one": np.ones(3, np.float32), "zero": np.zeros(3, np.float32)}
ARRAYS |= {"means": MEAN[None], "axes": np.array([1])}
SCALED = {
    "division": [("Sub", "x mean", "c"), ("Div", "c deviation", "z")],
    "product": [("Sub", "x mean", "c"), ("Mul", "c inverse", "z")],
    "a row of means": [("Sub", "x means", "c"), ("Mul", "c inverse", "z")],
    "other type": [
        ("Identity", "x", "a"), ("Flatten", "a", "b"), ("Identity", "b", "d"),
        ("Sub", "d mean", "c"), ("Div", "c deviation", "z"),
    ],
    "batch normalization": [
        ("BatchNormalization", "x one zero mean variance", "z", {"epsilon": 1e-12}),
    ],
}  # fmt: skip


def _built(nodes, folder, domains=()):
    names = {name for _, inputs, *_ in nodes for name in inputs.split()}
    model = model_of(
        *nodes, domains=domains, inputs={"x": [None, 3]}, outputs={"y": [None, 2]},
        constants={name: ARRAYS[name] for name in names & ARRAYS.keys()},
    )  # fmt: skip
    path = saved(model, folder / "m.onnx")
    return build_network({"name": "onnx", "path": path}, "float64")


@pytest.mark.parametrize("form", SCALED)
def test_mean_and_deviation_are_those_that_the_graph_scales_with(form, tmp_path):
    network = _built([*SCALED[form], *LAYER], tmp_path)
    mean, deviation = np.array([network.moments[name] for name in network.inputs]).T
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(deviation, DEVIATION, rtol=1e-6)
    assert library_difference(network, "float64") < 1e-4  # the library computes in float32


def test_a_scaler_of_scikit_learn_tells_them(tmp_path):
    numbers = {"offset": MEAN.tolist(), "scale": (1 / DEVIATION).tolist(), "domain": "ai.onnx.ml"}
    network = _built([("Scaler", "x", "z", numbers), *LAYER], tmp_path, domains=["ai.onnx.ml"])
    mean, deviation = np.array([network.moments[name] for name in network.inputs]).T
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(deviation, DEVIATION, rtol=1e-6)


@pytest.mark.parametrize(
    "nodes",
    [
        [("Sub", "x mean", "z")],
        [("Sub", "mean x", "c"), ("Div", "c deviation", "z")],
        [("Sub", "x mean", "c"), ("Div", "deviation c", "z")],
        [("Div", "x zero", "c"), ("Sub", "c mean", "z")],
        [("Sub", "x mean", "c"), ("Div", "c zero", "z")],
        [
            ("Unsqueeze", "x axes", "a"),
            ("Sub", "a mean", "c"),
            ("Div", "c deviation", "d"),
            ("ReduceSum", "d axes", "z", {"keepdims": 0}),
        ],
        [("Tanh", "x", "a"), ("Sub", "a mean", "c"), ("Div", "c deviation", "z")],
    ],
)
def test_what_is_no_scaling_tells_nothing(nodes, tmp_path):
    assert _built([*nodes, *LAYER], tmp_path).moments == {}


def test_an_input_that_is_not_scaled_by_a_number_leaves_fixed_rows_what_they_are(tmp_path):
    model = model_of(
        ("Sub", "x mean", "c"), ("Mul", "c mask", "z"), *LAYER, inputs={"x": [4, 3]},
        outputs={"y": [4, 2]}, constants={"mean": MEAN, "mask": np.float32([1, 0, 2]), "w": W},
    )  # fmt: skip
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")}, "float64")
    assert network.inputs == ("x1", "x2", "x3")
    assert list(network.moments) == ["x1", "x3"]


@pytest.mark.parametrize("operator", ["Sub", "Identity", "Constant"])
def test_a_node_without_results_changes_nothing(operator, tmp_path):
    model = model_of(*SCALED["division"], *LAYER, constants=ARRAYS, outputs={"y": [None, 2]})
    value = {"value": numpy_helper.from_array(MEAN)} if operator == "Constant" else {}
    inputs = [] if operator == "Constant" else ["x"]
    model.graph.node.append(helper.make_node(operator, inputs, [], **value))
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")}, "float64")
    assert len(network.moments) == 3


def test_rows_that_act_on_one_another_where_the_data_are_are_refused(tmp_path):
    """Far from them, at x near zero, z is about -5,000 and clipped to -4 in each row."""
    model = model_of(
        ("Sub", "x mean", "c"), ("Div", "c deviation", "z"), ("Clip", "z low high", "r"),
        ("ReduceMax", "r zeroth", "m", {"keepdims": 1}), ("Add", "r m", "y"),
        inputs={"x": [None, 2]}, outputs={"y": [None, 2]},
        constants={
            "mean": np.float32(5000), "deviation": np.float32(1), "zeroth": np.array([0]),
            "low": np.float32(-4), "high": np.float32(4),
        },
    )  # fmt: skip
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")}, "float64")
    with pytest.raises(UsageError, match="Do its rows act on one another"):
        library_difference(network, "float64")


@pytest.mark.parametrize("operator", ["Sub", "Div", "Mul", "BatchNormalization"])
def test_nodes_without_their_operands_are_refused_as_before(operator, tmp_path):
    first = [("Sub", "x mean", "c")] if operator in ("Div", "Mul") else [("Identity", "x", "c")]
    with pytest.raises(UsageError, match=r"operand|input"):
        _built([*first, (operator, "c", "z"), *LAYER], tmp_path)


def test_constants_of_nodes_serve_as_those_of_the_graph(tmp_path):
    model = model_of(
        ("Constant", "", "mean", {"value": numpy_helper.from_array(MEAN)}),
        ("Constant", "", "deviation", {"value": numpy_helper.from_array(DEVIATION)}),
        *SCALED["division"], *LAYER,
        outputs={"y": [None, 2]}, constants={"w": W},
    )  # fmt: skip
    whole = helper.make_tensor_value_info("kind", TensorProto.INT64, [None, 1])
    model.graph.input.append(whole)
    model.graph.node.append(helper.make_node("Cast", ["kind"], ["k"], to=TensorProto.FLOAT))
    model.graph.node.append(helper.make_node("Add", ["y", "k"], ["y2"]))
    model.graph.output[0].name = "y2"
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")})
    assert network.not_differentiated == ("kind",)
    assert network.moments.keys() == {"x1", "x2", "x3"}
    assert network.typical_points(3)[:, 3].tolist() == [0, 0, 0]

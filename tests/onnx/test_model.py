"""Which numbers go into a model, which come out, and where its rows are."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

from .models import model_of, saved

W = np.random.default_rng(3).standard_normal((3, 2)).astype(np.float32)
LAYER = (("MatMul", "x w", "h"), ("Tanh", "h", "y"))


def _built(model, folder, dtype="float64", **options):
    path = saved(model, folder / "m.onnx")
    return build_network({"name": "onnx", "path": path, **options}, dtype)


def _derived(network, points):
    rows, n = points.shape
    return derivatives(network.function, n, "hyperdual", dtype="float64", tile=rows)(points)


def _check_layer(network, w=W):
    """Against tanh(x W) in NumPy, and its derivatives in closed form."""
    points = np.random.default_rng(0).standard_normal((5, 3))
    value, jacobian, hessian_diag = _derived(network, points)[:3]
    h = points @ w.astype(np.float64)
    t, slope = np.tanh(h), np.cosh(h) ** -2.0
    np.testing.assert_allclose(value, t, rtol=1e-12)
    np.testing.assert_allclose(jacobian, slope[:, :, None] * w.T, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(
        hessian_diag,
        (-2 * t * slope)[:, :, None] * w.T.astype(np.float64) ** 2,
        rtol=1e-11,
        atol=1e-14,
    )


@pytest.mark.parametrize("rows", [None, "N", 1, 4])
def test_rows_are_found_whatever_the_file_says_of_their_number(rows, tmp_path):
    network = _built(
        model_of(*LAYER, inputs={"x": [rows, 3]}, outputs={"y": [rows, 2]}, constants={"w": W}),
        tmp_path,
    )
    _check_layer(network)
    assert library_difference(network, "float64") < 1e-6


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT4E2M1"])
def test_weights_of_few_bits_are_the_numbers_that_they_stand_for(kind, tmp_path):
    """Each number is of those that all types here have; the scale is one for each column."""
    numbers = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    weights = helper.make_tensor("q", TensorProto.DataType.Value(kind), [3, 2], numbers.ravel())
    scale = np.array([0.3, -1.7], np.float32)
    model = model_of(
        ("DequantizeLinear", "q scale", "w", {"axis": 1}), *LAYER,
        opset=23, outputs={"y": [None, 2]}, constants={"scale": scale},
    )  # fmt: skip
    model.graph.initializer.append(weights)
    _check_layer(_built(model, tmp_path), numbers * scale)
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    network = build_network({"name": "onnx", "path": str(tmp_path / "m.onnx")}, "float64")
    _check_layer(network, numbers * scale)


def test_results_are_not_rounded_to_few_bits(tmp_path):
    zero = helper.make_tensor("zero", TensorProto.INT4, [], [0])
    model = model_of(
        ("QuantizeLinear", "x scale zero", "q"), ("DequantizeLinear", "q scale zero", "y"),
        opset=21, constants={"scale": np.float32(0.1)},
    )  # fmt: skip
    model.graph.initializer.append(zero)
    with pytest.raises(UsageError, match="not turned into int4 here"):
        _built(model, tmp_path)


def test_nothing_is_cast_like_numbers_of_few_bits(tmp_path):
    like = helper.make_tensor("like", TensorProto.FLOAT8E4M3FN, [], [1.0])
    model = model_of(("CastLike", "x like", "y"), opset=21)
    model.graph.initializer.append(like)
    with pytest.raises(UsageError, match="not rounded to float8_e4m3fn here"):
        _built(model, tmp_path)


def test_fixed_rows_through_a_loop_that_stacks_are_refused(tmp_path):
    body = onnx.parser.parse_graph(
        "body (int64 i, bool c, float[4, 3] h) => (bool d, float[4, 3] next, float[4, 3] each)"
        "{ d = Identity(c)  next = Tanh(h)  each = Identity(next) }"
    )
    model = model_of(
        helper.make_node("Loop", ["turns", "", "x"], ["last", "all"], body=body),
        ("ReduceSum", "all at", "y", {"keepdims": 0}), inputs={"x": [4, 3]},
        outputs={"y": [4, 3]}, constants={"turns": np.array(3), "at": np.array([0])},
    )  # fmt: skip
    with pytest.raises(UsageError, match="fixes 4 rows, and whether they are rows cannot be tried"):
        _built(model, tmp_path)


def test_file_that_needs_its_number_of_rows_gets_the_point_as_often(tmp_path):
    to = np.array([4, 3], np.int64)
    network = _built(
        model_of(
            ("Reshape", "x to", "r"), ("MatMul", "r w", "h"), ("Tanh", "h", "y"),
            inputs={"x": [4, 3]}, outputs={"y": [4, 2]}, constants={"w": W, "to": to},
        ),
        tmp_path,
    )  # fmt: skip
    _check_layer(network)
    assert library_difference(network, "float64") < 1e-6


def test_first_axis_that_mixes_is_one_of_a_point(tmp_path):
    """y = a tanh(x), x of shape (4, 3): each output depends on all rows."""
    a = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)
    network = _built(
        model_of(
            ("Tanh", "x", "h"), ("MatMul", "a h", "y"),
            inputs={"x": [4, 3]}, outputs={"y": [4, 3]}, constants={"a": a},
        ),
        tmp_path,
    )  # fmt: skip
    assert network.inputs == tuple(f"x{i + 1}" for i in range(12))
    x = np.random.default_rng(2).standard_normal(12)
    with jax.enable_x64(True):
        found = network.function(jnp.asarray(x))
    np.testing.assert_allclose(found, (a @ np.tanh(x.reshape(4, 3))).ravel(), rtol=1e-12)
    assert library_difference(network, "float64") < 1e-6


def test_first_axis_that_only_looks_back_is_one_of_a_point(tmp_path):
    """A sum of all rows so far: the first row depends on no other."""
    model = model_of(
        ("CumSum", "x axis", "y"), inputs={"x": [4, 2]}, constants={"axis": np.array(0)}
    )
    network = _built(model, tmp_path)
    assert (network.n_inputs, network.n_outputs) == (8, 8)
    assert library_difference(network, "float64") < 1e-6


def test_inputs_whose_first_axes_differ_are_those_of_a_point(tmp_path):
    model = model_of(("Concat", "x v", "y", {"axis": 0}), inputs={"x": [4, 3], "v": [2, 3]})
    network = _built(model, tmp_path)
    assert (network.n_inputs, network.n_outputs) == (18, 18)
    assert library_difference(network, "float64") < 1e-6


def test_fixed_rows_beside_an_input_that_all_rows_share(tmp_path):
    model = model_of(("Mul", "x v", "y"), inputs={"x": [4, 3], "v": [3]}, outputs={"y": [4, 3]})
    network = _built(model, tmp_path)
    assert (network.n_inputs, network.n_outputs) == (6, 3)
    assert library_difference(network, "float64") < 1e-6


def test_vector_with_a_number_for_each_row_is_one_input(tmp_path):
    model = model_of(
        ("Unsqueeze", "t axis", "c"), ("Mul", "x c", "h"), ("Sin", "h", "y"),
        inputs={"x": [4, 3], "t": [4]}, outputs={"y": [4, 3]},
        constants={"axis": np.array([1])},
    )  # fmt: skip
    network = _built(model, tmp_path)
    assert network.inputs == ("x1", "x2", "x3", "t")
    x = np.array([[0.3, -1.0, 2.0, 0.7]])
    np.testing.assert_allclose(_derived(network, x).value, np.sin(x[:, :3] * 0.7), rtol=1e-12)
    assert library_difference(network, "float64") < 1e-6
    shared = model_of(("Mul", "x v", "y"), inputs={"x": [4, 4], "v": [4]}, outputs={"y": [4, 4]})
    assert _built(shared, tmp_path).n_inputs == 8


def test_names_of_outputs_are_no_positions(tmp_path):
    model = model_of(
        ("Sin", "x", "u"), ("Exp", "x", "v"), inputs={"x": ["N", 1]},
        outputs={"u": ["N", 1], "v": ["N", 1]},
    )  # fmt: skip
    with pytest.raises(UsageError, match="no output 'w' of real numbers"):
        _built(model, tmp_path, outputs=["v", "w"])
    assert _built(model, tmp_path, outputs=["a", "b"]).outputs == ("a", "b")
    assert _built(model, tmp_path, outputs=["v"]).outputs == ("v",)


def test_one_row_beside_several_is_shared_by_them(tmp_path):
    model = model_of(("Mul", "x v", "y"), inputs={"x": [4, 3], "v": [1, 3]}, outputs={"y": [4, 3]})
    network = _built(model, tmp_path)
    assert (network.n_inputs, network.n_outputs) == (6, 3)
    assert library_difference(network, "float64") < 1e-6


def test_rows_of_a_signal_and_a_state_with_another_first_axis_are_those_of_a_point(tmp_path):
    """As voice activity detectors have it: a signal (1, samples), a state (2, 1, size)."""
    model = model_of(
        ("MatMul", "x w", "h"), ("Add", "h v", "s"), ("Tanh", "s", "t"),
        ("ReduceSum", "t axes", "y", {"keepdims": 0}),
        inputs={"x": [1, 3], "v": [2, 1, 2]}, outputs={"y": [1]},
        constants={"w": W, "axes": np.array([0, 2])},
    )  # fmt: skip
    network = _built(model, tmp_path)
    assert (network.n_inputs, network.n_outputs) == (7, 1)
    assert library_difference(network, "float64") < 1e-6


def test_input_that_is_held_constant_is_no_column(tmp_path):
    model = model_of(
        ("Mul", "x v", "h"), ("Add", "h u", "y"),
        inputs={"x": ["N", 3], "v": [], "u": ["K", 3]}, outputs={"y": ["N", 3]},
    )  # fmt: skip
    options = {"constants": {"v": 2.5, "u": [[1, 2, 3]]}, "dimensions": {"K": 1}}
    network = _built(model, tmp_path, **options)
    assert network.inputs == ("x1", "x2", "x3")
    x = np.array([[1.0, -2.0, 0.5]])
    np.testing.assert_allclose(_derived(network, x).value, 2.5 * x + [1, 2, 3])
    assert library_difference(network, "float64") < 1e-6
    other = {**options, "constants": {"v": 2.0, "u": [[1, 2, 3]]}}
    assert _built(model, tmp_path, **other).digest != network.digest
    for constants, said in (
        ({"w": 1}, "it has no input 'w'"),
        ({"v": "a"}, "'v' must be a number, or numbers in the shape"),
        ({"v": [1, 2]}, "'v' must be a number, or numbers in the shape"),
        ({"v": float("nan"), "k": 2.5}, "it has no input 'k'"),
        ({"u": 1}, r"leaves its dimension 0 open; set network.dimensions=\{K: ...\}"),
    ):
        with pytest.raises(UsageError, match=said):
            _built(model, tmp_path, constants=constants)


@pytest.mark.parametrize("value", [2.5, 300, -1])
def test_constant_that_the_type_of_its_input_has_not_is_refused(value, tmp_path):
    model = model_of(
        ("Cast", "k", "f", {"to": TensorProto.FLOAT}), ("Mul", "x f", "y"),
        inputs={"x": ["N", 2], "k": []}, outputs={"y": ["N", 2]},
    )  # fmt: skip
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(UsageError, match=r"'k' must be a number, .* of the input's type"):
        _built(model, tmp_path, constants={"k": value})
    assert _built(model, tmp_path, constants={"k": 3}).n_inputs == 2


def test_dimension_without_a_name_is_named_by_its_input_and_position(tmp_path):
    model = model_of(("Tanh", "x", "y"), inputs={"x": ["N", None]}, outputs={"y": ["N", None]})
    with pytest.raises(UsageError, match=r"set network.dimensions=\{x.1: ...\}"):
        _built(model, tmp_path)
    assert _built(model, tmp_path, dimensions={"x.1": 3}).n_inputs == 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_precision_of_a_file_differs_by_its_own_rounding(tmp_path, dtype):
    rng = np.random.default_rng(5)
    weights = {f"w{i}": rng.standard_normal((16, 16)).astype(np.float16) for i in range(4)}
    nodes = [("MatMul", f"h{i} w{i}", f"g{i}") for i in range(4)]
    tanhs = [("Tanh", f"g{i}", f"h{i + 1}") for i in range(4)]
    layers = [node for pair in zip(nodes, tanhs, strict=True) for node in pair]
    model = model_of(
        ("Cast", "x", "h0", {"to": TensorProto.FLOAT16}), *layers,
        ("Cast", "h4", "y", {"to": TensorProto.FLOAT}), inputs={"x": ["N", 16]}, constants=weights,
    )  # fmt: skip
    assert 1e-6 < library_difference(_built(model, tmp_path, dtype), dtype) < 0.04


def test_powers_have_finite_derivatives_at_zero(tmp_path):
    exponents = np.float32([1, 2, 3])
    network = _built(model_of(("Pow", "x p", "y"), constants={"p": exponents}), tmp_path)
    found = _derived(network, np.zeros((1, 3)))
    np.testing.assert_array_equal(found.hessian_diag[0], np.diag([0, 2, 0]))


def test_table_of_one_category_is_compared(tmp_path):
    model = model_of(
        ("Gather", "table kind", "row"), ("Mul", "x row", "y"),
        inputs={"x": ["N", 1], "kind": ["N", 1]}, constants={"table": np.float32([3])},
    )  # fmt: skip
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node.insert(0, helper.make_node("Cast", ["kind"], ["k"], to=TensorProto.INT64))
    model.graph.node[1].input[1] = "k"
    assert library_difference(_built(model, tmp_path), "float64") < 1e-6


def test_constants_that_the_outputs_do_not_need_are_not_read(tmp_path):
    """As the names of classes, beside their probabilities."""
    model = model_of(
        ("Tanh", "x", "y"), ("Identity", "names", "label"),
        outputs={"y": None, "label": None},
        constants={"names": np.array(["low", "high"], object)},
    )  # fmt: skip
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.STRING
    assert _built(model, tmp_path).outputs == ("y1", "y2", "y3")


def test_output_that_cannot_be_computed_stops_nobody_who_asks_for_another(tmp_path):
    model = model_of(("Tanh", "x", "y"), ("Solve", "x", "z"), outputs={"y": None, "z": None})
    with pytest.raises(UsageError, match="Solve is not known here"):
        _built(model, tmp_path)
    assert _built(model, tmp_path, outputs=["y"]).n_outputs == 3


def test_output_that_is_the_same_for_all_rows_is_one(tmp_path):
    model = model_of(("Tanh", "x", "y"), ("Exp", "c", "z"), outputs={"y": None, "z": None},
                     constants={"c": np.float32([1, 2])})  # fmt: skip
    network = _built(model, tmp_path)
    assert network.n_outputs == 5
    assert library_difference(network, "float64") < 1e-6


def test_comparison_can_be_left_out_and_what_the_library_cannot_do_is_said(tmp_path, caplog):
    scales = helper.make_node("Upsample", ["x"], ["y"], scales=[1.0, 2.0], mode="nearest")
    model = model_of(scales, opset=7, outputs={"y": None})
    network = _built(model, tmp_path)
    assert library_difference(network, "float64") is None
    assert "its own library cannot compute it" in caplog.text
    assert _built(model, tmp_path, compare=False).library_values is None


def test_what_a_loop_stacks_is_not_compared_with_what_the_library_joins(tmp_path, caplog):
    """The last of three stacked values is y = tanh(tanh(tanh(x))), as in a recurrent layer."""
    body = onnx.parser.parse_graph(
        "body (int64 i, bool c, float[N, 3] h) => (bool d, float[N, 3] next, float[N, 3] each)"
        "{ d = Identity(c)  next = Tanh(h)  each = Identity(next) }"
    )
    model = model_of(
        helper.make_node("Loop", ["turns", "", "x"], ["last", "all"], body=body),
        ("Gather", "all at", "y"),
        outputs={"y": [None, 3]}, constants={"turns": np.array(3), "at": np.array(2)},
    )  # fmt: skip
    network = _built(model, tmp_path)
    x = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(_derived(network, x)[0], np.tanh(np.tanh(np.tanh(x))), rtol=1e-12)
    assert library_difference(network, "float64") is None
    assert "joins what a Loop is to stack" in caplog.text


def test_rows_that_act_on_one_another_are_refused(tmp_path):
    """A mean over the rows is taken away."""
    network = _built(
        model_of(
            ("ReduceMean", "x axes", "mean"), ("Sub", "x mean", "y"),
            constants={"axes": np.array([0], np.int64)},
        ),
        tmp_path,
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"other values than its own library.*act on one another"):
        library_difference(network, "float64")


def test_vector_without_rows_is_one_point(tmp_path):
    network = _built(
        model_of(*LAYER, inputs={"x": [3]}, outputs={"y": [2]}, constants={"w": W}), tmp_path
    )
    _check_layer(network)
    assert library_difference(network, "float64") < 1e-6


def test_open_dimension_is_asked_for_and_set(tmp_path):
    model = model_of(*LAYER, inputs={"x": ["N", "width"]}, constants={"w": W})
    with pytest.raises(UsageError, match=r"dimension 1 open; set network.dimensions=\{width"):
        _built(model, tmp_path)
    _check_layer(_built(model, tmp_path, dimensions={"width": 3}))
    with pytest.raises(UsageError, match="no input has a dimension 'hight'"):
        _built(model, tmp_path, dimensions={"width": 3, "hight": 2})


def test_several_inputs_and_outputs_have_the_names_of_the_file(tmp_path):
    model = model_of(
        ("Mul", "spot spot", "price"), ("Concat", "spot vol", "both", {"axis": 1}),
        inputs={"spot": ["N", 1], "vol": ["N", 2]}, outputs={"price": None, "both": None},
    )  # fmt: skip
    network = _built(model, tmp_path)
    assert network.inputs == ("spot", "vol1", "vol2")
    assert network.outputs == ("price", "both1", "both2", "both3")
    assert _built(model, tmp_path, outputs=["both"]).outputs == ("both1", "both2", "both3")
    assert _built(model, tmp_path, outputs=["price"]).digest != network.digest
    assert _built(model, tmp_path, outputs=list("abcd"), inputs=list("xyz")).outputs == (*"abcd",)
    with pytest.raises(
        UsageError, match=r"no output 'prices' of real numbers \(closest: 'price'\)"
    ):
        _built(model, tmp_path, outputs=["prices"])
    with pytest.raises(UsageError, match=r"network.inputs has 2 names; the model takes 3 numbers"):
        _built(model, tmp_path, inputs=["a", "b"])


def test_whole_numbers_are_inputs_without_derivatives(tmp_path, configure):
    """A category picks a row of a table, which scales the other input."""
    table = np.float32([1, 10, 100])
    model = model_of(
        ("Gather", "table kind", "scale"), ("Mul", "scale spot", "h"), ("Mul", "h spot", "y"),
        inputs={"spot": ["N", 1], "kind": ["N", 1]}, constants={"table": table},
    )  # fmt: skip
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    network = _built(model, tmp_path)
    assert network.not_differentiated == ("kind",)
    found = _derived(network, np.array([[3.0, 2], [2.0, 0]]))
    np.testing.assert_allclose(found.value[:, 0], [900, 4])
    np.testing.assert_allclose(found.hessian_diag[:, 0], [[200, 0], [2, 0]])
    config, _ = configure(
        "network=onnx", f"network.path={tmp_path / 'm.onnx'}",
        "network.ranges={spot: [0, 1], kind: [0, 2]}",
        "derivatives.method=hyperdual", "derivatives.tile=8",
    )  # fmt: skip
    from hyperdiag.run.plan.planner import make_plan

    assert make_plan(config).plan.kernel.directions == ("spot",)


def test_float64_computes_with_the_numbers_of_the_file_and_float64_of_everything_else(tmp_path):
    """1/3 is a constant that the graph computes; half precision is none of the result's."""
    third = helper.make_node("Constant", [], ["three"], value_float=3.0)
    model = model_of(
        third, ("Div", "x three", "a"), ("Cast", "a", "b", {"to": TensorProto.FLOAT16}),
        ("Cast", "b", "y", {"to": TensorProto.FLOAT}),
    )  # fmt: skip
    with jax.enable_x64(True):
        found = _built(model, tmp_path).function(jnp.ones(3))
    np.testing.assert_array_equal(found, np.full(3, 1 / 3))


def test_file_without_real_outputs_is_refused(tmp_path):
    model = model_of(("Greater", "x x", "y"))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    with pytest.raises(UsageError, match="none of its outputs is an array of floating-point"):
        _built(model, tmp_path)

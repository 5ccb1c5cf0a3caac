"""Files that are broken, or made to do harm: one sentence each, soon, in little memory."""

import pickle
import resource
import time

import numpy as np
import pytest
from onnx import TensorProto, helper

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network

from .models import graph_of, model_of, saved

HUGE = np.array([10**6, 10**6], np.int64)
LINEAR = ("MatMul", "x w", "y")
WEIGHTS = {"w": np.ones((3, 2), np.float32)}


def _outside(location, **more):
    """A model whose weights lie elsewhere."""
    model = model_of(LINEAR, constants=WEIGHTS)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def _changed(change):
    """A model whose weights have been changed."""
    model = model_of(LINEAR, constants=WEIGHTS)
    change(model.graph.initializer[0])
    return model


def _set_dims(*dims):
    def change(tensor):
        tensor.dims[:] = dims

    return change


def _set_data(data):
    def change(tensor):
        tensor.raw_data = data

    return change


def _calling(*names):
    """Functions each of which calls the next ten times; the last calls the first."""
    functions = []
    for name, called in zip(names, [*names[1:], names[0]], strict=True):
        nodes = [
            helper.make_node(called, [f"v{i}"], [f"v{i + 1}"], domain="own") for i in range(10)
        ]
        functions.append(
            helper.make_function(
                "own", name, ["v0"], ["v10"], nodes, [helper.make_opsetid("own", 1)]
            )
        )
    return functions


def _laughs():
    """Functions that come to 10^15 nodes."""
    functions = _calling(*"abcdefghijklmno")
    last = helper.make_function(
        "own", "a", ["v0"], ["v10"], [helper.make_node("Exp", ["v0"], ["v10"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    functions[0].CopyFrom(last)
    return model_of(
        helper.make_node("b", ["x"], ["y"], domain="own"), functions=functions, domains=["own"]
    )


def _in_a_function(**attribute):
    """A function with a constant of its own, whose data lies in a file."""
    nodes = [
        helper.make_node("Constant", [], ["c"], **attribute),
        helper.make_node("Add", ["a", "c"], ["b"]),
    ]
    function = helper.make_function("own", "F", ["a"], ["b"], nodes, [helper.make_opsetid("", 20)])
    node = helper.make_node("F", ["x"], ["y"], domain="own")
    return model_of(node, functions=[function], domains=["own"])


def _lying_in(location):
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def _lying_sparse(location):
    indices = helper.make_tensor("i", TensorProto.INT64, [3], [0, 1, 2])
    return helper.make_sparse_tensor(_lying_in(location), indices, [3])


def _doubles(n):
    """Constants of many numbers, one after the other."""
    nodes = [("Exp", f"c{i}", f"c{i + 1}") for i in range(n)]
    return model_of(
        ("ConstantOfShape", "s", "c0"), *nodes, ("ReduceMax", f"c{n}", "m", {"keepdims": 0}),
        ("Add", "x m", "y"), constants={"s": np.array([2**26], np.int64)},
    )  # fmt: skip


def _loop(trips):
    body = graph_of(
        [
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Exp", ["state"], ["next"]),
        ],
        {"i": [], "going": [], "state": None},
        {"on": [], "next": None},
        name="body",
    )
    body.input[0].type.tensor_type.elem_type = TensorProto.INT64
    for value in (body.input[1], body.output[0]):
        value.type.tensor_type.elem_type = TensorProto.BOOL
    return model_of(
        helper.make_node("Loop", ["n", "c", "x"], ["y"], body=body),
        constants={"n": np.array(trips, np.int64), "c": np.array(True)},
    )


def _doubled():
    """Each node joins its input with itself: 2^60 numbers in the end."""
    nodes = [("Concat", f"v{i} v{i}", f"v{i + 1}", {"axis": 0}) for i in range(60)]
    return model_of(("Identity", "x", "v0"), *nodes, ("Identity", "v60", "y"))


FILES = {
    "empty": (b"", "is no ONNX file"),
    "noise": (np.random.default_rng(0).bytes(4096), "is no ONNX file"),
    "pickle": (pickle.dumps({"weights": [1.0] * 100}), "is no ONNX file"),
    "cut": (model_of(LINEAR, constants=WEIGHTS).SerializeToString()[:-40], "ONNX file"),
    "weights in the folder above": (_outside("../w.bin"), "not in the model's own folder"),
    "weights by an absolute path": (_outside("/etc/passwd"), "not in the model's own folder"),
    "weights through a link": (_outside("link.bin"), "not in the model's own folder"),
    "weights in a folder": (_outside("."), "not in the model's own folder"),
    "weights that are not there": (_outside("none.bin"), "cannot be read"),
    "weights that are too few": (_outside("short.bin"), "has 8 of its 24 bytes"),
    "weights of another length": (_outside("short.bin", length=10**15), "cannot be read"),
    "weights before the beginning": (_outside("short.bin", offset=-8), "cannot be read"),
    "weights of an absurd shape": (_changed(_set_dims(10**9, 10**9)), "numbers; at most"),
    "weights of a negative shape": (_changed(_set_dims(-3, 2)), "cannot have the shape"),
    "weights without data": (_changed(_set_data(b"")), "does not fit its shape"),
    "circle": (
        model_of(("Add", "x b", "a"), ("Exp", "a", "b"), ("Identity", "b", "y")),
        "nothing before it gives",
    ),
    "opset of the future": (model_of(LINEAR, opset=999, constants=WEIGHTS), "version 999"),
    "opset of the past": (model_of(LINEAR, opset=3, constants=WEIGHTS), "version 3"),
    "operator that is none": (model_of(("Solve", "x", "y")), "Solve is not known"),
    "domain that is none": (
        model_of(helper.make_node("Magic", ["x"], ["y"], domain="mine"), domains=["mine"]),
        "Magic of mine is not known",
    ),
    "constant of a huge shape": (
        model_of(("ConstantOfShape", "s", "c"), ("Add", "x c", "y"), constants={"s": HUGE}),
        "at most",
    ),
    "expansion to a huge shape": (
        model_of(("Expand", "x s", "y"), constants={"s": HUGE}),
        "at most",
    ),
    "huge tiles": (model_of(("Tile", "x s", "y"), constants={"s": HUGE}), "at most"),
    "huge range": (
        model_of(
            ("Range", "a b c", "r"),
            ("Add", "x r", "y"),
            constants={"a": np.float32(0), "b": np.float32(1e12), "c": np.float32(1)},
        ),
        "at most",
    ),
    "huge padding": (
        model_of(("Pad", "x p", "y"), constants={"p": np.array([0, 10**12, 0, 0], np.int64)}),
        "at most",
    ),
    "doubled sixty times": (_doubled(), "at most"),
    "function that calls itself": (
        model_of(
            helper.make_node("a", ["x"], ["y"], domain="own"),
            functions=_calling("a", "b"),
            domains=["own"],
        ),
        "calls itself",
    ),
    "functions of 10^15 nodes": (_laughs(), "nodes"),
    "weights of a function elsewhere": (
        _in_a_function(value=_lying_in("../w.bin")),
        "not in the model's own folder",
    ),
    "weights of a function that are not there": (
        _in_a_function(value=_lying_in("pyproject.toml")),
        "cannot be read",
    ),
    "sparse weights of a function elsewhere": (
        _in_a_function(sparse_value=_lying_sparse("../w.bin")),
        "not in the model's own folder",
    ),
    "sparse weights beyond their shape": (
        _in_a_function(
            sparse_value=helper.make_sparse_tensor(
                helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
                helper.make_tensor("i", TensorProto.INT64, [1], [7]),
                [3],
            )
        ),
        "do not fit its shape",
    ),
    "weights by a name with a zero": (_outside("a\0b"), "not in the model's own folder"),
    "many large constants": (_doubles(8), "numbers of constants are computed"),
    "product of a large row and a large column": (
        model_of(
            ("Add", "r c", "a"),
            ("ReduceMax", "a", "m", {"keepdims": 0}),
            ("Add", "x m", "y"),
            constants={"r": np.zeros((28000, 1), "f"), "c": np.zeros((1, 28000), "f")},
        ),
        "at most",
    ),
    "huge number of rows": (
        model_of(("Tanh", "x", "y"), inputs={"x": [10**9, 3]}),
        "export it with a free number of rows",
    ),
    "number of rows and a huge constant": (
        model_of(
            ("ConstantOfShape", "s", "c"),
            ("ReduceMax", "c", "m", {"keepdims": 0}),
            ("Add", "x m", "y"),
            inputs={"x": [2, 3]},
            constants={"s": np.array([1_500_000_000], np.int64)},
        ),
        "at most",
    ),
    "type that is none": (
        _changed(lambda tensor: setattr(tensor, "data_type", 99)),
        "arrays of type number 99 are not computed",
    ),
    "loop without end": (_loop(10**15), "Loop"),
    "model without outputs": (
        model_of(LINEAR, constants=WEIGHTS, outputs={}),
        "no graph with nodes",
    ),
    "text": (
        model_of(LINEAR, constants={"w": np.array([["a", "b"]] * 3, object)}),
        "arrays of type STRING are not computed",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_file_is_refused_with_a_sentence_soon_and_in_little_memory(name, tmp_path):
    content, said = FILES[name]
    (tmp_path / "models").mkdir()
    for file in ("w.bin", "models/short.bin"):
        (tmp_path / file).write_bytes(bytes(8))
    (tmp_path / "models" / "link.bin").symlink_to(tmp_path / "w.bin")
    path = saved(content, tmp_path / "models" / "m.onnx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        build_network({"name": "onnx", "path": path})
    assert f"network.path={path}: " in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.process_time() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # 1 GB


def test_file_that_is_not_there_is_said_to_be_so(invoke):
    ended = invoke("networks", "network=onnx", "network.path=none.onnx")
    assert ended.returncode == 2
    assert "network.path=none.onnx: cannot be read: No such file or directory" in ended.stderr


def test_weights_beside_the_file_are_read(tmp_path):
    model = _outside("w.bin", offset=8)
    (tmp_path / "w.bin").write_bytes(bytes(8) + np.arange(6, dtype=np.float32).tobytes())
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")})
    np.testing.assert_allclose(network.function(np.float32([1, 1, 1])), [6, 9])

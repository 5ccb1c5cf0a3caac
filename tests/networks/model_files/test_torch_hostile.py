"""Files that are broken, or made to do harm: one sentence each, soon, in little memory."""

import io
import itertools
import json
import resource
import time
import zipfile

import numpy as np
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from .torch_hostile import (  # noqa: E402
    CONSTANTS,
    GRAPH,
    WEIGHTS,
    array,
    changed,
    exported,
    instead,
    node,
    packed,
    pickled,
)

# Importing the reader of a library is no part of reading a file.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

INT = {"as_int": 10**6}
NONE = {"as_none": True}


@pytest.fixture(scope="module")
def members():
    return exported()


def _saved(save, *what):
    stream = io.BytesIO()
    save(*what, stream)
    return stream.getvalue()


def _weight(change):
    """A change of what describes the first weight."""
    return lambda tree: change(next(iter(tree["config"].values())))


def _meta(**values):
    return _weight(lambda entry: entry["tensor_meta"].update(values))


def _sizes(*numbers):
    return [{"as_int": number} for number in numbers]


def _called(target, *arguments):
    """A file whose one node calls an operator."""
    named = [(f"a{at}", argument) for at, argument in enumerate(arguments)]
    return lambda members, _: instead(members, node(target, named, "y"), result="y")


def _aten(target, **arguments):
    call = node(f"torch.ops.aten.{target}", list(arguments.items()), "y")
    return lambda members, _: instead(members, call, result="y")


def _doubled(members, _):
    """Each node joins its input with itself."""
    names = ["input", *(f"v{at}" for at in range(60))]
    nodes = [
        node(
            "torch.ops.aten.cat.default",
            [("tensors", {"as_tensors": [{"name": a}, {"name": a}]}), ("dim", {"as_int": 1})],
            b,
        )
        for a, b in itertools.pairwise(names)
    ]
    return instead(members, *nodes, result=names[-1])


def _squared(members, _):
    """A size that is squared sixty times."""
    first = {
        **node(
            "torch.ops.aten.sym_size.int", [("self", array("input")), ("dim", {"as_int": 1})], ""
        ),
        "outputs": [{"as_sym_int": {"as_name": "n0"}}],
    }
    rest = []
    for at in range(60):
        name = {"as_sym_int": {"as_name": f"n{at}"}}
        rest.append(
            {
                **node("_operator.mul", [("a", name), ("b", name)], ""),
                "outputs": [{"as_sym_int": {"as_name": f"n{at + 1}"}}],
            }
        )

    def change(tree):
        tree["graph_module"]["graph"]["nodes"][:0] = [first, *rest]

    return changed(members, GRAPH, change)


def _nested(members, _):
    def graph(depth):
        inner = {"as_graph": {"name": "g", "graph": graph(depth - 1)}} if depth else NONE
        step = node(
            "torch.ops.higher_order.wrap_with_set_grad_enabled",
            [("", {"as_bool": False}), ("", inner), ("", array("input"))],
            "y",
        )
        return {
            "inputs": [array("input")],
            "outputs": [array("y")],
            "nodes": [step] if depth else [],
            "tensor_values": {},
        }

    def change(tree):
        tree["graph_module"]["graph"]["nodes"] = graph(30)["nodes"]

    return changed(members, GRAPH, change)


def _many(members, _):
    step = node("torch.ops.aten.relu.default", [("self", array("input"))], "y")
    return changed(
        members, GRAPH, lambda tree: tree["graph_module"]["graph"].update(nodes=[step] * 20_001)
    )


def _repeated_members(members, _):
    stream = io.BytesIO(packed(members))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(stream, "a") as file:
        file.writestr(f"model/{GRAPH}", members[GRAPH])
    return stream.getvalue()


def _input(change):
    def changing(tree):
        change(tree["graph_module"]["graph"]["tensor_values"]["input"])

    return lambda members, _: changed(members, GRAPH, changing)


def _expression(tree, marker):
    tree["sizes"][1] = {"as_expr": {"expr_str": _code(marker), "hint": {"as_int": 3}}}


def _code(marker):
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def _model(model, example=None):
    return lambda *_: packed(exported(model, example))


class _Dropped(torch.nn.Module):
    """Numbers at random, in evaluation too."""

    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5, training=True)


class _Complex(torch.nn.Module):
    def forward(self, x):
        return torch.fft.fft(x)


class _Batch(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.batch_norm(x, None, None, training=True)


def _scripted(*_):
    module = torch.jit.script(torch.nn.Linear(3, 2))
    return _saved(torch.jit.save, module)


FILES = {
    "empty": (lambda *_: b"", "is no archive"),
    "noise": (lambda *_: np.random.default_rng(0).bytes(4096), "is no archive"),
    "pickle": (lambda _, marker: pickled(marker), "is a pickle, which is not read"),
    "weights of torch.save": (
        lambda *_: _saved(torch.save, torch.nn.Linear(2, 2).state_dict()),
        "holds a pickle (torch.save)",
    ),
    "module of torch.save": (
        lambda *_: _saved(torch.save, torch.nn.Linear(2, 2)),
        "holds a pickle (torch.save)",
    ),
    "scripted module": (_scripted, "is a scripted module"),
    "cut": (lambda members, _: packed(members)[:-60], "is damaged"),
    "other archive": (lambda *_: packed({"a.txt": b"a"}), "is no archive"),
    "weight that is a pickle": (
        lambda members, marker: changed(
            {**members, "data/weights/weight_0": pickled(marker)},
            WEIGHTS,
            _weight(lambda entry: entry.update(use_pickle=True)),
        ),
        "is pickled in it, which is not read",
    ),
    "object among the constants": (
        lambda members, marker: changed(
            {**members, "data/constants/opaque_obj_0": pickled(marker)},
            CONSTANTS,
            lambda tree: tree["config"].update(
                o={"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True,
                   "tensor_meta": None}
            ),
        ),
        "'o' is pickled in it",
    ),
    "object that takes no pickle": (
        lambda members, marker: changed(
            {**members, "data/constants/custom_obj_0": pickled(marker)},
            CONSTANTS,
            lambda tree: tree["config"].update(
                o={"path_name": "custom_obj_0", "is_param": False, "use_pickle": False,
                   "tensor_meta": None}
            ),
        ),
        "'o' is pickled in it",
    ),
    "pickle of all weights, as older versions write it": (
        lambda members, marker: packed({**members, "data/weights/model.pt": pickled(marker)}),
        "its weights are pickled",
    ),
    "pickle of all constants, as older versions write it": (
        lambda members, marker: packed({**members, "data/constants/model.pt": pickled(marker)}),
        "its weights are pickled",
    ),
    "still older version": (
        lambda _, marker: packed(
            {"version": b"8.5", "serialized_exported_program.json": b"{}",
             "serialized_state_dict.pt": pickled(marker)}
        ),
        "its weights are pickled",
    ),
    "compiled code": (
        lambda members, _: packed({**members, "data/aotinductor/model/model.so": b"\x7fELF"}),
        "holds compiled code, which is not run",
    ),
    "expression that is code": (
        lambda members, marker: _input(lambda tree: _expression(tree, marker))(members, marker),
        "has a dimension that depends on another one",
    ),
    "operator that unpickles": (
        _called("torch.load", {"as_string": "marker"}),
        "calls the operator torch.load, which is not among those",
    ),
    "operator that runs a command": (
        _called("torch.os.system", {"as_string": "touch marker"}),
        "calls the operator torch.os.system",
    ),
    "operator that writes a file": (
        _aten("from_file.default", filename={"as_string": "marker"}, shared={"as_bool": True},
              size={"as_int": 8}),
        "aten.from_file",
    ),
    "operator of Python's": (
        _called("_operator.methodcaller", {"as_string": "x"}),
        "calls the operator _operator.methodcaller",
    ),
    "operator by the attributes of another": (
        _called("torch.ops.aten.relu.default._op.__class__", array("input")),
        "calls the operator torch.ops.aten.relu.default._op",
    ),
    "operator that counts to a factorial": (
        _called("math.factorial", {"as_int": 10**9}),
        "calls the operator math.factorial",
    ),
    "operator that does nothing known": (
        _called("torch.ops.mine.magic.default", array("input")),
        "calls the operator torch.ops.mine.magic",
    ),
    "operator into memory of its own": (
        _aten("add.out", self=array("input"), other=array("input"), out=array("input")),
        "calls the operator torch.ops.aten.add.out",
    ),
    "operator on text": (
        _aten("add.str", a={"as_string": "a"}, b={"as_string": "b"}),
        "calls the operator torch.ops.aten.add.str",
    ),
    "numbers at random": (_aten("rand_like.default", self=array("input")), "aten.rand_like"),
    "memory that nobody filled": (_aten("empty_like.default", self=array("input")), "aten.empty"),
    "list that is repeated": (
        _called("_operator.mul", {"as_ints": [1, 2]}, {"as_int": 10**10}),
        "is computed of numbers alone",
    ),
    "size that is squared": (_squared, "makes a size that is too large"),
    "look beyond an array": (
        _aten("as_strided.default", self=array("input"), size={"as_ints": [10**6]},
              stride={"as_ints": [1]}),
        "an index is beyond the axis",
    ),
    "huge array": (
        _aten("full.default", size={"as_ints": [10**6, 10**6]}, fill_value={"as_float": 1.0}),
        "at most",
    ),
    "array beyond any": (
        _aten("full.default", size={"as_ints": [2**40, 2**40]}, fill_value={"as_float": 1.0}),
        "cannot be run",
    ),
    "huge range": (_aten("arange.default", end={"as_int": 10**12}), "at most"),
    "huge repetition": (
        _aten("repeat.default", self=array("input"), repeats={"as_ints": [10**6, 10**6]}),
        "at most",
    ),
    "huge padding": (
        _aten("constant_pad_nd.default", self=array("input"), pad={"as_ints": [0, 10**12]}),
        "at most",
    ),
    "doubled sixty times": (_doubled, "at most"),
    "argument that is not taken": (
        _aten("relu.default", self=array("input"), magic={"as_int": 1}),
        "relu has no argument 'magic'",
    ),
    "argument that is no number": (
        _aten("relu.default", self={"as_custom_obj": {"name": "o", "class_fqn": "c"}}),
        "an argument of the kind as_custom_obj is not computed with",
    ),
    "argument of the wrong kind": (_aten("relu.default", self={"as_int": 1}), "cannot be run"),
    "number that is out of range": (
        _aten("mul.Scalar", self=array("input"), other={"as_int": 10**30}),
        "is out of range",
    ),
    "circle": (_aten("relu.default", self=array("y")), "nothing before it gives 'y'"),
    "graphs within graphs": (_nested, "too deep"),
    "too many nodes": (_many, "more than 20,000 nodes"),
    "brackets": (
        lambda members, _: packed({**members, GRAPH: b"[" * 10**6}),
        "its graph is no JSON",
    ),
    "number of a million digits": (
        lambda members, _: packed({**members, GRAPH: b"1" * 10**6}),
        "its graph is no JSON",
    ),
    "graph that is a list": (
        lambda members, _: packed({**members, GRAPH: b"[]"}),
        "is damaged",
    ),
    "graph without nodes": (
        lambda members, _: changed(
            members, GRAPH, lambda tree: tree["graph_module"]["graph"].pop("nodes")
        ),
        "its graph is not in order",
    ),
    "graph without inputs": (
        lambda members, _: changed(
            members, GRAPH, lambda tree: tree["graph_module"]["signature"].update(input_specs=[])
        ),
        "takes no arrays",
    ),
    "graph without outputs": (
        lambda members, _: changed(
            members, GRAPH, lambda tree: tree["graph_module"]["signature"].update(output_specs=[])
        ),
        "returns no arrays",
    ),
    "format of the future": (
        lambda members, _: changed(
            members, GRAPH, lambda tree: tree["schema_version"].update(major=99)
        ),
        "is of version 99 of the format",
    ),
    "two programs": (
        lambda members, _: packed({**members, "models/other.json": b"{}"}),
        "holds 2 programs",
    ),
    "two members of one name": (_repeated_members, "two members of one name"),
    "packed weights": (
        lambda members, _: packed(
            {**members, "data/weights/weight_0": bytes(10**8)}, zipfile.ZIP_DEFLATED
        ),
        "claims to hold more than the file does",
    ),
    "packed graph": (
        lambda members, _: packed(members, zipfile.ZIP_DEFLATED),
        "claims to hold more than the file does",
    ),
    "weights that are not there": (
        lambda members, _: changed(
            members, WEIGHTS, _weight(lambda entry: entry.update(path_name="../../w.bin"))
        ),
        "has no member 'data/weights/../../w.bin'",
    ),
    "weights that nobody described": (
        lambda members, _: changed(members, WEIGHTS, lambda tree: tree["config"].popitem()),
        "it has no weight",
    ),
    "weights of an absurd shape": (
        lambda members, _: changed(members, WEIGHTS, _meta(sizes=_sizes(10**9, 10**9))),
        "bytes of them are in the file",
    ),
    "weight that repeats itself": (
        lambda members, _: changed(
            members, WEIGHTS, _meta(sizes=_sizes(10**6, 10**6), strides=_sizes(0, 0))
        ),
        "repeats its numbers too often",
    ),
    "weight that is larger than any": (
        lambda members, _: changed(
            members, WEIGHTS, _meta(sizes=_sizes(10**12, 10**12), strides=_sizes(0, 0))
        ),
        "repeats its numbers too often",
    ),
    "weight of a negative shape": (
        lambda members, _: changed(members, WEIGHTS, _meta(sizes=_sizes(-2, 3))),
        "has a shape that is none",
    ),
    "weight before the beginning": (
        lambda members, _: changed(members, WEIGHTS, _meta(storage_offset={"as_int": -8})),
        "has a shape that is none",
    ),
    "weight of negative steps": (
        lambda members, _: changed(members, WEIGHTS, _meta(strides=_sizes(-3, 1))),
        "has a shape that is none",
    ),
    "weight of a type that is none": (
        lambda members, _: changed(members, WEIGHTS, _meta(dtype=99)),
        "is of a type of numbers that is not computed",
    ),
    "sparse weight": (
        lambda members, _: changed(members, WEIGHTS, _meta(layout=1)),
        "is sparse",
    ),
    "input of an absurd shape": (
        _input(lambda meta: meta.update(sizes=_sizes(10**9, 10**9))),
        "too many",
    ),
    "input of a negative shape": (
        _input(lambda meta: meta.update(sizes=_sizes(-1, 3))),
        "has a shape that is none",
    ),
    "dropout": (_model(_Dropped()), "was exported in training mode, as dropout shows"),
    "statistics of the rows": (_model(_Batch()), "was exported in training mode, as batch_norm"),
    "complex output": (_model(_Complex()), "is complex"),
}  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", FILES)
def test_file_is_refused_with_a_sentence_soon_and_in_little_memory(
    name, members, tmp_path, monkeypatch
):
    make, said = FILES[name]
    path, marker = tmp_path / "model.pt2", tmp_path / "marker"
    path.write_bytes(make(members, marker))
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        build_network({"name": "torch", "path": str(path)})
    assert f"network.path={path}: " in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not marker.exists()
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # 1 GB


def test_what_is_not_needed_is_not_read(members, tmp_path):
    marker = tmp_path / "marker"

    def change(tree):
        tree["guards_code"] = [_code(marker)]
        tree["verifiers"] = [_code(marker)]
        module = tree["graph_module"]
        module["module_call_graph"][0]["signature"]["in_spec"] = _code(marker)
        module["module_call_graph"][0]["signature"]["out_spec"] = _code(marker)
        for step in module["graph"]["nodes"]:
            step["metadata"] = {
                "stack_trace": _code(marker), "source_fn_stack": "a,torch.os.system",
                "nn_module_stack": f"a,{_code(marker)},b", "custom": "{", "from_node": "[",
            }  # fmt: skip
            step["name"] = _code(marker)
            sizes = module["graph"]["tensor_values"][step["outputs"][0]["as_tensor"]["name"]]
            sizes["sizes"] = [{"as_expr": {"expr_str": _code(marker), "hint": None}}]

    content = {
        **members,
        "data/sample_inputs/model.pt": pickled(marker),
        "extra/x.py": _code(marker).encode(),
        "data/constants/opaque_obj_0": pickled(marker),
    }
    path = tmp_path / "model.pt2"
    path.write_bytes(changed(content, GRAPH, change))
    network = build_network({"name": "torch", "path": str(path)})
    assert network.n_inputs == 3
    network.library_values(np.zeros((2, 3)))
    assert not marker.exists()


def test_marker_is_written_by_pytorchs_own_reader(members, tmp_path):
    """Else the tests above would show nothing."""
    marker, path = tmp_path / "marker", tmp_path / "model.pt2"
    path.write_bytes(
        packed({**members, "data/sample_inputs/model.pt": _saved(torch.save, ((), {}))})
    )
    torch.export.load(path)
    assert not marker.exists()
    path.write_bytes(packed({**members, "data/sample_inputs/model.pt": pickled(marker)}))
    with pytest.raises(Exception, match=r".*"):
        torch.export.load(path)
    assert marker.exists()


def test_file_that_is_refused_ends_the_command(tmp_path, invoke):
    path = tmp_path / "model.pt2"
    path.write_bytes(pickled(tmp_path / "marker"))
    ended = invoke("networks", "network=torch", f"network.path={path}")
    assert ended.returncode == 2
    assert f"network.path={path}: is a pickle, which is not read" in ended.stderr
    assert not (tmp_path / "marker").exists()
    ended = invoke("networks", "network=torch", "network.path=none.pt2")
    assert ended.returncode == 2
    assert "network.path=none.pt2: cannot be read: No such file or directory" in ended.stderr


def test_json_is_what_the_tests_change(members):
    tree = json.loads(members[GRAPH])
    assert [step["target"] for step in tree["graph_module"]["graph"]["nodes"]] == [
        "torch.ops.aten.linear.default",
        "torch.ops.aten.tanh.default",
    ]

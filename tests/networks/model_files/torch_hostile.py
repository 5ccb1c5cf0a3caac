"""Archives of PyTorch's that are broken, or made to do harm."""

import copy
import io
import json
import pickle
import zipfile

import torch

WEIGHTS, CONSTANTS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
GRAPH = "models/model.json"


class _Marker:
    """A pickle of it writes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(marker):
    return pickle.dumps(_Marker(marker))


def exported(model=None, example=None):
    """The members of an archive: {name: bytes}."""
    model = model or torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())
    example = torch.randn(3, 3) if example is None else example
    free = torch.export.export(
        model.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("b")},)
    )
    stream = io.BytesIO()
    torch.export.save(free, stream)
    with zipfile.ZipFile(stream) as file:
        return {member.filename.partition("/")[2]: file.read(member) for member in file.infolist()}


def packed(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"model/{name}", content)
    return stream.getvalue()


def changed(members, name, change):
    """The archive with one of its JSON members changed by a function."""
    tree = json.loads(members[name])
    change(tree)
    return packed({**members, name: json.dumps(tree).encode()})


def node(target, inputs, output, **more):
    return {
        "target": target,
        "inputs": [{"name": name, "arg": arg, "kind": 1} for name, arg in inputs],
        "outputs": [{"as_tensor": {"name": output}}],
        "metadata": {},
        "name": output,
        **more,
    }


def array(name):
    return {"as_tensor": {"name": name}}


def instead(members, *nodes, result):
    """The archive with other nodes, the last of which gives the result."""

    def change(tree):
        graph = tree["graph_module"]["graph"]
        kind = next(iter(graph["tensor_values"].values()))
        for each in nodes:
            for output in each["outputs"]:
                graph["tensor_values"][output["as_tensor"]["name"]] = copy.deepcopy(kind)
        graph["nodes"] = list(nodes)
        graph["outputs"] = [array(result)]
        tree["graph_module"]["signature"]["output_specs"] = [
            {"user_output": {"arg": array(result)}}
        ]

    return changed(members, GRAPH, change)

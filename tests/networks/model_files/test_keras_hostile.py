"""Files that are broken, or made to do harm: one sentence each, soon, in little memory."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import io
import json
import pickle
import resource
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network

# Of Keras, as it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The parts of a file that is as it should be."""
    folder = tmp_path_factory.mktemp("model")
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, "tanh", name="hidden")(x)
    keras.Model(x, keras.layers.Dense(2, name="y")(hidden), name="m").save(folder / "m.keras")
    with zipfile.ZipFile(folder / "m.keras") as file:
        return {name: file.read(name) for name in file.namelist()}


def _archive(parts, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return stream.getvalue()


def _config(change):
    """A file whose description has been changed; `change` gets it and its layers by name."""

    def made(parts):
        config = json.loads(parts[CONFIG])
        layers = {layer["name"]: layer for layer in config["config"]["layers"]}
        changed = change(config, layers)
        return _archive(parts | {CONFIG: json.dumps(config if changed is None else changed)})

    return made


def _layer(module, kind, registered=None, **config):
    """A file whose layer `hidden` is of another class."""

    def change(_, layers):
        layers["hidden"] |= {
            "module": module,
            "class_name": kind,
            "registered_name": registered,
            "config": {"name": "hidden"} | config,
        }
        layers["hidden"].pop("build_config", None)

    return _config(change)


def _set(layer, **config):
    """A file with other options of a layer."""
    return _config(lambda _, layers: layers[layer]["config"].update(config))


def _function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _weights(change):
    """A file whose weights have been changed; `change` gets the HDF5 file."""

    def made(parts):
        stream = io.BytesIO(parts[WEIGHTS])
        with h5py.File(stream, "r+") as file:
            change(file)
        return _archive(parts | {WEIGHTS: stream.getvalue()})

    return made


KERNEL = "layers/dense/vars/0"


def _instead(make):
    """Weights with another object where a kernel was."""

    def change(file):
        del file[KERNEL]
        make(file)

    return _weights(change)


def _external(file):
    file.create_dataset(KERNEL, (3, 4), "f4", external=[("/etc/passwd", 0, 48)])


def _virtual(file):
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 4))
    file.create_virtual_dataset(KERNEL, layout)


def _circle(file):
    file["layers/again"] = file["layers"]


def _link(kind, *where):
    def make(file):
        file[KERNEL] = kind(*where)

    return _instead(make)


def _shape(shape, **options):
    return _instead(lambda file: file.create_dataset(KERNEL, shape, "f4", **options))


def _deep(file):
    group = file
    for _ in range(200):
        group = group.create_group("g")


def _overlapping(parts):
    """A file of which each part claims all bytes."""
    content = bytearray(_archive(parts))
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 20 : at + 24] = (len(content) - 1).to_bytes(4, "little")
        at += 4
    return bytes(content)


def _twice(parts):
    stream = io.BytesIO(_archive(parts))
    with zipfile.ZipFile(stream, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(CONFIG, b"{}")
    return stream.getvalue()


def _models_in_models(config, _):
    """Each model calls the one within it twice: 2^40 calls."""
    for depth in range(25):
        name = f"m{depth}"
        inner = config | {"name": name}
        inner["config"] = inner["config"] | {"name": name}

        def call(index, name=name):
            history = ["x" if index == 0 else name, index, 0]
            tensor = {"shape": [None, 3], "dtype": "float32", "keras_history": history}
            return {
                "args": [{"class_name": "__keras_tensor__", "config": tensor}],
                "kwargs": {},
            }

        inner["inbound_nodes"] = [call(0), call(1)]
        first = config["config"]["layers"][0]
        config = {
            **{key: config[key] for key in ("module", "class_name", "registered_name")},
            "config": {
                "name": "outer",
                "layers": [first, inner],
                "input_layers": [["x", 0, 0]],
                "output_layers": [[name, 2, 0]],
            },
        }
    return config


def _round(_, layers):
    history = layers["hidden"]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
    history[0] = "y"


def _many(config, layers):
    config["config"]["layers"][1:2] = [
        layers["hidden"] | {"name": f"l{index}"} for index in range(6000)
    ]


def _nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


def _without_tensors(_, layers):
    layers["hidden"] |= {"module": "keras.src.ops.numpy", "class_name": "Repeat"}
    layers["hidden"]["config"] = {"name": "hidden", "repeats": 10**11}
    layers["hidden"]["inbound_nodes"] = [{"args": [[1.0]], "kwargs": {}}]


OWN = "is no layer of Keras' own"
ONLY = "only layers and operations of Keras' own"
CODE = "holds or calls code"
HUGE = 10**9
FILES = {
    "empty": (lambda _: b"", "is no .keras file"),
    "noise": (lambda _: np.random.default_rng(0).bytes(4096), "is no .keras file"),
    "a pickle": (lambda _: pickle.dumps([1.0] * 100), "is no .keras file"),
    "an HDF5 file": (lambda parts: parts[WEIGHTS], "the older format"),
    "cut": (lambda parts: _archive(parts)[:-200], "is no .keras file, or is damaged"),
    "a byte changed": (
        lambda parts: _archive(parts).replace(b"vars", b"wars", 1),
        "damaged: Bad CRC-32",
    ),
    "without weights": (
        lambda parts: _archive({name: parts[name] for name in (CONFIG, METADATA)}),
        f"holds no {WEIGHTS}",
    ),
    "a name that leads outside": (
        lambda parts: _archive(parts | {"../../evil.py": b"1"}),
        "holds '../../evil.py'",
    ),
    "words beside it": (lambda parts: _archive(parts | {"assets/a.txt": b"a"}), "look-up layers"),
    "a part twice": (_twice, "holds a part twice"),
    "parts that overlap": (_overlapping, "claims more bytes"),
    "weights that unpack to 200 MB": (
        lambda parts: _archive(parts | {WEIGHTS: bytes(200 << 20)}, zipfile.ZIP_DEFLATED),
        "packed more than 100 times",
    ),
    "a description of 20 MB": (
        lambda parts: _archive(parts | {CONFIG: b" " * (20 << 20)}),
        "unpacks to 21 MB",
    ),
    "packed in another way": (
        lambda parts: _archive(parts, zipfile.ZIP_LZMA),
        "is packed in a way",
    ),
    "no JSON": (lambda parts: _archive(parts | {CONFIG: b"{"}), "is no JSON"),
    "a list": (lambda parts: _archive(parts | {CONFIG: b"[]"}), "describes no model"),
    "nothing": (lambda parts: _archive(parts | {CONFIG: b"{}"}), "is damaged"),
    "JSON 100,000 deep": (
        lambda parts: _archive(parts | {CONFIG: _nested(100_000)}),
        "is no JSON",
    ),
    "JSON 700 deep": (lambda parts: _archive(parts | {CONFIG: _nested(700)}), "damaged"),
    "a custom layer": (_layer(None, "Mine", "Custom>Mine"), f"layer 'hidden' (Mine) {OWN}"),
    "a registered custom layer": (_layer("my.layers", "Mine", "pack>Mine"), OWN),
    "a class of Python's": (_layer("subprocess", "Popen", args="ls"), ONLY),
    "a function of Python's": (
        _set("hidden", activation=_function("os", "system")),
        "the function 'system' is of the module 'os'",
    ),
    "a builtin of Python's as a class": (_layer("builtins", "eval"), ONLY),
    "a function that downloads": (
        _set("hidden", activation=_function("keras.utils", "get_file")),
        "the function 'get_file'",
    ),
    "a function that allows code": (
        _set("hidden", activation=_function("keras.config", "enable_unsafe_deserialization")),
        "the function 'enable_unsafe_deserialization'",
    ),
    "a function that loads a model": (
        _set("hidden", activation=_function("keras.models", "load_model")),
        "the function 'load_model'",
    ),
    "a module that is not imported": (_layer("keras.src.utils.torch_utils", "Evil"), ONLY),
    "a test of Keras'": (_layer("keras.src.layers.layer_test", "LayerTest"), ONLY),
    "an unknown layer": (_layer("keras.layers", "Dens", units=4), "Dens"),
    "a Lambda": (_layer("keras.layers", "Lambda", function="x"), f"(Lambda) is refused: it {CODE}"),
    "a lambda within": (
        _set("hidden", activation={"class_name": "__lambda__", "config": {"value": "eJ"}}),
        CODE,
    ),
    "a module of PyTorch's": (_layer("keras.layers", "TorchModuleWrapper", data="AAAA"), CODE),
    "a SavedModel within": (_layer("keras.layers", "TFSMLayer", filepath="/tmp"), CODE),
    "words of a file": (
        _layer("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
        "looks words or keys up",
    ),
    "a loop without end": (_layer("keras.src.ops.core", "WhileLoop"), CODE),
    "a quantized layer": (
        _set("hidden", quantization_config={"mode": "int8"}),
        "is quantized",
    ),
    "text of any size": (
        _set(
            "hidden",
            activation={
                "class_name": "__numpy__",
                "config": {"value": ["a"], "dtype": "S9999999999"},
            },
        ),
        "no array of numbers",
    ),
    "a layer that keeps its state": (
        _layer("keras.layers", "LSTM", units=2, stateful=True),
        "keeps its state",
    ),
    "a huge layer": (_set("y", units=HUGE), "do not belong together"),
    "a layer of 10^30": (_set("hidden", units=10**30), "network.path="),
    "a layer of minus 4": (_set("hidden", units=-4), "Received an invalid value for `units`"),
    "a layer of another size": (_set("hidden", units=3), "cannot load it"),
    "a layer of text": (_set("hidden", units="4"), "`units`, expected a positive integer"),
    "a huge input": (_set("x", batch_shape=[None, HUGE]), "network.path="),
    "an open input": (
        _config(lambda c, ls: _open_input(c, ls)),
        "no size may be open",
    ),
    "huge repetition": (
        _config(lambda c, ls: _after(c, ls, "RepeatVector", n=HUGE)),
        "numbers for one point; at most",
    ),
    "a huge pool": (
        _config(lambda c, ls: _after(c, ls, "MaxPooling1D", pool_size=HUGE, padding="same")),
        "layer 'z' (MaxPooling1D) pools more than",
    ),
    "a huge table": (
        _config(lambda c, ls: _after(c, ls, "MelSpectrogram", num_mel_bins=HUGE)),
        "may be of any size",
    ),
    "no numbers": (
        _config(lambda c, ls: _after(c, ls, "Discretization", bin_boundaries=[0.0])),
        "none of its outputs is of real numbers",
    ),
    "sparse arrays": (
        _config(
            lambda c, ls: _after(
                c,
                ls,
                "Discretization",
                bin_boundaries=[0.0],
                output_mode="one_hot",
                sparse="x" * 100,
            )
        ),
        "network.path=",
    ),
    "huge categories": (
        _config(lambda c, ls: _after(c, ls, "CategoryEncoding", num_tokens=10**12)),
        "network.path=",
    ),
    "layers in a circle": (_config(_round), "takes what nothing before it gives"),
    "a call without tensors": (_config(_without_tensors), "takes no tensor"),
    "6,000 layers": (_config(_many), "more layers than the 5,000"),
    "2^25 calls": (_config(_models_in_models), "at most 5,000 calls"),
    "two layers of a name": (
        _config(lambda config, layers: config["config"]["layers"].append(layers["hidden"])),
        "two layers of the same name",
    ),
    "no layers": (_config(lambda config, _: config["config"].pop("layers") and None), "no model"),
    "weights of noise": (
        lambda parts: _archive(parts | {WEIGHTS: b"\x89HDF\r\n\x1a\n" + bytes(2000)}),
        f"{WEIGHTS} is damaged",
    ),
    "weights that are cut": (
        lambda parts: _archive(parts | {WEIGHTS: parts[WEIGHTS][:9000]}),
        f"{WEIGHTS} is damaged",
    ),
    "weights in another file": (_instead(_external), "lies in another file"),
    "weights made up of others": (_instead(_virtual), "lies in another file"),
    "a link to another file": (_link(h5py.ExternalLink, "/etc/passwd", "x"), "is a link"),
    "a link within": (_link(h5py.SoftLink, "/layers/dense/vars/1"), "is a link"),
    "groups in a circle": (_weights(_circle), "lies within itself"),
    "groups 200 deep": (_weights(_deep), "64 deep"),
    "weights of zeros that are not there": (
        _shape((60000, 60000), chunks=(1000, 1000)),
        "needs 14.4 GB, and 0 bytes are there",
    ),
    "weights that are compressed": (
        _shape((3000, 3000), compression="gzip", data=np.zeros((3000, 3000))),
        "is compressed",
    ),
    "weights of text": (
        _instead(lambda file: file.create_dataset(KERNEL, data=["a"] * 3)),
        "no array of numbers",
    ),
    "weights of nothing": (
        _instead(lambda file: file.create_dataset(KERNEL, data=h5py.Empty("f4"))),
        "no array of numbers",
    ),
    "weights that diverged": (
        _weights(lambda file: file[KERNEL].write_direct(np.full((3, 4), np.nan, "f"))),
        "not finite",
    ),
    "weights that are not there": (_instead(lambda file: None), "network.path="),
    "weights of another layer": (
        _weights(lambda file: file.move("layers/dense", "layers/other")),
        "cannot load it",
    ),
}


def _open_input(config, layers):
    layers["x"]["config"]["batch_shape"] = [None, None, 3]


def _after(config, layers, kind, **options):
    """Put a layer behind the last one."""
    tensor = {"shape": [None, 2], "dtype": "float32", "keras_history": ["y", 0, 0]}
    config["config"]["layers"].append({
        "module": "keras.layers", "class_name": kind, "registered_name": None, "name": "z",
        "config": {"name": "z", **options},
        "inbound_nodes": [
            {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
        ],
    })  # fmt: skip
    config["config"]["output_layers"] = [["z", 0, 0]]


@pytest.mark.parametrize("name", FILES)
def test_file_is_refused_with_a_sentence_soon_and_in_little_memory(name, parts, tmp_path):
    make, said = FILES[name]
    path = tmp_path / "m.keras"
    path.write_bytes(make(parts))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        build_network({"name": "keras", "path": str(path)})
    text = str(refused.value)
    assert f"network.path={path}: " in text
    assert said in text
    assert "\n" not in text
    assert len(text) < 800
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 << 10  # 500 MB
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]


def test_file_as_it_should_be_is_none_of_them(parts, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(_archive(parts, zipfile.ZIP_DEFLATED))
    assert build_network({"name": "keras", "path": str(path)}).inputs == ("x1", "x2", "x3")


def test_file_that_is_not_there_and_a_folder_are_refused(invoke, tmp_path):
    ended = invoke("networks", "network=keras", "network.path=none.keras")
    assert ended.returncode == 2
    assert "network.path=none.keras: cannot be read: No such file or directory" in ended.stderr
    (tmp_path / "saved_model").mkdir()
    ended = invoke("networks", "network=keras", "network.path=saved_model")
    assert ended.returncode == 2
    assert "save it with model.save('model.keras')" in ended.stderr

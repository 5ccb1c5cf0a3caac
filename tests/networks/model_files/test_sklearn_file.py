"""Files that are broken, or made to do harm: one sentence each, soon, in little memory."""

import copy
import io
import json
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

X = np.random.default_rng(0).standard_normal((30, 3))
Y = X @ [1.0, 2.0, 3.0]


class _Marker:
    """What a pickle runs when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def _parts(model):
    """The schema of a model's file, and its arrays."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(arrays.pop("schema.json")), arrays


PARTS = _parts(make_pipeline(StandardScaler(), Ridge()).fit(X, Y))


def _zipped(schema, arrays, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
        if schema is not None:
            archive.writestr(
                "schema.json", schema if isinstance(schema, str) else json.dumps(schema)
            )
    return buffer.getvalue()


def _changed(change, parts=PARTS):
    """The file after `change(the last step's attributes, arrays)`."""
    schema, arrays = copy.deepcopy(parts)
    steps = schema["content"]["content"].get("steps")
    last = steps["content"][-1]["content"][1] if steps else schema
    change(last["content"]["content"], arrays)
    return _zipped(schema, arrays)


def _with_node(**node):
    """The file with another node in the last step, where skops would load it."""
    word = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
    command = word | {"content": '"touch marker"'}
    some = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    some = some | {"content": [command]}
    node = {"content": some, "attrs": some, "key_types": some} | node
    return _changed(lambda attributes, arrays: attributes.update(copy_X=node))


def _with_array(content):
    return _changed(
        lambda attributes, arrays: arrays.update({attributes["coef_"]["file"]: content})
    )


def _with_header(text):
    body = text.encode().ljust(117) + b"\n"
    return _with_array(b"\x93NUMPY\1\0" + struct.pack("<H", len(body)) + body + bytes(24))


def _of_objects(marker):
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Marker(marker)], object), allow_pickle=True)
    return _with_array(buffer.getvalue())


def _in_itself():
    """A step that is the pipeline itself."""
    schema, arrays = copy.deepcopy(PARTS)
    schema["__id__"] = 7
    inner = {key: schema[key] for key in ("__class__", "__module__", "__loader__")}
    schema["content"]["content"]["steps"]["content"][-1]["content"][1] = inner | {"__id__": 7}
    return _zipped(schema, arrays)


def _only_an_id():
    return _changed(lambda attributes, arrays: attributes.update(coef_={"__id__": 1}))


def _deep(depth):
    schema, arrays = copy.deepcopy(PARTS)
    node = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1"}
    for _ in range(depth):
        node = {
            "__class__": "list", "__module__": "builtins", "__loader__": "ListNode",
            "content": [node],
        }  # fmt: skip
    schema["content"]["content"]["memory"] = node
    return _zipped(schema, arrays)


def _set(**values):
    """The file with other JSON values in its last step."""

    def change(attributes, arrays):
        for name, value in values.items():
            attributes[name] = {
                "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
                "content": value,
            }  # fmt: skip

    return _changed(change)


def _machine(name, value):
    """A support vector machine whose numbers do not fit one another."""

    def change(attributes, arrays):
        buffer = io.BytesIO()
        np.save(buffer, value)
        arrays[attributes[name]["file"]] = buffer.getvalue()

    labels = np.digitize(Y, [-1, 1]) if value.ndim == 1 else Y
    model = SVC() if value.ndim == 1 else SVR()
    return _changed(change, _parts(make_pipeline(StandardScaler(), model).fit(X, labels)))


def _many_entries():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(70_000):
            archive.writestr(f"{number}.npy", b"")
    return buffer.getvalue()


def _long_directory():
    content = bytearray(_zipped(*PARTS))
    struct.pack_into("<L", content, len(content) - 10, 1 << 30)
    return bytes(content)


def _reused():
    """One array of 100 MB of zeros, packed, that is asked for a thousand times."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(100_000_000 // 8))
    schema, arrays = copy.deepcopy(PARTS)
    arrays["big.npy"] = buffer.getvalue()
    node = {
        "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode",
        "type": "numpy", "file": "big.npy",
    }  # fmt: skip
    schema["content"]["content"]["memory"] = {
        "__class__": "list", "__module__": "builtins", "__loader__": "ListNode",
        "content": [node] * 1000,
    }  # fmt: skip
    return _zipped(schema, arrays, zipfile.ZIP_DEFLATED)


def _bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("schema.json", json.dumps(PARTS[0]))
        with archive.open("bomb.npy", "w", force_zip64=True) as stream:
            for _ in range(70):
                stream.write(bytes(1 << 24))
    return buffer.getvalue()


def _twice():
    buffer = io.BytesIO(_zipped(*PARTS))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("schema.json", "{}")
    return buffer.getvalue()


def _joblib(marker):
    buffer = io.BytesIO()
    joblib.dump([_Marker(marker)], buffer)
    return buffer.getvalue()


UNKNOWN = "of which nothing is known here"
DAMAGED = "its schema.json is damaged"
# {name: (content, or a function of the marker's path to it; what is said)}.
FILES = {
    "empty": (b"", "is no .skops file; write it with skops.io.dump"),
    "noise": (np.random.default_rng(0).bytes(4096), "is no .skops file"),
    "pickle": (lambda marker: pickle.dumps(_Marker(marker)), "a pickle is not read"),
    "joblib": (_joblib, "a pickle is not read"),
    "cut": (_zipped(*PARTS)[:-30], "is no .skops file, or is cut off"),
    "damaged in the middle": (
        (lambda c: c[:60] + b"\xff" * 40 + c[100:])(_zipped(*PARTS)),
        "is no .skops file, or is damaged",
    ),
    "without schema": (_zipped(None, PARTS[1]), "it has no schema.json"),
    "schema that is no JSON": (_zipped("{'a': 1}", {}), "is damaged"),
    "schema that is a list": (_zipped([1, 2], {}), "holds no model"),
    "schema of another program": (_zipped({"weights": [1]}, {}), "holds no model"),
    "two schemas": (_twice, "two files of one name"),
    "deep JSON": (_zipped('{"a":' * 100_000 + "1" + "}" * 100_000, {}), "nested too deeply"),
    "deep nodes": (_deep(150), "nested too deeply"),
    "huge schema": (_zipped(" " * (5 << 20), {}), "more than that of a model can have"),
    "protocol of the future": (
        _zipped(PARTS[0] | {"protocol": "2"}, PARTS[1]),
        "of a format that is not known",
    ),
    "protocol of the past": (
        _zipped(PARTS[0] | {"protocol": 0}, PARTS[1]),
        "of a format that is not known",
    ),
    "zip bomb": (_bomb, "it unpacks to 1.17 GB"),
    "array that is asked for often": (_reused, "come to more than 1.07 GB"),
    "many files": (_many_entries, "holds too many files"),
    "long directory": (_long_directory, "holds too many files"),
    "file of a path": (
        _zipped(PARTS[0], PARTS[1] | {"../../marker.npy": b"1"}),
        "'../../marker.npy', which is no plain array",
    ),
    "file of another kind": (
        _zipped(PARTS[0], PARTS[1] | {"weights.pickle": b"1"}),
        "'weights.pickle', which is no plain array",
    ),
    "packed by LZMA": (_zipped(*PARTS, zipfile.ZIP_LZMA), "packed in another way"),
    "array of objects": (_of_objects, "holds objects"),
    "array that is a pickle": (
        lambda marker: _with_array(pickle.dumps(_Marker(marker))),
        "damaged",
    ),
    "array that is missing": (
        _changed(lambda attributes, arrays: arrays.pop(attributes["coef_"]["file"])),
        "is missing",
    ),
    "array of an absurd shape": (
        _with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        "of shape [1000000, 1000000] has not the bytes for it",
    ),
    "array of a negative shape": (
        _with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -1), }"),
        "of shape [-3, -1] has not the bytes for it",
    ),
    "array whose header is code": (
        _with_header("{'descr': '<f8', 'fortran_order': open('marker', 'w'), 'shape': (3,), }"),
        "damaged",
    ),
    "array of another shape": (
        _with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1, 1), }"),
        "coef_ of steps[1][1] (Ridge) is no array of numbers, or has another shape",
    ),
    "array of text": (
        _with_header("{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }"),
        "coef_ of steps[1][1] (Ridge) is no array of numbers",
    ),
    "weights for more inputs": (
        _with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }"),
        "network.path=",
    ),
    "attribute that is missing": (
        _changed(lambda attributes, arrays: attributes.pop("coef_")),
        "is it fitted?",
    ),
    "attribute that is a word": (_set(coef_='"abc"'), "coef_ of steps[1][1] (Ridge) is no array"),
    "attribute of deep JSON": (_set(coef_="[" * 100_000), "network.path="),
    "number of many digits": (_set(n_features_in_="1" * 100_000), "network.path="),
    "negative number of inputs": (_set(n_features_in_="-3"), "network.path="),
    "step in itself": (_in_itself, "network.path="),
    "node that is an id": (_only_an_id, DAMAGED),
    "node that is a number": (
        _changed(lambda attributes, arrays: attributes.update(coef_=3)),
        DAMAGED,
    ),
    "node without a class": (
        _changed(lambda attributes, arrays: attributes["coef_"].pop("__class__")),
        DAMAGED,
    ),
    "class that is a number": (
        _changed(lambda attributes, arrays: attributes["coef_"].update(__class__=3)),
        DAMAGED,
    ),
    "loader that is none": (
        _with_node(__loader__="MagicNode", __class__="list", __module__="builtins"),
        UNKNOWN,
    ),
    "loader that is a list": (
        _with_node(__loader__=["JsonNode"], __class__="str", __module__="builtins"),
        DAMAGED,
    ),
    "cached node": (
        _with_node(__loader__="CachedNode", __class__="list", __module__="builtins", __id__=5),
        UNKNOWN,
    ),
    "function of the system": (
        _with_node(__loader__="FunctionNode", __class__="system", __module__="os"),
        "os.system, of which nothing is known",
    ),
    "type of the system": (
        _with_node(__loader__="TypeNode", __class__="Popen", __module__="subprocess"),
        "subprocess.Popen, of which nothing is known",
    ),
    "constructor": (
        _with_node(__loader__="ConstructorFromReduceNode", __class__="system", __module__="posix"),
        UNKNOWN,
    ),
    "constructor of a known class": (
        _with_node(__loader__="ConstructorFromReduceNode", __class__="Ridge", __module__="sklearn"),
        UNKNOWN,
    ),
    "method": (
        _with_node(__loader__="MethodNode", __class__="str", __module__="builtins"),
        UNKNOWN,
    ),
    "operator": (
        _with_node(__loader__="OperatorFuncNode", __class__="methodcaller", __module__="operator"),
        UNKNOWN,
    ),
    "partial function": (
        _with_node(__loader__="PartialNode", __class__="partial", __module__="functools"),
        UNKNOWN,
    ),
    "random generator": (
        _with_node(__loader__="RandomGeneratorNode", __class__="Generator", __module__="numpy"),
        UNKNOWN,
    ),
    "object of another library": (
        _with_node(__loader__="ObjectNode", __class__="Model", __module__="mine.models"),
        "mine.models.Model, of which nothing is known",
    ),
    "keys that are called": (
        _with_node(
            __loader__="DictNode",
            __class__="dict",
            __module__="builtins",
            content={},
            key_types={"__loader__": "FunctionNode", "__class__": "system", "__module__": "os"},
        ),
        DAMAGED,
    ),
    "text in the place of nodes": (
        _with_node(__loader__="ListNode", __class__="list", __module__="builtins", content="ab"),
        DAMAGED,
    ),
    "slice of objects": (
        _with_node(
            __loader__="SliceNode",
            __class__="slice",
            __module__="builtins",
            content={"start": {}, "stop": None, "step": None},
        ),
        DAMAGED,
    ),
    "vectors for a thousand classes": (
        _machine("_n_support", np.full(1000, 1, np.int32)),
        "_n_support of steps[1][1] (SVC) is not there, or not what it should be",
    ),
    "more vectors than there are": (
        _machine("_n_support", np.array([10**6, 3, 4], np.int32)),
        "_n_support of steps[1][1] (SVC)",
    ),
    "weights for fewer vectors": (
        _machine("_dual_coef_", np.ones((1, 2))),
        "_n_support of steps[1][1] (SVR)",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_file_is_refused_with_a_sentence_soon_and_in_little_memory(name, tmp_path, monkeypatch):
    content, said = FILES[name]
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"
    if callable(content):
        content = content(marker) if content.__code__.co_argcount else content()
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        build_network({"name": "sklearn", "path": str(path)})
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # 500 MB
    assert f"network.path={path}: " in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["pkl", "joblib"])
def test_pickle_is_refused_by_the_command(suffix, tmp_path, invoke):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(pickle.dumps(_Marker(tmp_path / "marker")))
    ended = invoke("networks", "network=sklearn", f"network.path={path}")
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        f"hyperdiag: network.path={path}: is no .skops file (a pickle is not read, since that runs "
        "code); write it with skops.io.dump(model, 'model.skops')"
    )
    assert not (tmp_path / "marker").exists()


def test_file_that_is_not_there_is_said_to_be_so(invoke):
    ended = invoke("networks", "network=sklearn", "network.path=none.skops")
    assert ended.returncode == 2
    assert "network.path=none.skops: cannot be read: No such file or directory" in ended.stderr


def test_network_is_built_without_scikit_learn(tmp_path):
    skops.io.dump(MultiOutputRegressor(Ridge()).fit(X, np.c_[Y, Y]), tmp_path / "m.skops")
    script = (
        "import sys\n"
        "from hyperdiag.networks import build_network\n"
        "network = build_network({'name': 'sklearn', 'path': 'm.skops'})\n"
        "assert network.n_outputs == 2\n"
        "assert not {'sklearn', 'skops', 'joblib'} & set(sys.modules), 'it is imported'\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_missing_scikit_learn_is_named_with_its_extra(tmp_path, monkeypatch):
    skops.io.dump(Ridge().fit(X, Y), tmp_path / "m.skops")
    network = build_network({"name": "sklearn", "path": str(tmp_path / "m.skops")})
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(UsageError, match=r"needs the package skops: pip install 'hyperdiag\[sk"):
        library_difference(network, "float32")

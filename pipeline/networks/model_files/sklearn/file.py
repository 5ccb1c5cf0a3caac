"""A `.skops` file, read as data: numbers, text and lists; no object of a library is made.

Such a file is a zip file of plain arrays, and of `schema.json`, a tree of nodes: each says of which
class an object is, and what it holds. Here the classes are words that are compared with those that
are known, and nothing is imported by them.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hyperdiag.messages.errors import first_line, listed
from hyperdiag.messages.wording import size

from .names import KNOWN_CLASSES, KNOWN_FUNCTIONS, WITHOUT_DERIVATIVES

_SCHEMA = "schema.json"
_MOST_BYTES = 1 << 30  # of the file, and of all its arrays
_MOST_SCHEMA_BYTES = 1 << 22
_MOST_DIRECTORY_BYTES = 1 << 22
_MOST_DEPTH = 100  # of nodes; skops walks them by recursion
_OLDEST_PROTOCOL = 1
_END = struct.Struct("<4s4H2LH")  # of a zip file
_END_64 = b"PK\6\7"
_PICKLES = (".pkl", ".pickle", ".joblib")
_WRITE = "write it with skops.io.dump(model, 'model.skops')"


class SkopsError(Exception):
    """What is wrong with a file, or cannot be computed."""


@dataclass
class SkopsFile:
    """An open file, whose tree has been looked at as a whole.

    Attributes:
        content: its bytes.
        root: the node of the model.
        used: {where: array or word} of all that was read of the tree.
        kinks: where the function that is made of it has kinks.
    """

    content: bytes
    root: dict[str, Any]
    used: dict[str, np.ndarray | str] = field(default_factory=dict)
    kinks: list[str] = field(default_factory=list)

    def array(self, name: str) -> np.ndarray:
        """Return an array of the zip file.

        Raises:
            SkopsError: if it is damaged, or no array of numbers or text.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                _check_array(archive, name)
                with archive.open(name) as stream:
                    return np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise SkopsError(f"the array '{name}' is damaged: {first_line(error)}") from error

    def without_ids(self) -> bytes:
        """Return the file as it was checked: no two nodes are one, so that none holds itself."""
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(self.content)) as archive,
            zipfile.ZipFile(buffer, "w") as copy,
        ):
            for name in archive.namelist():
                if name != _SCHEMA:
                    copy.writestr(name, archive.read(name))
            copy.writestr(_SCHEMA, json.dumps(self.root))
        return buffer.getvalue()


def read_skops(path: Path) -> SkopsFile:
    """Return what a file holds; nothing of it is run or imported.

    Args:
        path: of the file.

    Raises:
        SkopsError: if it is none, is damaged, or holds what is not known.
    """
    try:
        length = path.stat().st_size
        if length > _MOST_BYTES:
            raise SkopsError(f"it has {size(length)}; at most {size(_MOST_BYTES)} are read")
        content = path.read_bytes()
    except OSError as error:
        raise SkopsError(f"cannot be read: {error.strerror or error}") from error
    if not content.startswith(b"PK"):
        kind = " (a pickle is not read, since that runs code)"
        is_pickle = path.suffix in _PICKLES or content.startswith(b"\x80")
        raise SkopsError(f"is no .skops file{kind if is_pickle else ''}; {_WRITE}")
    _check_directory(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_members(archive)
            schema = archive.read(_SCHEMA)
            root = json.loads(schema)
            _check_tree(archive, root)
    except RecursionError as error:
        raise SkopsError(f"its {_SCHEMA} is nested too deeply") from error
    except SkopsError:
        raise
    except Exception as error:  # zip files and JSON raise many kinds
        raise SkopsError(f"is no .skops file, or is damaged: {first_line(error)}") from error
    return SkopsFile(content, root)


def _check_directory(content: bytes) -> None:
    """Refuse a zip file with a long directory before it is read as one."""
    end = content[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\5\6"):
        raise SkopsError(f"is no .skops file, or is cut off; {_WRITE}")
    long = content[-_END.size - 20 :].startswith(_END_64)
    if long or _END.unpack(end)[5] > _MOST_DIRECTORY_BYTES:
        raise SkopsError("it holds too many files to be a model")


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if _SCHEMA not in names:
        raise SkopsError(f"is no .skops file: it has no {_SCHEMA}; {_WRITE}")
    if len(set(names)) < len(names):
        raise SkopsError("it holds two files of one name")
    for member in members:
        name = member.filename
        if name != _SCHEMA and (not name.endswith(".npy") or "/" in name or "\\" in name):
            raise SkopsError(
                f"it holds '{name[:100]}', which is no plain array (sparse matrices and bytes are "
                "not read)"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SkopsError(f"'{name[:100]}' is packed in another way than skops packs")
    total = sum(member.file_size for member in members)
    if total > _MOST_BYTES:
        raise SkopsError(f"it unpacks to {size(total)}; at most {size(_MOST_BYTES)} are read")
    most = archive.getinfo(_SCHEMA).file_size
    if most > _MOST_SCHEMA_BYTES:
        raise SkopsError(f"its {_SCHEMA} has {size(most)}, more than that of a model can have")


def _check_array(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an array that is not as long as its header says, or holds no numbers or text."""
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise SkopsError(f"the array '{name[:100]}' is missing") from None
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise SkopsError(
                f"the array '{name}' is of version {version}, which plain ones are not"
            )
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        rest = member.file_size - stream.tell()
    if dtype.kind not in "biufSU":
        raise SkopsError(f"the array '{name}' holds objects (dtype {dtype}), and no numbers")
    numbers = 1
    for length in shape:  # Python's whole numbers do not overflow
        numbers *= length
    if any(length < 0 for length in shape) or numbers * dtype.itemsize != rest:
        raise SkopsError(f"the array '{name}' of shape {list(shape)} has not the bytes for it")


def _check_tree(archive: zipfile.ZipFile, root: Any) -> None:
    """Refuse a tree with nodes, classes or arrays that are not known; take the ids out of it.

    Raises:
        SkopsError: naming what is not known.
    """
    if not isinstance(root, dict) or not isinstance(root.get("__loader__"), str):
        raise SkopsError(f"its {_SCHEMA} holds no model; {_WRITE}")
    protocol = root.get("protocol")
    if type(protocol) is not int or protocol < _OLDEST_PROTOCOL:
        raise SkopsError(f"is of a format that is not known (protocol {protocol!r:.20}); {_WRITE}")
    unknown: dict[str, None] = {}
    arrays: list[str] = []
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise SkopsError(f"its {_SCHEMA} is nested too deeply")
        title = _title(node)
        loader = _of(node, "__loader__", str)
        if loader not in _CHILDREN:
            unknown.setdefault(title)
            continue
        node.pop("__id__", None)
        if loader == "FunctionNode":
            known = title in KNOWN_FUNCTIONS
        else:
            known = _is_known(node["__module__"], node["__class__"])
        if not known:
            unknown.setdefault(title)
        if loader == "NdArrayNode" and node.get("type") == "numpy":
            arrays.append(_of(node, "file", str))
        waiting.extend((child, depth + 1) for child in _CHILDREN[loader](node))
    if unknown:
        raise SkopsError(_about(list(unknown)))
    for name in set(arrays):
        _check_array(archive, name)
    if sum(archive.getinfo(name).file_size for name in arrays) > _MOST_BYTES:
        raise SkopsError(f"its arrays come to more than {size(_MOST_BYTES)}")


def _about(unknown: list[str]) -> str:
    names = [title.rpartition(".")[2] for title in unknown]
    flat = [name for name in names if name in WITHOUT_DERIVATIVES]
    if flat:
        return (
            f"it holds {listed(flat)}: the derivatives of trees, neighbours and bins are zero "
            "wherever they exist, so that there is nothing to compute; use a model that is smooth"
        )
    return (
        f"it holds {listed([title[:100] for title in unknown])}, of which nothing is known here, "
        "and it is not loaded; dump the fitted estimator alone (of a search: best_estimator_), or "
        "export it with skl2onnx and take network=onnx, or write it as a function with "
        "network=python"
    )


def _is_known(module: str, name: str) -> bool:
    return name in KNOWN_CLASSES.get(module.partition(".")[0], ())


def _title(node: Any) -> str:
    if not isinstance(node, dict):
        raise SkopsError(f"its {_SCHEMA} is damaged: {str(node)[:40]!r} is no node")
    return f"{_of(node, '__module__', str)}.{_of(node, '__class__', str)}"


def _of(node: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return an entry of a node, which must be of a type."""
    value = node.get(key)
    if not isinstance(value, kind):
        raise SkopsError(
            f"its {_SCHEMA} is damaged: a node of {str(node.get('__class__'))[:60]} has no {key} "
            f"of type {kind.__name__}"
        )
    return value


def _none(node: dict[str, Any]) -> list[Any]:
    return []


def _text(node: dict[str, Any]) -> list[Any]:
    _of(node, "content", str)
    return []


def _one_child(node: dict[str, Any]) -> list[Any]:
    return [_of(node, "content", dict)]


def _state(node: dict[str, Any]) -> list[Any]:
    return [] if node.get("content") is None else _one_child(node)


def _items(node: dict[str, Any]) -> list[Any]:
    return _of(node, "content", list)


def _entries(node: dict[str, Any]) -> list[Any]:
    content = _of(node, "content", dict)
    types = _of(node, "key_types", dict)
    if types.get("__loader__") != "ListNode" or any(
        not isinstance(each, dict) or each.get("__loader__") != "TypeNode" for each in _items(types)
    ):
        raise SkopsError(f"its {_SCHEMA} is damaged: the keys of a dict have no types")
    if "n_jobs" in content:  # a file does not say how many processes are started
        content["n_jobs"] = _NOTHING.copy()
    return [types, *content.values()]


def _array(node: dict[str, Any]) -> list[Any]:
    return [] if node.get("type") == "numpy" else [*_items(node), _of(node, "shape", dict)]


def _ends(node: dict[str, Any]) -> list[Any]:
    content = _of(node, "content", dict)
    if any(type(content.get(key)) not in (int, type(None)) for key in ("start", "stop", "step")):
        raise SkopsError(f"its {_SCHEMA} is damaged: a slice has ends that are no whole numbers")
    return []


def _reduced(node: dict[str, Any]) -> list[Any]:
    return [_of(node, "content", dict), _of(_of(node, "__reduce__", dict), "args", dict)]


_NOTHING = {
    "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "null",
    "is_json": True,
}  # fmt: skip

# The nodes within a node of each kind. Others are not read: methods, partial functions, operators,
# constructors, bytes, sparse matrices, trees.
_CHILDREN = {
    "DTypeNode": _one_child,
    "DictNode": _entries,
    "FunctionNode": _none,
    "JsonNode": _text,
    "ListNode": _items,
    "LossNode": _reduced,
    "NdArrayNode": _array,
    "ObjectNode": _state,
    "RandomStateNode": _one_child,
    "SetNode": _items,
    "SliceNode": _ends,
    "TupleNode": _items,
    "TypeNode": _none,
}

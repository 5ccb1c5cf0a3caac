"""The archive that `torch.export.save` writes, read with distrust.

PyTorch's own reader unpickles what a file says is a pickle, evaluates the expressions of its sizes,
and calls whatever its nodes name. Here the graph is read as JSON, and weights as plain bytes; the
rest of the archive is not looked at.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hyperdiag.messages.wording import size

_SAVE = "torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')"
_MOST_MEMBERS = 100_000
_MOST_JSON = 1 << 28  # bytes
# Of all weights beyond what is in the file: those that repeat one number have strides of 0.
_MOST_REPEATED = 1 << 24
_SCHEMA = 8  # the major version of the graph's format

# By the numbers of the format: how a number is stored, and what PyTorch calls it.
DTYPES = {
    1: ("u1", "uint8"),
    2: ("i1", "int8"),
    3: ("<i2", "int16"),
    4: ("<i4", "int32"),
    5: ("<i8", "int64"),
    6: ("<f2", "float16"),
    7: ("<f4", "float32"),
    8: ("<f8", "float64"),
    10: ("<c8", "complex64"),
    11: ("<c16", "complex128"),
    12: ("?", "bool"),
    13: ("<u2", "bfloat16"),
}


class TorchError(ValueError):
    """A file of PyTorch's cannot be read or computed; says why, in one sentence."""


@dataclass(frozen=True)
class Weight:
    """An array of the file.

    Attributes:
        dtype: of its numbers, as PyTorch calls it.
        array: as they are stored; bfloat16 as uint16.
        is_parameter: whether it was trained.
    """

    dtype: str
    array: np.ndarray
    is_parameter: bool


@dataclass(frozen=True)
class Archive:
    """What is read of a file.

    Attributes:
        graph_module: the graph with its signature, as JSON has it.
        weights: {name in the model: array}.
        constants: {name in the model: array} of what is no parameter and not saved as a buffer.
        ranges: {open dimension: its bounds}, as JSON has them.
    """

    graph_module: Mapping[str, Any]
    weights: Mapping[str, Weight]
    constants: Mapping[str, Weight]
    ranges: Mapping[str, Any]


def read_archive(path: Path) -> Archive:
    """Return what a file holds.

    Args:
        path: of the file.

    Raises:
        TorchError: if it is no such archive, is damaged, or holds what would have to be unpickled.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return _read(file, path.stat().st_size)
    except TorchError:
        raise
    except OSError as error:
        raise TorchError(f"cannot be read: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise TorchError(_no_archive(path)) from error
    except Exception as error:  # whatever a damaged archive makes of zip, JSON and arrays
        raise TorchError("is damaged: its archive is not in order") from error


def _no_archive(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start[:1] == b"\x80":
        return f"is a pickle, which is not read, since that can run any code; write {_SAVE}"
    return f"is no archive of an exported program, or is damaged; write one by {_SAVE}"


def _read(file: zipfile.ZipFile, n_bytes: int) -> Archive:
    members = file.infolist()
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > n_bytes:
        raise TorchError("its archive claims to hold more than the file does; it is not read")
    if not members or min(member.header_offset for member in members) > 0:
        # Where the end is cut off, a smaller archive within it may be taken for the whole.
        raise TorchError("is damaged: its archive does not begin where the file does")
    root = members[0].filename.partition("/")[0]
    names = {member.filename.removeprefix(f"{root}/"): member for member in members}
    if len(names) != len(members):
        raise TorchError("its archive holds two members of one name; it is not read")
    _refuse_others(set(names))

    def read(name: str) -> bytes:
        if name not in names:
            raise TorchError(f"is damaged: its archive has no member '{name[:100]}'")
        if names[name].compress_type != zipfile.ZIP_STORED:
            raise TorchError("its archive is packed, which PyTorch's own are not; it is not read")
        return file.read(names[name])

    models = [name for name in names if name.startswith("models/") and name.endswith(".json")]
    if len(models) != 1:
        raise TorchError(f"holds {len(models)} programs, where one is taken; write one by {_SAVE}")
    model = models[0].removeprefix("models/").removesuffix(".json")
    if f"data/weights/{model}.pt" in names or f"data/constants/{model}.pt" in names:
        raise TorchError(
            "its weights are pickled, as older versions of PyTorch write them; save it again with "
            f"PyTorch 2.10 or later: {_SAVE}"
        )
    if "byteorder" in names and read("byteorder") != b"little":
        raise TorchError("its numbers are stored with the highest byte first, which is not read")
    program = _json(read(models[0]))
    version = program["schema_version"]["major"]
    if version != _SCHEMA:
        raise TorchError(
            f"its graph is of version {str(version)[:20]} of the format, where {_SCHEMA} is read; "
            f"save it again with PyTorch 2.10 or later: {_SAVE}"
        )
    budget = [_MOST_REPEATED]
    kinds = ("weights", "constants")
    weights, constants = (
        _weights(_json(read(f"data/{kind}/{model}_{kind}_config.json")), kind, read, budget)
        for kind in kinds
    )
    return Archive(program["graph_module"], weights, constants, program["range_constraints"])


def _refuse_others(names: set[str]) -> None:
    """Say of other archives of PyTorch's what they are."""
    if any(name.startswith("data/aotinductor/") for name in names):
        raise TorchError(
            f"holds compiled code, which is not run; write the program itself by {_SAVE}"
        )
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise TorchError(
            "is a scripted module (torch.jit.save), which is not read, since loading one unpickles "
            f"it and can run its code; export the model that was scripted: {_SAVE}"
        )
    if "data.pkl" in names:
        raise TorchError(
            "holds a pickle (torch.save), which is not read, since that can run any code; export "
            f"the model: {_SAVE}"
        )
    if "serialized_exported_program.json" in names:
        raise TorchError(
            "its weights are pickled, as older versions of PyTorch write them; load it there, and "
            f"save it again with PyTorch 2.10 or later: {_SAVE}"
        )
    if "archive_format" not in names:
        raise TorchError(f"is no archive of an exported program; write one by {_SAVE}")


def _json(content: bytes) -> Any:
    if len(content) > _MOST_JSON:
        raise TorchError(f"its graph takes {size(len(content))}, which is too much to be meant")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TorchError("is damaged: its graph is no JSON") from error


def _weights(config: Any, kind: str, read: Any, budget: list[int]) -> dict[str, Weight]:
    """Return {name: array} of the weights that a member of the archive describes."""
    members: dict[str, bytes] = {}
    weights = {}
    for name, entry in config["config"].items():
        member = entry["path_name"]
        if entry["use_pickle"] or entry["tensor_meta"] is None:
            raise TorchError(
                f"'{name[:100]}' is pickled in it, which is not read, since that can run any code; "
                "export a model whose weights are plain arrays, without objects or subclasses"
            )
        if member not in members:
            members[member] = read(f"data/{kind}/{member}")
        array, dtype = _array(name[:100], entry["tensor_meta"], members[member], budget)
        weights[name] = Weight(dtype, array, bool(entry["is_param"]))
    return weights


def _array(
    name: str, meta: Mapping[str, Any], content: bytes, budget: list[int]
) -> tuple[np.ndarray, str]:
    """Return a view of stored numbers, and what PyTorch calls their dtype."""
    if meta["dtype"] not in DTYPES:
        raise TorchError(f"'{name}' is of a type of numbers that is not computed")
    if meta["layout"] != 7:
        raise TorchError(f"'{name}' is sparse, which is not computed; export it as a dense array")
    stored, dtype = DTYPES[meta["dtype"]]
    shape, strides = ([whole(item) for item in meta[key]] for key in ("sizes", "strides"))
    offset = whole(meta["storage_offset"])
    itemsize = np.dtype(stored).itemsize
    if len(shape) != len(strides) or min((0, offset, *shape, *strides)) < 0:
        raise TorchError(f"'{name}' has a shape that is none: {shape}")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if math.prod(shape) == 0:
        return np.zeros(shape, stored), dtype
    if len(content) % itemsize or last >= len(content) // itemsize:
        raise TorchError(
            f"'{name}' of shape {shape} needs {last + 1:,} numbers, and {len(content):,} bytes "
            "of them are in the file"
        )
    flat = np.frombuffer(content, stored)
    budget[0] -= max(0, math.prod(shape) - flat.size)
    if budget[0] < 0:
        raise TorchError(f"'{name}' repeats its numbers too often to be meant")
    steps = [stride * itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False), dtype


def whole(item: Mapping[str, Any]) -> int:
    """Return a size that is a whole number.

    Raises:
        TorchError: if it is an expression.
    """
    number = item.get("as_int")
    if type(number) is not int or abs(number) >= 1 << 62:
        raise TorchError("a size of a weight is no whole number")
    return number

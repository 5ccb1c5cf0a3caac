"""A `.keras` file, read with distrust: nothing outside of it, and no more than it says.

Keras' own loader has been made to run code and to fill the memory by such files more than once. So
it never sees the file: the parts are looked at here, and what it gets is what was looked at.
"""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from hyperdiag.messages.errors import first_line, listed
from hyperdiag.messages.wording import size

from .refusal import KerasError

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
_MOST_BYTES = 1 << 31
_MOST_CONFIG_BYTES = 1 << 23  # that of a thousand layers has about one million
# What unpacks to so much may take a hundredth of it in the file: weights do not shrink like that.
_PLAIN_BYTES, _MOST_EXPANSION = 1 << 26, 100
_MOST_DEPTH = 64  # of groups within groups
_MOST_OBJECTS = 100_000
_ENCRYPTED = 0x1  # a bit of a member's flags
_HDF5, _ZIP = b"\x89HDF", b"PK"


@dataclass(frozen=True)
class KerasFile:
    """What a file holds.

    Attributes:
        config: of the model, as JSON has it.
        weights: the HDF5 file within it.
        arrays: {path in that file: array}, without what only training needs.
        version: of the Keras that wrote it.
    """

    config: dict[str, Any]
    weights: bytes
    arrays: dict[str, np.ndarray]
    version: str


def read_keras_file(path: Path) -> KerasFile:
    """Return what a `.keras` file holds.

    Args:
        path: of the file.

    Raises:
        KerasError: if it is none, is damaged, or asks for more than it holds.
    """
    members = _members(path)
    try:
        config = json.loads(members[CONFIG])
        metadata = json.loads(members[METADATA])
    except (ValueError, RecursionError) as error:
        raise KerasError(f"its {CONFIG} or {METADATA} is no JSON: {first_line(error)}") from error
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise KerasError(f"its {CONFIG} describes no model; save it with model.save('model.keras')")
    try:
        arrays = dict(_arrays(members[WEIGHTS]))
    except KerasError as error:
        raise KerasError(f"{WEIGHTS}: {error}") from error
    except Exception as error:  # the HDF5 library raises many kinds
        raise KerasError(f"its {WEIGHTS} is damaged: {first_line(error)}") from error
    version = str(metadata.get("keras_version", "unknown"))[:20]
    return KerasFile(config, members[WEIGHTS], arrays, version)


def _members(path: Path) -> dict[str, bytes]:
    """Return the three parts of the archive, each looked at before it is unpacked."""
    if path.is_dir():
        raise KerasError(
            "is a folder, as TensorFlow's SavedModel is; load it where it was made, and save it "
            "with model.save('model.keras')"
        )
    try:
        with path.open("rb") as stream:
            packed = path.stat().st_size
            start = stream.read(4)
            if start == _HDF5:
                raise KerasError(
                    "is an HDF5 file, the older format; load it where it was made "
                    "(keras.models.load_model), and save it with model.save('model.keras')"
                )
            if not start.startswith(_ZIP):
                raise KerasError("is no .keras file; save the model with model.save('model.keras')")
            with zipfile.ZipFile(stream) as archive:
                _check_members(archive.infolist(), packed)
                return {member.filename: archive.read(member) for member in archive.infolist()}
    except OSError as error:
        raise KerasError(f"cannot be read: {error.strerror or error}") from error
    except KerasError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds
        raise KerasError(
            f"is no .keras file, or is damaged: {first_line(error)}; save the model with "
            "model.save('model.keras')"
        ) from error


def _check_members(members: list[zipfile.ZipInfo], packed: int) -> None:
    names = [member.filename for member in members]
    wanted = {CONFIG, WEIGHTS, METADATA}
    missing, strange = wanted - set(names), [name for name in names if name not in wanted]
    if missing:
        raise KerasError(
            f"holds no {listed(sorted(missing))}; save the model with model.save('model.keras')"
        )
    if strange:
        raise KerasError(
            f"holds '{strange[0][:100]}', and a model of numbers has {CONFIG}, {METADATA} and "
            f"{WEIGHTS} alone (text and look-up layers keep their words so); leave such layers out"
        )
    if len(names) != len(wanted):
        raise KerasError("holds a part twice; save the model with model.save('model.keras')")
    if sum(member.compress_size for member in members) > packed:
        raise KerasError("claims more bytes than it has: it is damaged")
    for member in members:
        most = _MOST_BYTES if member.filename == WEIGHTS else _MOST_CONFIG_BYTES
        bomb = member.file_size > max(_PLAIN_BYTES, _MOST_EXPANSION * member.compress_size)
        if member.file_size > most or bomb:
            raise KerasError(
                f"its {member.filename} unpacks to {size(member.file_size)} from "
                f"{size(member.compress_size)}, and at most {size(most)} are read, none of them "
                f"packed more than {_MOST_EXPANSION} times"
            )
        if (
            member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            or member.flag_bits & _ENCRYPTED
        ):
            raise KerasError(
                f"its {member.filename} is packed in a way that Keras does not; save the model "
                "with model.save('model.keras')"
            )


def _arrays(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Return the arrays of an HDF5 file by their paths, all of it having been looked at."""
    with h5py.File(io.BytesIO(content), "r") as file:
        left = len(content)
        for path, dataset in _datasets(file):
            left -= _check_dataset(path, dataset)
            if left < 0:
                raise KerasError(f"'{path}' and what comes before it are larger than the file")
            if path.startswith("/optimizer"):
                continue
            array = dataset[()]
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise KerasError(
                    f"'{path}' holds numbers that are not finite: did training diverge?"
                )
            yield path, np.asarray(array)


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Return all datasets of a file by their paths; links in it lead nowhere else."""
    waiting, seen = [("", file)], 0
    addresses = {h5py.h5o.get_info(file.id).addr}
    while waiting:
        path, group = waiting.pop()
        if path.count("/") > _MOST_DEPTH:
            raise KerasError(f"its groups are more than {_MOST_DEPTH} deep")
        for name in group:
            seen += 1
            if seen > _MOST_OBJECTS:
                raise KerasError(f"holds more than {_MOST_OBJECTS:,} parts")
            where = f"{path}/{name}"[-200:]
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise KerasError(f"'{where}' is a link to elsewhere, which is not followed")
            member = group[name]
            address = h5py.h5o.get_info(member.id).addr
            if address in addresses:
                raise KerasError(f"'{where}' is there twice, or lies within itself")
            addresses.add(address)
            if isinstance(member, h5py.Group):
                waiting.append((f"{path}/{name}", member))
            elif isinstance(member, h5py.Dataset):
                yield where, member
            else:
                raise KerasError(f"'{where}' is no array")


def _check_dataset(path: str, dataset: Any) -> int:
    """Return how many bytes a dataset has, all of them being in the file."""
    if dataset.external or dataset.is_virtual:
        raise KerasError(f"'{path}' lies in another file, which is not read")
    if dataset.shape is None or dataset.dtype.kind not in "fiubV" or dataset.dtype.fields:
        raise KerasError(f"'{path}' is no array of numbers")
    if dataset.id.get_create_plist().get_nfilters():
        raise KerasError(f"'{path}' is compressed, as Keras does not; save the model with Keras")
    stored = dataset.id.get_storage_size()
    needed: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    if needed > stored:
        raise KerasError(
            f"'{path}' of shape {list(dataset.shape)} needs {size(needed)}, and {size(stored)} are "
            "there"
        )
    return needed

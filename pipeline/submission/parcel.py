"""The package that Ray unpacks on every node: what travels, and a letter to the entrypoint.

Overrides go in the letter. Ray runs an entrypoint through a shell, shows it on its dashboard and
keeps it in its logs: they would be taken apart there, and any credentials in them be read.
"""

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import UsageError
from pipeline.run.own_folder import OwnFolder

LETTER = "_hyperdiag.json"
# Of every file in the package: the same content makes the same bytes, which Ray keeps once.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


class Letter(NamedTuple):
    """What the entrypoint is to do.

    Attributes:
        arguments: of the run, each as it is to arrive.
        environment: the versions that the cluster must have; empty where any will do.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]


def content_digest(files: Mapping[str, Path]) -> str:
    """Return a digest of the names and the content of files."""
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def packed(files: Mapping[str, Path], letter: Letter) -> Iterator[Path]:
    """Make a package, a zip file in a temporary folder; it is removed at the end of the block.

    Where this process is killed, the next that makes a package, or a Ray of its own, removes it.

    Args:
        files: by their paths in the package.
        letter: to the entrypoint.

    Raises:
        UsageError: if a file cannot be read.
    """
    folder = OwnFolder()
    try:
        path = Path(folder.path) / "package.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            # ASCII alone, where any text survives, half a surrogate pair too.
            _put(package, LETTER, json.dumps(letter._asdict()).encode("ascii"))
            for name, file in sorted(files.items()):
                try:
                    _put(package, name, file.read_bytes())
                except OSError as error:
                    raise UsageError(f"cannot read {file}: {error.strerror}") from error
        yield path
    finally:
        folder.remove()


def _put(package: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _LONG_AGO)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    package.writestr(entry, content)


def read_letter(folder: Path) -> Letter:
    """Return the letter in an unpacked package.

    Raises:
        UsageError: if there is none.
    """
    path = folder / LETTER
    if not path.is_file():
        raise UsageError(
            f"there is no {LETTER} in {folder}: this is the entrypoint of jobs that "
            "`hyperdiag submit` sends, not a command of its own"
        )
    return Letter(**json.loads(path.read_text(encoding="ascii")))

"""The package that Ray unpacks on every node: the payload, the bootstrap, the job specification.

Overrides go in the job specification. Ray runs an entrypoint through a shell, shows it on its
dashboard and keeps it in its logs: they would be taken apart there, and any credentials in them be
read.
"""

import contextlib
import hashlib
import json
import secrets
import shlex
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hyperdiag.messages.errors import UsageError
from hyperdiag.process.temporary_folder import TemporaryFolder
from hyperdiag.run.cluster.job_spec_file import JOB_SPEC, remove_job_spec

BOOTSTRAP = "_hyperdiag.py"
# The date of every file in the package, the earliest that a zip file can hold.
_EARLIEST = (1980, 1, 1, 0, 0, 0)


class JobSpec(NamedTuple):
    """What the entrypoint is to do.

    Attributes:
        arguments: of the run, each as it is to arrive.
        environment: the versions that the cluster must have; empty where any will do.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]


def entrypoint(python: str) -> str:
    """Return the command that Ray's shell runs beside an unpacked package.

    It is the same for all runs: nothing from the configuration goes through that shell.

    Args:
        python: the interpreter on the cluster.
    """
    missing = (
        f"hyperdiag: the cluster has no {python}: name its interpreter with submit.python, by an "
        "absolute path where that is not on the PATH of its nodes"
    )
    name, message = shlex.quote(python), shlex.quote(missing)
    # `exec`, so that the signal of a stop reaches Python.
    return (
        f"command -v {name} >/dev/null || {{ printf '%s\\n' {message} >&2; exit 2; }}; "
        f"exec {name} {BOOTSTRAP}"
    )


def content_digest(files: Mapping[str, Path]) -> str:
    """Return a digest of the names and the content of files."""
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def packed(files: Mapping[str, Path], job_spec: JobSpec) -> Iterator[Path]:
    """Make a package, a zip file in a temporary folder; it is removed at the end of the block.

    Where this process is killed, the next that makes a package, or a Ray of its own, removes it.

    Args:
        files: by their paths in the package.
        job_spec: for the entrypoint.

    Raises:
        UsageError: if a file cannot be read.
    """
    folder = TemporaryFolder()
    try:
        path = Path(folder.path) / "package.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            # Ray keeps what it unpacked, by the content of the package, and the job specification
            # is taken out of that: each package is one of its own.
            package.comment = secrets.token_hex(16).encode()
            # ASCII alone, where any text survives, half a surrogate pair too.
            _put(package, JOB_SPEC, json.dumps(job_spec._asdict()).encode("ascii"), mode=0o600)
            _put(package, BOOTSTRAP, Path(__file__).with_name("bootstrap.py").read_bytes())
            for name, file in sorted(files.items()):
                try:
                    _put(package, name, file.read_bytes())
                except OSError as error:
                    raise UsageError(f"cannot read {file}: {error.strerror}") from error
        yield path
    finally:
        folder.remove()


def _put(package: zipfile.ZipFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = mode << 16  # which Ray gives the unpacked file
    package.writestr(entry, content)


def take_job_spec(folder: Path) -> JobSpec:
    """Return the job specification in an unpacked package, and remove its file.

    Raises:
        UsageError: if there is none.
    """
    path = folder / JOB_SPEC
    if not path.is_file():
        raise UsageError(
            f"there is no {JOB_SPEC} in {folder}: this is the entrypoint of jobs that "
            "`hyperdiag submit` sends, not a command of its own"
        )
    job_spec = JobSpec(**json.loads(path.read_text(encoding="ascii")))
    remove_job_spec(folder)
    return job_spec

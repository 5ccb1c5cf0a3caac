"""The files that travel with a run: modules and data from the current folder, configuration."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import is_uri
from hyperdiag.messages.errors import Problems, UsageError
from hyperdiag.run.cluster.user_modules import stands_before_installed, user_modules

from .environment import is_wheel
from .options import SubmitConfig
from .package import BOOTSTRAP, JOB_SPEC

# The job server of Ray 2.60.0 refuses a request of more than 100 MiB (413), long before the
# 512 MiB that Ray's own store takes.
MOST_BYTES = 99 << 20

# Where folders given with --config-dir lie in the package.
_CONFIG = "_config"


def payload_files(
    config: Config, options: SubmitConfig, config_dirs: Sequence[str] = ()
) -> dict[str, Path]:
    """Return the files that a run needs on the cluster, by their paths there.

    They keep their places relative to the current folder, so that relative paths go on leading to
    them. Of folders nothing travels whose name begins with a dot. To be called once the network was
    built (`user_modules`).

    Args:
        config: of the run.
        options: of the submission.
        config_dirs: folders given with --config-dir.

    Raises:
        UsageError: naming every file that is not there or cannot travel, or that it is too much.
    """
    problems = Problems()
    files: dict[str, Path] = {}
    for module in user_modules(config):
        files |= _below(Path(module))
    shocks = config.derived.delta_gamma and config.derived.delta_gamma.scenarios
    for key, value in (
        *_strings("network", config.network.model_dump()),
        *_strings("derived.delta_gamma.scenarios", shocks),
        *_strings("derived.mine.options", config.derived.mine and config.derived.mine.options),
    ):
        if value and not is_uri(value) and not Path(value).is_absolute() and _is_file(value):
            problems.attempt(_add, files, key, value)
    for value in options.files:
        problems.attempt(_add, files, "submit.files", value)
    _check_names(files, problems)
    for position, folder in enumerate(config_dirs):
        place = PurePosixPath(config_folder(position))
        files |= {str(place / path.relative_to(folder)): path for path in _files_in(Path(folder))}
    if options.environment == "install" and options.package and is_wheel(options.package):
        wheel = Path(options.package).expanduser()
        files[wheel.name] = wheel
        if not wheel.is_file():
            problems.add(f"submit.package: there is no file {options.package}")
    problems.check()
    _check_size(files)
    return files


def config_folder(position: int) -> str:
    """Return where a folder given with --config-dir lies on the cluster, relative to the rest."""
    return f"{_CONFIG}/{position}"


def _strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every string in a tree of options, and its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(key, item)


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # too long, or not a path at all
        return False


def _add(files: dict[str, Path], key: str, value: str) -> None:
    path = Path(value)
    if path.is_absolute() or ".." in path.parts or value.startswith("~"):
        raise UsageError(
            f"{key}: {value} is not below the current folder, and only what is there travels; "
            "submit from a folder above it, or give an absolute path that the cluster's machines "
            "have too"
        )
    if not path.exists():
        raise UsageError(f"{key}: there is no {value} in {Path.cwd()}")
    files |= _below(Path.cwd() / path)


def _below(path: Path) -> dict[str, Path]:
    """Return the files of a file or folder in the current folder, by their relative paths."""
    files = [path] if path.is_file() else _files_in(path)
    return {file.relative_to(Path.cwd()).as_posix(): file for file in files}


def _files_in(folder: Path, above: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the files in a folder and those below it; `above` are the folders that led to it."""
    target = folder.resolve()
    if target in above:  # by a link, on and on
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error
    for path in entries:
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _files_in(path, (*above, target))
        elif path.is_file():  # no sockets, no links that lead nowhere
            yield path


def _check_names(files: Mapping[str, Path], problems: Problems) -> None:
    """Check that nothing stands in the way of what is ours on the cluster."""
    shadows = {
        entry: stands_before_installed(entry)
        for entry in {PurePosixPath(name).parts[0] for name in files}
    }
    for name in files:
        first = PurePosixPath(name).parts[0]
        if shadows[first]:
            problems.add(
                f"submit.files, network.*: {first} would stand before the installed package of "
                "that name on the cluster; give it another name, or leave it out"
            )
        elif first in (JOB_SPEC, BOOTSTRAP, _CONFIG):
            problems.add(
                f"submit.files, network.*: {first} is the name of something else that travels with "
                "a run; give it another name, or leave it out"
            )


def _check_size(files: dict[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    total = sum(sizes.values())
    if total > MOST_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise UsageError(
            f"{len(sizes):,} files with {total >> 20:,} MiB would travel with the run, the largest "
            f"of them {largest}; Ray's job server takes {MOST_BYTES >> 20} MiB. Put large files "
            "where the cluster's machines see them, and name them by absolute paths"
        )

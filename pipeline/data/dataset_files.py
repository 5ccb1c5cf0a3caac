"""Which files make a dataset: those of a folder or a glob, each once."""

import fnmatch
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import PurePosixPath

from pyarrow import fs

from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .filesystem import Place, resolve
from .table_formats import TablesWithin, check_plain_files

log = logging.getLogger("hyperdiag")

_ENDINGS = (".parquet", ".parq", ".pq")  # in letters of any size

# What is no folder, and its real path where a link leads there.
_Found = tuple[fs.FileInfo, str | None]


def find_files(path: str) -> tuple[Place, list[fs.FileInfo]]:
    """Find the files of a dataset; the log tells of what is passed over.

    A file that links lead to as well is found once: where it is, or, if that is outside, at the
    first of its paths. Links that lead back into a folder that they are in are not followed.

    Args:
        path: a file, a folder (with all folders in it), or a glob; a local path or a URI.

    Returns:
        The folder that the files are in (or the one file), and the files by path.

    Raises:
        UsageError: if there is nothing there, it cannot be listed, or is a table of a format with
            metadata of its own.
    """
    place = resolve(path)
    info = place.info()
    if info.type == fs.FileType.File:
        check_plain_files(path, [place])
        return place, [info]
    base = place
    is_data: Callable[[str], bool] = _is_parquet
    if info.type != fs.FileType.Directory:
        base, is_data = Place(place.filesystem, _fixed(place.path)), _matcher(place.path)
        if base.path == str(PurePosixPath(place.path)):
            raise UsageError(f"dataset.path: nothing at {masked(path)}{_in_full(path, place)}")
    check_plain_files(path, [base])
    tables = TablesWithin(base)
    try:
        infos = _pick(base, is_data, _list(base), tables)
    except (OSError, UnicodeDecodeError) as error:  # a name in there that is no UTF-8
        raise UsageError(f"dataset.path: cannot list {masked(path)}: {error}") from error
    if not infos:
        what = "no file matches"
        if is_data is _is_parquet:
            what = "no Parquet file (*.parquet, *.parq, *.pq) in"
        raise UsageError(f"dataset.path: {what} {masked(path)}{_in_full(path, place)}")
    tables.check(path, infos)
    return base, sorted(infos, key=lambda info: info.path)


def _in_full(path: str, place: Place) -> str:
    """Return a relative local path in full, in brackets: it starts at the current folder."""
    return f" ({place.path})" if place.is_local and not path.startswith(("/", "file:")) else ""


def _pick(
    base: Place, is_data: Callable[[str], bool], entries: Iterable[_Found], tables: TablesWithin
) -> list[fs.FileInfo]:
    infos: list[fs.FileInfo] = []
    linked: list[tuple[str, str, fs.FileInfo]] = []
    passed_over: list[str] = []
    for info, real in entries:
        tables.look(info.path, real)
        if _hidden(info.path, base.path) or not is_data(info.path):
            if is_data is _is_parquet or is_data(info.path):  # a glob means to leave some out
                passed_over.append(info.path)
        elif real is None:
            infos.append(info)
        else:
            linked.append((info.path, real, info))
    again = _add_linked(infos, linked, base.path) if linked else []
    if passed_over:
        log.info(
            "dataset.path: %s taken for no data: data are *.parquet, *.parq and *.pq, in no folder "
            "and of no name that begins with _ or .",
            _counted(passed_over),
        )
    if again:
        log.info("dataset.path: %s read once, though links lead there again", _counted(again))
    return infos


def _add_linked(
    infos: list[fs.FileInfo], linked: list[tuple[str, str, fs.FileInfo]], base: str
) -> list[str]:
    """Add to the files in a folder those that links lead to; return paths of files there before."""
    root = os.path.realpath(base).rstrip("/")
    seen = {f"{root}/{info.path.removeprefix(base).lstrip('/')}" for info in infos}
    again = []
    for path, real, info in sorted(linked, key=lambda link: link[:2]):
        if real in seen:
            again.append(path)
        else:
            seen.add(real)
            infos.append(info)
    return again


def _list(base: Place) -> Iterable[_Found]:
    if base.is_local:
        return _walk(base)
    infos = base.filesystem.get_file_info(fs.FileSelector(base.path, recursive=True))
    return ((info, None) for info in infos if info.type != fs.FileType.Directory)


def _walk(base: Place) -> Iterator[_Found]:
    """Yield what is in a local folder and those in it, through links too, but in no circle."""
    real = os.path.realpath(base.path)
    todo = [(base.path, real, False, frozenset([real]))]
    while todo:
        folder, real, by_link, above = todo.pop()
        for info in base.filesystem.get_file_info(fs.FileSelector(folder)):
            is_link = os.path.islink(info.path)  # noqa: PTH114  # of a million
            its_real = os.path.realpath(info.path) if is_link else f"{real}/{info.base_name}"
            if info.type != fs.FileType.Directory:
                yield info, its_real if is_link or by_link else None
            elif its_real not in above:
                todo.append((info.path, its_real, is_link or by_link, above | {its_real}))
            else:
                log.info("dataset.path: %s leads back to %s: not followed", info.path, its_real)


def _counted(paths: list[str]) -> str:
    first = min(paths)
    return f"{first} is" if len(paths) == 1 else f"{len(paths):,} files (the first: {first}) are"


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(_ENDINGS)


def would_match(pattern: Place, file: Place) -> bool:
    """Return whether a glob would find a file, given by its real path, were it there."""
    base = pattern._replace(path=_fixed(pattern.path))
    wildcards = str(PurePosixPath(pattern.path).relative_to(base.path))
    real = base.real()
    below = file.path.removeprefix(real.path).strip("/")
    return real.contains(file) and _matcher(wildcards)(below) and not _hidden(below, "")


def _fixed(pattern: str) -> str:
    """Return the folder that a glob names before its first wildcard; all of what is no glob."""
    parts = PurePosixPath(pattern).parts
    fixed = takewhile(lambda part: not any(c in part for c in "*?["), parts)
    return str(PurePosixPath(*fixed))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return a test of paths: `*` stays within a folder, `**` goes through any number of them."""
    wanted = tuple(str(PurePosixPath(pattern)).split("/"))

    def matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
        if not pattern:
            return not parts
        if pattern[0] == "**":
            return any(matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
        return (
            bool(parts)
            and fnmatch.fnmatchcase(parts[0], pattern[0])
            and matches(parts[1:], pattern[1:])
        )

    return lambda path: matches(tuple(path.split("/")), wanted)


def _hidden(path: str, base: str) -> bool:
    """Return whether a name below a dataset's folder says that it is no data.

    As elsewhere, `_year=2025` is a key and its value, not the name of something hidden.
    """
    inside = path.removeprefix(base).strip("/").split("/")
    return any(part[:1] == "." or (part[:1] == "_" and "=" not in part) for part in inside)

"""The choice of method and tile, and the files that keep it from one process to the next."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ._jaxpr import ProgramShape
from ._methods import METHODS

log = logging.getLogger("hyperdiag")


class Choice(NamedTuple):
    """What a run freezes: the method's name and the rows of a tile (None: no tiling)."""

    method: str
    tile: int | None


# Raised where a method makes another program of a function: what was fastest need not be any more.
_PROGRAMS = 3
# The choices that this process made.
_choices: dict[str, Choice] = {}


def choice_key(shape: ProgramShape, method: str | None, tile: int | None) -> str:
    """Return the name under which a choice is kept.

    Args:
        shape: of the program; with another program, device or version, the choice is another.
        method: the one that was asked for; None: any.
        tile: likewise.
    """
    text = "\n".join([shape.text, *METHODS, str(_PROGRAMS)])
    return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}-{method}-{tile}"


def kept_choice(key: str) -> Choice | None:
    """Return what this process, or an earlier one on this machine, chose; None if not known."""
    if key in _choices:
        return _choices[key]
    folder = _folder()
    if folder is None:
        return None
    try:
        content = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        choice = Choice(content["method"], content["tile"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    usable = choice.method in METHODS and isinstance(choice.tile, int) and choice.tile > 0
    return choice if usable else None


def keep_choice(key: str, choice: Choice, seconds: Mapping[Choice, float]) -> None:
    """Keep a choice for this process and, if the folder can be written, for later ones.

    Args:
        key: from `choice_key`.
        choice: the fastest.
        seconds: of each choice that was timed, for one row.
    """
    _choices[key] = choice
    folder = _folder()
    if folder is None:
        return
    content = {
        "method": choice.method,
        "tile": choice.tile,
        "rows_per_s": {f"{c.method}/{c.tile}": round(1 / s, 1) for c, s in seconds.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: several processes may tune the same program.
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        Path(file.name).replace(folder / f"{key}.json")
    except OSError as error:
        log.debug("tuning: the outcome is not kept: %s", error)


def _folder() -> Path | None:
    """Return where choices are kept; None if HYPERDIAG_CACHE is set to nothing."""
    configured = os.environ.get("HYPERDIAG_CACHE")
    if configured is not None:
        return Path(configured) / "tuning" if configured else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hyperdiag" / "tuning"

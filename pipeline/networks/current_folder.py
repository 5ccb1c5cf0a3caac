"""Modules of the user's own in the current folder: found for what an option names, and no other.

The current folder is not in Python's path: a `ray.py` or `scipy.py` that lies there would be run in
place of what this program imports by that name.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

from .site_policy import has_policy, leave_current_folder

_IMPORTING = ("importlib", "_frozen_importlib", "_frozen_importlib_external")


class _UserModules(MetaPathFinder):
    """Finds what is asked for as a target, and what a module that it found imports.

    It comes after all other finders, so that what is installed is never replaced.

    Attributes:
        folder: in which it looks.
        targets: names of the modules, without what follows a dot, that it looks for whoever asks.
        served: such names of modules that it has found.
    """

    def __init__(self) -> None:
        self.folder = ""
        self.targets: set[str] = set()
        self.served: set[str] = set()

    def look_for(self, target: str, folder: str) -> None:
        """Look for a target in a folder from now on."""
        if folder != self.folder:
            self.folder, self.served = folder, set()
        self.targets = {target}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, as `importlib` asks each finder; those in packages excepted."""
        if path is not None or not self.folder:
            return None
        if name not in self.targets and _importer(sys._getframe(1)) not in self.served:
            return None
        spec = PathFinder.find_spec(name, [self.folder])
        if spec is not None:
            self.served.add(name)
        return spec


_finder = _UserModules()


def import_target(name: str) -> ModuleType:
    """Import a module from Python's path, or else from the current folder.

    Where the site has a policy the current folder is left out: it may be a shared one.

    Raises:
        ImportError: if there is no such module; and whatever the module raises.
    """
    if has_policy():
        leave_current_folder()
        _finder.folder = ""
    else:
        if _finder not in sys.meta_path:
            sys.meta_path.append(_finder)
        _finder.look_for(name.partition(".")[0], str(Path.cwd()))
    return importlib.import_module(name)


def _importer(frame: FrameType | None) -> str:
    """Return the name, without what follows a dot, of the module whose code imports something."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in _IMPORTING:
            return name
        frame = frame.f_back
    return ""

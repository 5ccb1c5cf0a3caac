"""The user's own code: what a cluster is given, and what would stand before installed modules."""

import sys
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path

import hyperdiag
from hyperdiag.config.schema import Config

OURS = "hyperdiag"  # every node has it already
_SUFFIXES = {Path(f"x{suffix}").suffix for suffix in all_suffixes()}


def user_modules(config: Config) -> list[str]:
    """Return the modules and packages in the current folder that the network is made of.

    Those of `derived.mine` are among them. To be called once the network was built, and that
    function imported: what their modules import is known then.

    Returns:
        Paths of files and folders in the current folder; none if nothing is the user's.
    """
    if not config.network.model_dump().get("target") and not config.derived.mine:
        return []
    here = Path.cwd()
    names = {name.partition(".")[0] for name in sys.modules} - {OURS}
    entries = {here / entry for name in names if (entry := _entry(name, here))}
    return sorted(str(entry) for entry in entries if entry.resolve() not in _own_folders())


def stands_before_installed(name: str) -> bool:
    """Return whether a module or package of a folder would be taken in place of an installed one.

    Ray puts the folder of a job's files before all else that its processes import from.

    Args:
        name: of a file or folder, in the current one; a folder without `__init__.py` is no package
            that stands before another.
    """
    path = Path(name)
    if not (path / "__init__.py").exists() if path.is_dir() else path.suffix not in _SUFFIXES:
        return False
    module = path.name.partition(".")[0]
    here = Path.cwd().resolve()
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    return module in sys.stdlib_module_names or PathFinder.find_spec(module, elsewhere) is not None


def _own_folders() -> set[Path]:
    """Return the folders of this program: in a clone `jobs` is found by that name too."""
    package = Path(hyperdiag.__file__).parent
    return {package.resolve(), (package / "jobs").resolve()}


def _entry(name: str, folder: Path) -> str | None:
    """Return the entry of a folder that a module is loaded from, a file or a package's folder.

    A virtual environment in the folder is none: what is in it is not found through the folder.
    """
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    for origin in [file] if file else getattr(module, "__path__", ()):
        if Path(origin).is_relative_to(folder):
            entry = Path(origin).relative_to(folder).parts[0]
            if entry == name or entry.startswith(f"{name}."):
                return entry
    return None

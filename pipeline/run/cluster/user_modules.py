"""The user's own code: what a cluster has to be given, and what would stand before ours."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import hyperdiag
from hyperdiag.config.schema import Config
from hyperdiag.messages.errors import UsageError

OURS = "hyperdiag"  # every node has it already


def user_modules(config: Config) -> list[str]:
    """Return the modules and packages in the current folder that the network is made of.

    To be called once the network was built: what its module imports is known then.

    Returns:
        Paths of files and folders in the current folder; none if the network is not the user's.
    """
    if not config.network.model_dump().get("target"):
        return []
    here = Path.cwd()
    names = {name.partition(".")[0] for name in sys.modules} - {OURS}
    entries = {here / entry for name in names if (entry := _entry(name, here))}
    return sorted(str(entry) for entry in entries if entry.resolve() not in _own_folders())


def hyperdiag_here() -> Path | None:
    """Return the file that `import hyperdiag` finds in the current folder; None if there is none.

    A folder of that name without `__init__.py`, such as a clone of the repository, has none: Python
    goes on looking elsewhere.
    """
    spec = PathFinder.find_spec(OURS, [str(Path.cwd())])
    return Path(spec.origin) if spec and spec.origin else None


def check_current_folder(config: Config) -> None:
    """Check that workers will find this program, and not a module of the user's.

    Ray puts the driver's current folder before all else that its workers import from.

    Raises:
        UsageError: if the folder has a module or package `hyperdiag` of its own.
    """
    file = None if config.cluster.name == "inline" else hyperdiag_here()
    if file and file.resolve() != Path(hyperdiag.__file__).resolve():
        entry = file.relative_to(Path.cwd()).parts[0]
        raise UsageError(
            f"{entry} in the current folder would stand before hyperdiag's own package of that "
            "name in its workers: rename it, or run from another folder"
        )


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

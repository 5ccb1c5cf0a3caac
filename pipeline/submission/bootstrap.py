"""How a submitted run begins on the cluster: does its Python have what the run expects?

It travels with the run and knows the standard library alone, since anything else may be missing.
"""

import json
import os
import sys
from importlib import metadata
from pathlib import Path

_NEEDED = ("hyperdiag", "ray")  # in any version, where the run expects none


def differences(expected: dict[str, str]) -> list[str]:
    """Return what is missing in this Python, or is there in another version than expected.

    Args:
        expected: versions by package, and by "python" that of the interpreter, as 3.12.
    """
    installed = {name: _version(name) for name in (*_NEEDED, *expected)}
    installed["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        f"{name} {version or '(none)'}"
        + (f" instead of {expected[name]}" if name in expected else "")
        for name, version in installed.items()
        if version is None or version != expected.get(name, version)
    ]


def _version(name: str) -> "str | None":
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Become the run that the job specification in the current folder asks for.

    Or say what this Python lacks for it, and exit with code 2.
    """
    file = Path("_hyperdiag.json")
    mismatches = differences(json.loads(file.read_text(encoding="ascii"))["environment"])
    if mismatches:
        file.unlink()  # there may be credentials in it, and Ray keeps it
        print(
            f"hyperdiag: the cluster has {', '.join(mismatches)} in {sys.executable}: name another "
            "interpreter with submit.python, submit from an environment like the cluster's, or "
            "have it installed with submit.environment=install",
            file=sys.stderr,
        )
        sys.exit(2)
    # `-P`, as anywhere else: the folder of the run comes in through Hydra and network.target.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "hyperdiag.jobs._submitted"])


if __name__ == "__main__":
    main()

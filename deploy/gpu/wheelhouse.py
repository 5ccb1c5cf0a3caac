"""Fills a folder with the wheels that hyperdiag needs on a machine without network.

    make wheelhouse PYTHON_VERSION=3.12

The machine is x86-64 Linux, has JAX and what else `--there` names, and no Ray, which is not needed
there. Besides wheels, the folder gets `requirements.txt`: what hyperdiag asks for, but for Ray.
`check.sh` installs from it.
"""

import argparse
import email
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# glibc 2.28 and before. pip takes the names of older ones only where they are given.
PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
    *(f"manylinux{name}_x86_64" for name in ("2014", "2010", "1")),
]
# No wheel of theirs is published; pure Python.
SOURCE_ONLY = ("antlr4-python3-runtime",)
# A run without a cluster does without.
NOT_NEEDED = ("ray",)
# With QLKNN, the network of the benchmark.
EXTRA = "examples"
MOST_BYTES = 60_000_000


def main() -> None:
    """Fill the folder; say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--python-version", required=True, help="of the machine: 3.12")
    parser.add_argument("--constraints", required=True, type=Path, help="exact versions")
    parser.add_argument("--folder", default=ROOT / "wheelhouse", type=Path)
    parser.add_argument("--there", nargs="*", default=[], help="packages that the machine has")
    options = parser.parse_args()
    fill(options.folder, options.python_version, options.constraints, options.there)
    try:
        print(contents(options.folder))
    except ValueError as error:
        sys.exit(f"wheelhouse: {error}")


def fill(folder: Path, python_version: str, constraints: Path, there: list[str]) -> None:
    """Put all wheels into a folder; those of an earlier time are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        wheel.unlink()
    to_folder = ["--wheel-dir", str(folder), "--no-deps", "-c", str(constraints)]
    pip("wheel", *to_folder, str(ROOT))
    pip("wheel", *to_folder, *SOURCE_ONLY)
    (ours,) = folder.glob("hyperdiag-*.whl")
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in required(ours)), encoding="utf-8")
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python_version]
    for platform in PLATFORMS:
        target += ["--platform", platform]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        pip(
            *("install", "--dry-run", "--ignore-installed", "--target", f"{scratch}/target"),
            *("--report", str(report), "--find-links", str(folder), "-c", str(constraints)),
            *(*target, "-r", str(requirements)),
        )
        wanted = versions(json.loads(report.read_text(encoding="utf-8")), there)
    pip("download", "--no-deps", "--dest", str(folder), *target, *wanted)


def pip(*arguments: str) -> None:
    """Run pip, of this Python; end with its exit code if it fails."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"wheelhouse: `pip {' '.join(arguments[:2])} ...` failed, as said above")


def required(wheel: Path) -> list[str]:
    """Return the requirements of a wheel and of its extra, without those that are not needed."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = email.message_from_bytes(archive.read(metadata))
    lines = []
    for line in headers.get_all("Requires-Dist", []):
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.fullmatch(r"extra == ['\"](\w+)['\"]", marker)
        if marker and (extra is None or extra[1] != EXTRA):
            continue
        name = re.match(r"[\w.-]+", requirement)
        if name and canonical(name[0]) not in NOT_NEEDED:
            lines.append(requirement)
    return lines


def versions(report: dict, there: list[str]) -> list[str]:
    """Return `name==version` of what pip would install, without what is there or in the folder."""
    left_out = {canonical(name) for name in (*there, *SOURCE_ONLY)}
    packages = [package["metadata"] for package in report["install"]]
    return [
        f"{package['name']}=={package['version']}"
        for package in packages
        if canonical(package["name"]) not in left_out
    ]


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def contents(folder: Path, most_bytes: int = MOST_BYTES) -> str:
    """Return what is in the folder, in a sentence.

    Raises:
        ValueError: if it is more than may be carried, naming the largest.
    """
    sizes = {wheel.name: wheel.stat().st_size for wheel in folder.glob("*.whl")}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:4]
    named = ", ".join(f"{name} {sizes[name] / 1e6:.1f} MB" for name in largest)
    total = sum(sizes.values())
    sentence = f"{folder}: {len(sizes)} wheels, {total / 1e6:.1f} MB; the largest are {named}"
    if total > most_bytes:
        raise ValueError(
            f"{sentence}; at most {most_bytes / 1e6:.0f} MB: name what the machine has in THERE"
        )
    return sentence


if __name__ == "__main__":
    main()

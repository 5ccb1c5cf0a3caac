"""What is in a wheel and in an sdist: the whole package `hyperdiag`, once, and nothing else."""

from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
# Folders of the repository, and where what is in them lies in the installed package.
PLACES = {"pipeline": "hyperdiag", "jobs": "hyperdiag/jobs", "conf": "hyperdiag/conf"}


def _in_the_package():
    """Return the paths in the package of all that the repository has for it, links not followed."""
    return {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLACES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".png"
    }


@pytest.fixture
def files_of():
    """Return the files of a distribution as the build makes it, by their paths there."""
    builders = {"wheel": WheelBuilder, "sdist": SdistBuilder}

    def listed(kind):
        files = builders[kind](str(ROOT)).recurse_included_files()
        paths = [file.distribution_path for file in files]
        assert len(paths) == len(set(paths))
        return set(paths)

    return listed


def test_wheel_holds_the_package_and_nothing_else(files_of):
    files = files_of("wheel")
    assert files == _in_the_package()
    for name in ("__init__", "__main__", "jobs/derive", "run/derive", "submission/bootstrap"):
        assert f"hyperdiag/{name}.py" in files
    assert {"hyperdiag/conf/derive.yaml", "hyperdiag/py.typed"} <= files


def test_sdist_holds_what_a_wheel_is_built_from(files_of):
    # Besides pyproject.toml, README.md and LICENSE, which the build adds by itself.
    assert files_of("sdist") == {f".src/{path}" for path in _in_the_package()}

"""deploy/Containerfile: what is copied is enough to build the package from.

Its steps are carried out in `make chaos`.
"""

import shutil
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from tests.chaos.container import instructions, may_be_copied

ROOT = Path(__file__).parents[2]


def test_what_is_copied_makes_the_whole_package(tmp_path):
    text = (ROOT / "deploy/Containerfile").read_text()
    for word, rest in instructions(text):
        if word == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            for source in sources:
                assert may_be_copied(source)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, tmp_path / target, symlinks=True)
                else:
                    shutil.copy(ROOT / source, tmp_path / target)
    built, expected = (
        {file.distribution_path for file in WheelBuilder(str(folder)).recurse_included_files()}
        for folder in (tmp_path, ROOT)
    )
    assert built == expected

"""The walk-through, run as a reader would run it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# One process runs it, for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tour")]
TOUR = Path(__file__).parents[2] / "pipeline/hyperdual/tour.py"


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What the walk-through prints; it checks its own numbers, and warnings are errors."""
    command = [sys.executable, "-W", "error", "-m", "hyperdiag.hyperdual.tour"]
    environment = os.environ | {"HYPERDIAG_CACHE": str(tmp_path_factory.mktemp("cache"))}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


def test_tour_shows_each_quantity_with_its_shape(lines):
    assert "shapes: (1000, 3) (1000, 3, 4) (1000, 3, 4)" in lines
    assert "laplacian and hvp: (1000, 3) (1000, 3, 4)" in lines


def test_tour_names_what_was_chosen_and_all_methods(lines):
    assert any(line.startswith("chosen here: Choice(method='") for line in lines)
    assert any(line.startswith("the same by: hyperdual, hyperdual_adjoint, ") for line in lines)


def test_tour_teaches_a_primitive_that_was_refused_by_name_and_place(lines):
    (number,) = [at for at, line in enumerate(lines) if "'cube' twice, at tour.py:" in line]
    assert lines[number].startswith("refused: cannot differentiate 'cube'")
    assert lines[number + 1] == "d2(x^3)/dx2 at 1 and 2: [6.0, 12.0]"


def test_tour_shows_what_is_refused(lines):
    assert any("'taylor' cannot differentiate 'relu' (custom_jvp)" in line for line in lines)
    assert lines[-1] == "refused: wrt must name inputs 0 to 3; got [4]"


def test_tour_is_cells_of_code_and_text_and_no_module_imports_it():
    cells = TOUR.read_text(encoding="utf-8").split("# %%")[1:]
    assert sum(cell.startswith(" [markdown]") for cell in cells) >= 8
    assert "hyperdiag.hyperdual.tour" not in sys.modules

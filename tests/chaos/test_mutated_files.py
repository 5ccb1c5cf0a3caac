"""Damaged and odd input files: no crash, no hang, no row that is neither there nor named."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .cases import case_of_bytes, make_case, odd_case
from .odd_files import ODD_FILES
from .plain_files import Rows, passengers, points, write
from .process import Examiner

_FEW, _MANY, _BLOCK = 40, 3000, 150


@pytest.fixture(scope="module")
def examine(tmp_path_factory):
    examiner = Examiner(str(tmp_path_factory.mktemp("chaos") / "log"))
    yield examiner
    examiner.close()


def _run(examine, folder, seeds):
    """Run cases; return what is wrong with any, each with the command that runs it again."""
    wrong = []
    for seed in seeds:
        place = folder / str(seed)
        case = make_case(seed, place)
        outcome, found = examine(case)
        wrong += [f"{one}\n  {case}\n  python -m tests.chaos {seed}" for one in found]
        print(seed, case.what, outcome.kind)
        shutil.rmtree(place)
    return wrong


def _report(wrong):
    assert not wrong, f"{len(wrong)} findings\n" + "\n".join(wrong)


@pytest.mark.slow
def test_damaged_and_odd_files_each_row_is_accounted_for_or_the_file_named(examine, tmp_path):
    _report(_run(examine, tmp_path, range(_FEW)))


@pytest.mark.chaos
@pytest.mark.parametrize("block", range(_MANY // _BLOCK))
def test_thousands_of_damaged_files_each_row_is_accounted_for_or_the_file_named(
    examine, tmp_path, block
):
    first = 100_000 + block * _BLOCK
    _report(_run(examine, tmp_path, range(first, first + _BLOCK)))


@pytest.mark.one_in(16)
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[pytest.mark.slow] * (what == "enormous_row_group"))
        for what in ODD_FILES
    ],
)
def test_odd_but_valid_file_ends_as_it_must(examine, tmp_path, what):
    case = odd_case(what, 1, tmp_path)
    _report(examine(case)[1])


def _rows():
    rng = np.random.default_rng(3)
    table = pa.table({**passengers(rng, 40), "v": points(rng, 40, "list")})
    return Rows([table.slice(0, 25), table.slice(25)], None, "v", {"compression": "none"})


PLACES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
@given(edits=PLACES, tail=st.booleans())
def test_any_edit_of_a_files_bytes_is_survived(examine, tmp_path_factory, edits, tail):
    """Hypothesis shrinks what breaks it to the fewest bytes."""
    folder = tmp_path_factory.mktemp("edited")
    rows = _rows()
    write(rows, str(folder / "whole.parquet"))
    content = bytearray((folder / "whole.parquet").read_bytes())
    (folder / "whole.parquet").unlink()
    low = len(content) // 2 if tail else 0
    for place, value in edits:
        content[low + int(place * (len(content) - 1 - low))] = value
    case = case_of_bytes(bytes(content), rows, folder)
    outcome, found = examine(case)
    note(f"{outcome.kind}: {outcome.said}")
    shutil.rmtree(folder)
    _report(found)

"""Rows with the highest scores, against a sort of all."""

import numpy as np
import pytest

from hyperdiag.statistics.highest_scores import Scores

M, K, KEEP = 3, 4, 5
SCALE = np.array([1.0, 0.5, 0.25, 2.0], np.float32)


def _kinds(rows):
    rng = np.random.default_rng(rows)
    smooth = rng.normal(size=(M, K, rows))
    return {
        "smooth": smooth,
        "zeros": np.zeros((M, K, rows)),
        "few values": rng.integers(0, 3, (M, K, rows)),
        "rising": smooth + np.arange(rows),
        "falling": smooth - np.arange(rows),
        # A number that is the largest, and others that are nearly as large in each row.
        "spike": np.where(np.arange(rows) == 7, 100.0, 0.0) + np.abs(smooth).clip(3, 3.5),
    }


def _sorted(values, size, floor):
    """Return output, row, direction and score of each output's first rows above a floor."""
    scores = size(values) * SCALE[:, None]
    best, direction = scores.max(axis=1), scores.argmax(axis=1)
    found = []
    for output in range(M):
        order = sorted(range(values.shape[2]), key=lambda row: (-best[output, row], row))
        kept = [row for row in order[:KEEP] if best[output, row] > floor]
        found += [(output, r, direction[output, r], best[output, r]) for r in kept]
    return found


@pytest.mark.parametrize("kind", _kinds(70))
@pytest.mark.parametrize("rows", [1, 4, 63, 64, 300, 5000, 50_000])
@pytest.mark.parametrize("size", [np.abs, np.positive, np.negative])
def test_rows_are_those_of_a_sort(kind, rows, size):
    values = _kinds(rows)[kind].astype(np.float32)
    largest = np.abs(values).max(axis=2)
    scores = Scores(values, size, SCALE, largest)
    for floor in (-np.inf, 0.0, 3.0):
        highest = scores.highest(np.full(M, floor), KEEP, ties=False)
        right = _sorted(values, size, floor)
        assert highest.rank.tolist() == [
            at for output in range(M) for at in range(sum(o == output for o, *_ in right))
        ]
        entries = zip(highest.output, highest.row, highest.direction, highest.score, strict=True)
        assert [*entries] == right


def test_at_the_floor_the_first_rows_are_looked_at_where_they_may_be_before_others():
    values = np.full((M, K, 5000), 2.0, np.float32)
    scores = Scores(values, np.abs, np.ones(K, np.float32), values[:, :, 0])
    highest = scores.highest(np.full(M, 2.0), KEEP, ties=True)
    assert highest.row.tolist() == [*range(KEEP)] * M
    assert not scores.highest(np.full(M, 2.0), KEEP, ties=False).row.size

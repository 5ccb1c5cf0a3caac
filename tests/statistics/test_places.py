"""Places of rows, joined and put in order."""

import numpy as np
import pytest

from hyperdiag.statistics.places import Places


def named(places):
    """The name and row of each."""
    names = [places.files[at] for at in places.file.tolist()]
    return list(zip(names, places.row.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_joined_places_are_those_of_the_parts_and_files_ascend(seed):
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(rng.integers(1, 6)):
        files = tuple(sorted({f"f{at}" for at in rng.integers(0, 9, rng.integers(1, 9)).tolist()}))
        size = rng.integers(0, 7)
        parts.append(Places(files, rng.integers(0, len(files), size), rng.integers(0, 99, size)))
    joined = Places.joined(parts)
    assert named(joined) == [place for part in parts for place in named(part)]
    assert list(joined.files) == sorted(set(joined.files))
    ordered = joined.take(joined.order())
    assert named(ordered) == sorted(named(joined))
    assert joined.ascend == (named(joined) == sorted(set(named(joined))))

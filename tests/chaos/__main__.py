"""`python -m tests.chaos SEED [SEEDS]`: run cases again and say what became of each."""

import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .cases import make_case
from .process import Examiner


def main(first: int, count: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="hd-chaos-"))
    examine = Examiner(str(folder / "log"))
    counts: Counter[str] = Counter()
    wrong = 0
    try:
        for seed in range(first, first + count):
            case = make_case(seed, folder / str(seed))
            began = time.monotonic()
            outcome, found = examine(case)
            counts[outcome.kind] += 1
            wrong += bool(found)
            if found or count == 1:
                print(f"{case}\n  {outcome.kind}: {outcome.said[-2000:]}")
                print(*(f"  FINDING: {one[:500]}" for one in found), sep="\n")
            if time.monotonic() - began > 10:
                print(f"seed {seed} took {time.monotonic() - began:.0f} s: {case.what}")
            if (seed - first) % 100 == 99:
                print(f"{seed - first + 1} of {count}: {dict(counts)}", flush=True)
            if not found and count > 1:
                shutil.rmtree(folder / str(seed))
    finally:
        examine.close()
    print(f"{count} cases: {dict(counts)}, {wrong} with findings; kept in {folder}")
    return int(wrong > 0)


if __name__ == "__main__":
    first, count = ([int(word) for word in sys.argv[1:]] + [1])[:2]
    sys.exit(main(first, count))

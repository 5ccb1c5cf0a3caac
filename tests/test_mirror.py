"""Tests mirror what they test: `tests/<room>/test_<file>.py`, or `test_<file>_<more>.py`.

A folder of files that serve one thing, such as `hyperdual/_methods`, counts as a file.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = sorted(path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py"))

# What several files do together is tested in a file that says so.
BEHAVIOURS = {
    "chaos": "whole runs under kills, damage and load",
    "deploy": "what lies in deploy/",
    "pages": "what the pages for people say",
    "store": "whole runs, and the files of data/, on an object store",
    "data/test_damaged_input.py": "input files that are damaged",
    "data/test_odd_input.py": "input files that are valid and odd",
    "hyperdual/test_edges.py": "programs at the edge of what can be derived",
    "hyperdual/test_exactness.py": "every program of `programs`, by every rule that it takes",
    "hyperdual/test_parameters.py": "parameters of primitives, each at several values",
    "hyperdual/test_piecewise_linear.py": "J of programs whose D is zero, from one sweep",
    "hyperdual/test_random_programs.py": "programs drawn at random",
    "hyperdual/test_range.py": "numbers in units of any size",
    "hyperdual/test_selected_away.py": "programs that hide what is not finite behind a mask",
    "hyperdual/test_structure.py": "operations that are not computed, counted",
    "jobs/test_hydra_usage.py": "what a user of Hydra is used to",
    "jobs/test_interrupt.py": "Ctrl-C, whatever the job",
    "jobs/test_no_way_in.py": "tries to run code, and to read secrets",
    "jobs/test_user_folder.py": "modules of a person's own, named as folders of the project",
    "jobs/test_wrong_input.py": "what a person gets wrong, and what is said",
    "networks/test_no_pickle.py": "weights that would run code",
    "networks/test_odd_networks.py": "networks that are valid and odd",
    "run/test_derived_quantities.py": "whole runs with derived quantities",
    "run/test_faults.py": "disks, stores, signals that fail a whole run",
    "run/test_messages.py": "what a whole run says",
    "run/test_no_pickle.py": "plans and receipts that would run code",
    "run/test_quarantine_dataset.py": "rows of a quarantine, derived once more",
    "run/test_statistics.py": "statistics of a whole run's rows, whatever dies meanwhile",
    "run/test_statistics_neuralsens.py": "statistics of a run, and another package's measures",
    "run/test_update.py": "an output whose input files changed",
    "run/test_update_deaths.py": "an update that is killed at each of its steps",
    "run/workers/test_autoscaling.py": "a cluster whose nodes come on demand",
    "schedule/test_nightly.py": "a scheduler, its runs and their deaths",
    "test_mirror.py": "this file",
    "test_packaging.py": "what is in a wheel and in an sdist",
    "test_source.py": "the source of every room",
}


def mirrors_a_file(test):
    """Return whether a test file is named after a source file of the same room."""
    room = ROOT / ("" if test.parts[0] == "jobs" else "pipeline") / test.parent
    name = test.stem.removeprefix("test_")
    sources = [path.stem.lstrip("_") for path in room.glob("*")]
    return any(name == source or name.startswith(f"{source}_") for source in sources)


def test_test_files_mirror_source_files_or_say_what_they_test():
    def listed(test):
        return test.as_posix() in BEHAVIOURS or test.parts[0] in BEHAVIOURS

    assert [str(test) for test in TESTS if mirrors_a_file(test) == listed(test)] == []


def test_behaviours_that_are_listed_have_their_tests():
    assert [name for name in BEHAVIOURS if not (ROOT / "tests" / name).exists()] == []

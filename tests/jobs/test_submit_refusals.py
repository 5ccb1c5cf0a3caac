"""What `hyperdiag submit` refuses before it looks for a cluster."""

import pytest

_BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
_RUN = ("network=chain", _BOX, "dataset.rows=50")


@pytest.mark.parametrize(
    ("overrides", "complaints"),
    [
        (["submit.address=http://127.0.0.1:1"], ["no job server at http://127.0.0.1:1 "]),
        (
            ["submit.address=127.0.0.1:6379", "submit.action=list"],
            ["must be that of the cluster's job server, http://host:8265"],
        ),
        (["submit.action=stop"], ["submit.action=stop of which job? Give submit.id=..."]),
        (
            ["submit.action=halt", "submit.id=a/b"],
            [
                "submit.action must be one of submit, follow, logs, stop, list",
                "submit.id must be at most 100 letters, digits and any of _.-",
            ],
        ),
        (
            ["-m", "submit.python=a,b", "submit.id=one"],
            [
                "two points of the sweep write to output.path",
                "submit.id is one job's, and this sweep has several",
                "submit.* must be the same for all points",
            ],
        ),
        (
            ["hydra.searchpath=[file:///usr]"],
            ["configuration from /usr does not travel: give its folder with --config-dir"],
        ),
    ],
)
def test_submission_that_cannot_be_is_refused_with_a_sentence(invoke, overrides, complaints):
    done = invoke("submit", *overrides, *_RUN)
    assert done.returncode == 2, done.stdout + done.stderr
    for complaint in complaints:
        assert complaint in done.stderr
    assert "Traceback" not in done.stderr

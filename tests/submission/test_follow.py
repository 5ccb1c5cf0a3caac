import pytest
from ray.dashboard.modules.job.pydantic_models import JobDetails

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.submission.follow import Tail, follow_all
from hyperdiag.submission.server import ServerUnavailable


class _Server:
    """Answers from a script: for each look at the job its state, exit code and log so far."""

    address = "http://host:8265"

    def __init__(self, *script):
        self._script = list(script)

    def job(self, submission_id):
        self._now = self._script.pop(0)
        if self._now is None:
            raise ServerUnavailable("away")
        if self._now == "forgotten":
            return None
        status, code, _ = self._now
        return JobDetails(
            type="SUBMISSION",
            submission_id=submission_id,
            status=status,
            entrypoint="",
            message="what Ray says",
            driver_exit_code=code,
        )

    def log(self, submission_id):
        if self._now[2] is None:
            raise ServerUnavailable("its node is away")
        return self._now[2]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("hyperdiag.submission.follow._LEAST_SECONDS", 0.0)
    monkeypatch.setattr("hyperdiag.submission.follow._MOST_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 75, 75),
        ("FAILED", 143, 143),
        ("FAILED", -9, 137),
        ("FAILED", None, 1),
        ("STOPPED", None, 143),
        ("STOPPED", -15, 143),
    ],
)
def test_exit_code_is_the_jobs_own(status, code, exit_code):
    assert follow_all(_Server((status, code, "x\n")), ["job"], lambda line: None) == exit_code


def test_lines_come_whole_and_once_whatever_is_cut_short():
    said = []
    script = [
        ("PENDING", None, ""),
        ("RUNNING", None, "on"),
        None,
        ("RUNNING", None, "one\ntw"),
        ("RUNNING", None, None),
        ("RUNNING", None, "one\n"),  # a look at an older state of the file
        ("RUNNING", None, "one\ntwo\n"),
        ("SUCCEEDED", 0, "one\ntwo\n\nthree\x0b\u2028"),
    ]
    assert follow_all(_Server(*script), ["job"], said.append) == 0
    assert said == ["one", "two", "", "three\x0b\u2028"]


def test_server_that_stays_away_leaves_the_job_running_and_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr("hyperdiag.submission.follow._UNAVAILABLE_SECONDS", 0.0)
    server = _Server(("RUNNING", None, "one\n"), *[None] * 9)
    with pytest.raises(RunIncomplete, match=r"What was submitted goes on.*\n.*submit\.id=mine"):
        follow_all(server, ["mine"], lambda line: None)


def test_log_that_is_lost_with_its_node_does_not_hide_the_end(caplog):
    caplog.set_level("INFO", "hyperdiag")
    said = []
    script = [("RUNNING", None, "one\n"), *[("FAILED", 1, None)] * 5]
    assert follow_all(_Server(*script), ["job"], said.append) == 1
    assert said == ["one"]
    assert "the end of the log of job cannot be read: its node is away" in caplog.text


def test_log_is_read_to_its_end_however_often_it_could_not_be_read_before():
    said = []
    script = [("RUNNING", None, None)] * 7 + [("SUCCEEDED", 0, None), ("SUCCEEDED", 0, "one\n")]
    assert follow_all(_Server(*script), ["job"], said.append) == 0
    assert said == ["one"]


def test_job_that_its_cluster_has_forgotten_is_to_be_submitted_again():
    server = _Server(("RUNNING", None, "one\n"), "forgotten")
    with pytest.raises(RunIncomplete, match=r"forgotten job mine.*submit the run again"):
        follow_all(server, ["mine"], lambda line: None)


def test_job_that_never_began_says_why():
    said = []
    assert follow_all(_Server(("FAILED", None, "set up\n")), ["job"], said.append) == 1
    assert said == ["set up", "what Ray says"]


def test_several_jobs_are_told_apart_and_the_worst_code_counts():
    said = []

    class Two(_Server):
        def __init__(self):
            self._servers = {
                "a": _Server(None, ("RUNNING", None, "1\n"), ("FAILED", 2, "1\n2\n")),
                "b": _Server(("SUCCEEDED", 0, "3\n")),
            }

        def job(self, submission_id):
            return self._servers[submission_id].job(submission_id)

        def log(self, submission_id):
            return self._servers[submission_id].log(submission_id)

    assert follow_all(Two(), ["a", "b"], said.append) == 2
    assert said == ["b  3", "a  1", "a  2"]


def test_tail_of_a_running_job_has_no_code():
    tail = Tail(_Server(("RUNNING", None, "")), "job", lambda line: None)
    tail.go_on()
    assert tail.code is None

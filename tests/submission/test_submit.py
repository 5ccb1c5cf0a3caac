import json

import pytest
from ray.dashboard.modules.job.pydantic_models import JobDetails

from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.arguments import Command
from hyperdiag.submission.options import SubmitConfig
from hyperdiag.submission.server import state as job_state
from hyperdiag.submission.submit import make_submission, send

_BOX = "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"
_RUN = ("network=chain", _BOX, "output.path=out", "cluster=existing")


@pytest.fixture
def prepared(configure):
    def run(*overrides, **options):
        config, _ = configure(*_RUN, *overrides)
        return make_submission(config, Command([*_RUN, *overrides]), SubmitConfig(**options))

    return run


def test_id_is_of_what_decides_the_run(prepared, tmp_path, monkeypatch):
    first = prepared().first_id
    assert first.startswith("hyperdiag-")
    assert prepared().first_id == prepared("run.date=2001-01-01").first_id == first
    different = {
        prepared("derivatives.dtype=float64").first_id,
        prepared("output.path='out/${run.date}'", "run.date=2001-01-01").first_id,
        prepared("output.path='out/${run.date}'", "run.date=2001-01-02").first_id,
        prepared(files=["pyproject.toml"]).first_id,
    }
    assert len({first} | different) == 5
    absolute = prepared(f"output.path='{tmp_path}/out'").first_id
    uri = prepared("output.path=s3://bucket/out").first_id
    monkeypatch.chdir(tmp_path)
    assert prepared().first_id == absolute
    assert prepared("output.path=s3://bucket/out").first_id == uri
    assert len({first, absolute, uri}) == 3


def test_run_with_an_id_of_its_own_is_done_once(prepared):
    assert not prepared().once
    assert prepared(id="mine")[:2] == ("mine", True)


class _Server:
    """Knows one job."""

    address = "http://host:8265"

    def __init__(self, job):
        self._job = job

    def jobs(self):
        return [self._job]


def test_id_that_another_run_has_is_refused(prepared):
    ours = prepared(id="nightly")
    job = JobDetails(
        type="SUBMISSION",
        submission_id="nightly",
        status="SUCCEEDED",
        entrypoint="",
        metadata=ours.job["metadata"],
    )
    assert send(_Server(job), ours) == "nightly"
    other = job.model_copy(update={"metadata": {"output": "/home/ben/out"}})
    with pytest.raises(UsageError, match=r"nightly is the job of another run.*/home/ben/out"):
        send(_Server(other), ours)


class _Jobs:
    """Knows jobs by id, with their states and exit codes; begins those that are submitted."""

    address = "http://host:8265"

    def __init__(self, metadata, **jobs):
        self._metadata, self.submitted = metadata, []
        self._jobs = {name: self._job(name, *job) for name, job in jobs.items()}

    def _job(self, name, status, code=None):
        return JobDetails(
            type="SUBMISSION",
            submission_id=name,
            status=status,
            entrypoint="",
            driver_exit_code=code,
            metadata=self._metadata,
        )

    def jobs(self):
        return list(self._jobs.values())

    def job(self, name):
        return self._jobs.get(name)

    def submit(self, submission_id, **_):
        self.submitted.append(submission_id)


@pytest.mark.parametrize(
    ("jobs", "name", "state"),
    [
        ({}, "n", None),
        ({"n": ("FAILED", 1)}, "n", "FAILED"),
        ({"n": ("RUNNING",)}, "n", "RUNNING"),
        ({"n": ("SUCCEEDED", 0)}, "n", "SUCCEEDED"),
        ({"n": ("FAILED", 75)}, "n-again-2", None),
        ({"n": ("FAILED", 75), "n-again-2": ("RUNNING",)}, "n-again-2", "RUNNING"),
        ({"n": ("FAILED", 75), "n-again-2": ("FAILED", 2)}, "n-again-2", "FAILED"),
        ({"n": ("FAILED", 75), "n-again-2": ("FAILED", 75)}, "n-again-3", None),
        # Another attempt's, by hand, which has nothing to do with it.
        ({"n": ("FAILED", 75), "n-2": ("SUCCEEDED", 0)}, "n-again-2", None),
    ],
)
def test_job_of_an_id_is_tried_again_where_another_run_kept_it_waiting(
    prepared, monkeypatch, jobs, name, state
):
    ours = prepared(id="n")
    server = _Jobs(ours.job["metadata"], **jobs)
    assert send(server, ours) == name
    assert server.submitted == ([] if name in jobs else [name])
    monkeypatch.setattr("hyperdiag.submission.server.Server", lambda address: server)
    assert job_state("http://host:8265", "n") == state


def test_job_shows_nothing_that_is_secret(prepared):
    secret = "s3://KEY17:hunter2@bucket/out?token=abc17"
    submission = prepared(f"output.path='{secret}'")
    shown = json.dumps(submission.job)
    for part in ("KEY17", "hunter2", "abc17"):
        assert part not in shown
        assert part not in submission.first_id
    assert any("hunter2" in argument for argument in submission.job_spec.arguments)
    assert submission.job["metadata"]["network"] == "chain"
    assert submission.job["metadata"]["output"].startswith("s3://***@bucket/out")


def test_entrypoint_is_the_same_whatever_the_overrides(prepared):
    one, other = prepared(), prepared("output.path='$(touch x) `y`; z'")
    assert one.job["entrypoint"] == other.job["entrypoint"]
    assert one.job["entrypoint"].endswith("; exec python _hyperdiag.py")
    assert prepared(python="a b").job["entrypoint"].endswith("; exec 'a b' _hyperdiag.py")


def test_driver_is_placed_where_it_is_wanted(prepared):
    options = {"driver_cpus": 0.5, "driver_memory_bytes": 1 << 30, "driver_resources": {"head": 1}}
    job = prepared(**options).job
    assert (job["entrypoint_num_cpus"], job["entrypoint_memory"]) == (0.5, 1 << 30)
    assert job["entrypoint_resources"] == {"head": 1}


def test_environment_is_expected_or_installed(prepared):
    expecting, installing = prepared(), prepared(environment="install")
    assert expecting.job_spec.environment["jax"]
    assert "pip" not in expecting.job["runtime_env"]
    assert installing.job_spec.environment == {}
    assert any("jax==" in each for each in installing.job["runtime_env"]["pip"]["packages"])


def test_credentials_of_a_package_index_are_refused(prepared):
    index = "--extra-index-url=https://me:hunter2@host/simple"
    with pytest.raises(UsageError, match="give them to pip there") as caught:
        prepared(environment="install", requirements=[index])
    assert "hunter2" not in str(caught.value)


def test_run_that_cannot_be_done_is_refused_here(prepared):
    with pytest.raises(UsageError, match="no input of network"):
        prepared("derivatives.wrt=[x9]")


def test_ray_of_its_own_is_refused(prepared):
    with pytest.raises(UsageError, match="cluster's workers; leave cluster=local out"):
        prepared("cluster=local")


@pytest.fixture
def from_files(configure):
    def run(path):
        dataset = ["dataset=parquet", f"dataset.path={path}"]
        overrides = ["network=chain", *dataset, "cluster=existing"]
        return make_submission(configure(*overrides)[0], Command(overrides), SubmitConfig())

    return run


@pytest.mark.parametrize("path", ["", "/*.parquet"])
def test_dataset_that_is_to_be_seen_from_here_is_checked(from_files, tmp_path, path):
    (tmp_path / "rows.parquet").write_bytes(b"no Parquet")
    with pytest.raises(UsageError, match=r"rows\.parquet"):
        from_files(f"{tmp_path}{path}")


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/nowhere/*.parquet", "s3://no-such/bucket"])
def test_dataset_that_is_not_to_be_seen_from_here_is_left_to_the_cluster(from_files, path):
    assert f"dataset.path='{path}'" in from_files(path).job_spec.arguments

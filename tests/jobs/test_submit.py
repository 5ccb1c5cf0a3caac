"""Runs submitted to a real cluster: a head with a job server, and two more nodes."""

import signal

import pytest
import yaml

from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.server import Server, state
from tests.ray_node import wait_for

from .cluster_site import ended
from .forwarder import Forwarder

# What a shell would take apart, and Hydra: and in a job's metadata nobody should read it.
_AWKWARD = """ $HOME `id` $(id) "quoted", a=b,c; {x: [1]} \\ % & | > ~ # é 数 hunter2\nnew line"""


def _lines(text):
    """The lines of a log, but for those with which Ray opens it."""
    rays = ("Runtime env is setting up.", "Running entrypoint for job")
    return [line for line in text.splitlines() if not any(words in line for words in rays)]


@pytest.mark.slow
def test_two_submits_at_once_make_one_job_with_the_bytes_of_a_local_run(site):
    run = [*site.run(_AWKWARD), "output.path=out"]
    both = [site.start(*run), site.start(*run)]
    site.derive(*site.run(_AWKWARD), "output.path=local")
    (code, out, said), (other_code, other_out, other_said) = map(ended, both)
    assert (code, other_code) == (0, 0), said + out + other_said
    assert sum("submitted to" in each for each in (said, other_said)) == 1
    assert sum("submitted before" in each for each in (said, other_said)) == 1
    # Byte for byte, and every override as it was written.
    assert site.data("out") == site.data("local")
    assert len(site.data("out")) > 10
    for output in ("out", "local"):
        kept = yaml.safe_load((site.folder / output / "run/config.yaml").read_text())
        assert kept["network"]["kwargs"]["text"] == _AWKWARD
    # The whole log, no line twice; and nothing of the overrides where others read.
    server = Server(site.server)
    (job,) = [job for job in server.jobs() if job.metadata["output"] == str(site.folder / "out")]
    assert out.splitlines() == other_out.splitlines() == _lines(server.log(job.submission_id))
    assert any("rows read" in line for line in out.splitlines())
    assert "hunter2" not in job.model_dump_json()
    assert job.metadata["network"] == "python"
    # Once more: harmless. It is the same run also as a configuration of a name of its own.
    before = {path: path.stat().st_mtime_ns for path in (site.folder / "out/data").iterdir()}
    site.write_task("derive", _AWKWARD)
    code, out, said = site.submit("--config-dir=conf", "--config-name=task", "output.path=out")
    assert (code, "everything is done already" in out) == (0, True), said + out
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.chaos
def test_sweep_runs_its_points_side_by_side_and_exits_with_the_worst_code(site):
    (site.folder / "conf/limits").mkdir(parents=True)
    (site.folder / "conf/limits/patient.yaml").write_text("{max_attempts: 3, max_bad_fraction: 0}")
    code, out, said = site.submit(
        *(
            "-m",
            "--config-dir=conf",
            *site.run(),
            "limits=patient",
            "limits.max_bad_fraction=0.5,0.1",
        ),
        "output.path='out/${limits.max_bad_fraction}'",
    )
    assert code == 1, said + out
    assert (site.folder / "out/0.5/_SUCCESS").exists()
    assert not (site.folder / "out/0.1/_SUCCESS").exists()
    jobs = {
        job.metadata["output"]: job
        for job in Server(site.server).jobs()
        if job.metadata["output"].startswith(str(site.folder))
    }
    fine, bad = jobs[str(site.folder / "out/0.5")], jobs[str(site.folder / "out/0.1")]
    assert (fine.driver_exit_code, bad.driver_exit_code) == (0, 1)
    assert bad.start_time < fine.end_time
    assert fine.start_time < bad.end_time
    for job in (fine, bad):
        lines = [line for line in out.splitlines() if line.startswith(f"{job.submission_id}  ")]
        assert any("40 rows in 10 shards, to" in line for line in lines)
    assert "Running entrypoint" not in out  # Ray's own words
    assert f"{bad.submission_id}  hyperdiag: 8 of 40 rows are bad" in out


@pytest.mark.chaos
def test_job_that_cannot_be_done_as_configured_exits_with_2(site):
    run = [
        *(*site.run(), "output.path=out", "cluster.min_workers=50"),
        *("submit.id=too-many", "submit.driver_resources={n1: 1}"),
    ]
    code, out, said = site.submit(*run)
    assert code == 2, said + out
    # Where the site wants the driver. That node has another --temp-dir than the head, and so Ray
    # finds no log of it; what it says of the failure is shown instead.
    address = Server(site.server).job("too-many").driver_agent_http_address
    assert address.startswith("http://127.0.")
    assert not address.startswith("http://127.0.0.1:")
    assert "hyperdiag: cluster.min_workers=50 with 1 CPU each" in out
    assert not site.data("out")
    # A run with an id of its own is done once, however it ended.
    code, again, said = site.submit(*run)
    assert (code, again) == (2, out)
    assert "job too-many was submitted before, and is FAILED" in said


@pytest.mark.slow
def test_stopped_job_ends_with_143_and_goes_on_when_submitted_again(site, invoke):
    site.marker.touch()  # not to its end
    run = [*site.run(), "output.path=out"]
    code, out, said = site.submit(*run, "submit.wait=false")
    name = out.strip()
    assert code == 0, said
    # One follower through a server that is briefly away, and one that is interrupted.
    away = Forwarder(int(site.server.rpartition(":")[2]))
    patient = site.start(*run, server=away.address)
    other = site.start("submit.action=follow", f"submit.id={name}")
    assert other.stdout.readline()  # it follows
    site.wait_for_data("out")
    # Ray's client connects anew for each question.
    wait_for(lambda: away.forwarded > 8, "it asks nothing")
    away.refuses = True
    other.send_signal(signal.SIGINT)
    code, out, said = ended(other)
    assert code == 130
    assert f"submit.id={name} submit.action=stop" in said
    assert state(site.server, name) == "RUNNING"
    wait_for(lambda: away.refused, "it asks no more")
    away.refuses = False
    code, out, said = site.submit("submit.action=stop", f"submit.id={name}")
    assert (code, "STOPPED" in out) == (0, True), said + out
    code, out, said = ended(patient)
    away.close()
    assert code == 143, said + out
    assert "submitted before" in said
    assert "does not answer" in said
    assert out.splitlines() == _lines(Server(site.server).log(name))
    assert "hyperdiag: stopped by SIGTERM" in out
    # Resumable, from where it was.
    done = len([*(site.folder / "out/data").glob("*.parquet")])
    assert 1 <= done < 10
    site.marker.unlink()
    code, out, said = site.submit(*run)
    assert code == 0, said + out
    assert f"in 10 shards, {done} of them done before" in out
    site.derive(*site.run(), "output.path=local")
    assert site.data("out") == site.data("local")
    # What became of all that.
    address = f"submit.address={site.server}"
    listed = invoke("submit", "submit.action=list", address)
    assert listed.returncode == 0
    out = listed.stdout
    states = {line.split()[0]: line.split()[1] for line in out.splitlines() if line}
    assert (states[name], states[f"{name}-2"]) == ("STOPPED", "SUCCEEDED")
    logs = invoke("submit", "submit.action=logs", f"submit.id={name}-2", address)
    assert (logs.returncode, "done before" in logs.stdout) == (0, True)


@pytest.mark.slow
def test_job_that_nobody_knows_is_refused(site, invoke):
    address = f"submit.address={site.server}"
    done = invoke("submit", "submit.action=follow", "submit.id=nobody", address)
    assert done.returncode == 2
    assert "knows no job nobody; submit.action=list shows those" in done.stderr
    assert state(site.server, "nobody") is None


@pytest.mark.slow
def test_token_of_another_cluster_is_refused(site, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    code, _, said = site.submit("submit.action=list")
    assert code == 2
    assert "asks for a token" in said
    assert "set RAY_AUTH_MODE=token" in said


@pytest.mark.slow
def test_address_of_the_cluster_itself_is_no_job_server(submit_cluster, monkeypatch):
    # Ray would rather have this one than the address that it is given.
    monkeypatch.setenv("RAY_ADDRESS", submit_cluster.address)
    with pytest.raises(UsageError, match=r"no job server at .*http://host:8265"):
        Server(f"http://{submit_cluster.address}")
    assert Server(submit_cluster.server).address == submit_cluster.server

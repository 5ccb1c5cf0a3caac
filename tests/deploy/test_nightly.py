"""The script of the nightly CronJob, as a process, against a server that keeps RayJobs over TLS."""

import copy
import datetime
import json
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .crd import faults
from .kustomize import render
from .test_crds import KUBERNETES

SCRIPT = KUBERNETES / "nightly/cronjob/nightly.py"
PATH = "/apis/ray.io/v1/namespaces/night/rayjobs"
TICK = 29_387_670  # minutes since 1970: 2025-11-16T02:30Z
DAY = datetime.datetime.fromtimestamp(60 * TICK, datetime.UTC).date().isoformat()


class Store(BaseHTTPRequestHandler):
    """What the script needs of an API server: it gets and creates RayJobs for one token."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _say(self, code, thing):
        body = json.dumps(thing).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _spoilt(self):
        """Answer badly, if that is what the server is to do next."""
        if not self.server.spoils:
            return False
        spoil = self.server.spoils.pop(0)
        if spoil == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"status": ')
            self.close_connection = True
        elif spoil == "cut error":
            self.send_response(500)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.close_connection = True
        elif spoil == "silence":
            self.close_connection = True
        elif spoil == "no JSON":
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")
        else:
            self._say(503, {"message": "busy"})
        return True

    def _may(self):
        if self.headers["Authorization"] == "Bearer let-me-in":
            return True
        self._say(403, {"message": "forbidden"})
        return False

    def do_GET(self):
        if self._spoilt() or not self._may():
            return
        name = self.path.removeprefix(f"{PATH}/")
        jobs = self.server.jobs
        if name not in jobs:
            self._say(404, {"message": f"{name} not found"})
            return
        states = self.server.states
        if name != "hyperdiag" and states:
            state, job = states.pop(0) if len(states) > 1 else states[0]
            status = {"jobDeploymentStatus": state, "jobStatus": job, "reason": "AppFailed"}
            status["message"] = self.server.messages.pop(0) if self.server.messages else None
            jobs[name]["status"] = status
        self._say(200, jobs[name])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._spoilt() or not self._may():
            return
        thing = json.loads(body)
        name = thing["metadata"]["name"]
        if self.path != PATH or name in self.server.jobs:
            self._say(409, {"message": f"{name} already exists"})
            return
        self.server.jobs[name] = thing
        self._say(201, thing)


@pytest.fixture
def server(tmp_path):
    (template,) = [
        thing for thing in render(KUBERNETES / "nightly/cronjob") if thing["kind"] == "RayJob"
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    # As the API server gives it back: with what it and the operator have added.
    server.jobs = {"hyperdiag": copy.deepcopy(template)}
    server.jobs["hyperdiag"]["metadata"] |= {
        "uid": "1",
        "resourceVersion": "7",
        "finalizers": ["x"],
    }
    server.jobs["hyperdiag"]["status"] = {"jobDeploymentStatus": "Suspended"}
    server.spoils, server.messages = [], []
    server.states = [(None, None), ("Running", "RUNNING"), ("Complete", "SUCCEEDED")]
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    (tmp_path / "token").write_text("let-me-in\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def nightly(server, tmp_path):
    def run(job, *more):
        return subprocess.run(
            [
                *(sys.executable, "-I", SCRIPT, "--template=hyperdiag", "--namespace=night"),
                *(f"--job={job}", "--job-uid=u-1", f"--account={tmp_path}", "--look-every=0.01"),
                *("--pause=0.01", "--busy-pause=0.01"),
                *(f"--server=https://127.0.0.1:{server.server_port}", *more),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_tick_creates_the_rayjob_of_its_day_and_waits_for_it(server, nightly):
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 0, done.stderr
    name = f"hyperdiag-{DAY}"
    assert done.stdout.splitlines() == [
        f"{name}: new, not submitted",
        f"{name}: Running, RUNNING",
        f"{name}: Complete, SUCCEEDED",
    ]
    created, template = server.jobs[name], server.jobs["hyperdiag"]
    assert created["spec"].pop("entrypoint") == f"{template['spec']['entrypoint']} run.date={DAY}"
    assert created["spec"].pop("suspend") is False
    assert created["spec"].items() <= template["spec"].items()
    owner = {"apiVersion": "batch/v1", "kind": "Job", "uid": "u-1"}
    assert created["metadata"] == {
        "name": name,
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner | {"name": f"hyperdiag-nightly-{TICK}"}],
    }


def test_rayjob_of_a_tick_is_what_its_definition_says(server, nightly, definitions):
    nightly(f"hyperdiag-nightly-{TICK}", "--queue=gpu")
    created = server.jobs[f"hyperdiag-{DAY}"]
    del created["status"]
    assert faults(created, definitions) == []
    assert created["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert created["spec"]["suspend"] is True  # until the queue lets it go


def test_same_tick_again_creates_nothing_and_waits_for_what_is_there(server, nightly):
    assert nightly(f"hyperdiag-nightly-{TICK}").returncode == 0
    server.states[:] = [("Running", "RUNNING"), ("Complete", "SUCCEEDED")]
    before = copy.deepcopy(server.jobs[f"hyperdiag-{DAY}"]["spec"])
    done = nightly(f"hyperdiag-nightly-{TICK}", "--job-uid=another")
    assert done.returncode == 0
    assert "is there already: this day has been started before" in done.stdout
    assert server.jobs[f"hyperdiag-{DAY}"]["spec"] == before
    assert len(server.jobs) == 2


@pytest.mark.parametrize(
    "job", ["hyperdiag-nightly-2026-10-31", "hyperdiag-nightly-again-2026-10-31"]
)
def test_job_made_by_hand_does_the_day_in_its_name(server, nightly, job):
    assert nightly(job).returncode == 0
    assert server.jobs["hyperdiag-2026-10-31"]["spec"]["entrypoint"].endswith(
        " run.date=2026-10-31"
    )


@pytest.mark.parametrize("job", ["by-hand", "hyperdiag-nightly-2026-02-30"])
def test_job_whose_name_tells_no_day_is_refused_before_anything_starts(server, nightly, job):
    done = nightly(job)
    assert done.returncode == 2, done.stderr
    assert list(server.jobs) == ["hyperdiag"]


@pytest.mark.parametrize(
    "state", [("Failed", "FAILED"), ("Failed", "RUNNING"), ("ValidationFailed", None)]
)
def test_failed_rayjob_fails_the_job(server, nightly, state):
    server.states[:] = [state]
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 4
    assert f"hyperdiag-{DAY}: AppFailed" in done.stderr


# As Ray 2.60.0 says it of a job.
BUSY = "Job entrypoint command failed with exit code 75, last available logs (truncated to 20,000"


def test_day_whose_run_another_kept_waiting_is_tried_again_under_another_name(server, nightly):
    server.states[:] = [("Failed", "FAILED"), ("Failed", "FAILED"), ("Complete", "SUCCEEDED")]
    server.messages[:] = [BUSY, BUSY]
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 0, done.stderr
    name = f"hyperdiag-{DAY}"
    assert list(server.jobs) == ["hyperdiag", name, f"{name}-again-2", f"{name}-again-3"]
    assert done.stdout.count("another run is at work on the output; tried again") == 2
    entrypoints = {job["spec"]["entrypoint"] for job in list(server.jobs.values())[1:]}
    assert len(entrypoints) == 1
    # A pod that takes over goes through the same names, and creates nothing that is there.
    server.states[:] = [("Failed", "FAILED"), ("Failed", "FAILED"), ("Complete", "SUCCEEDED")]
    server.messages[:] = [BUSY, BUSY]
    assert nightly(f"hyperdiag-nightly-{TICK}").returncode == 0
    assert len(server.jobs) == 4


@pytest.mark.parametrize("message", ["exit code 1", "exit code 175", "exit code 752", None])
def test_day_that_failed_otherwise_is_not_tried_again(server, nightly, message):
    server.states[:] = [("Failed", "FAILED")]
    server.messages[:] = [message]
    assert nightly(f"hyperdiag-nightly-{TICK}").returncode == 4
    assert list(server.jobs) == ["hyperdiag", f"hyperdiag-{DAY}"]


def test_cronjob_gives_up_where_another_try_is_of_no_use_alone():
    (cron,) = [
        thing for thing in render(KUBERNETES / "nightly/cronjob") if thing["kind"] == "CronJob"
    ]
    (rule,) = cron["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "In")
    # 1 is what Python itself ends with, whatever its reason; 3 is said of an API server.
    assert rule["onExitCodes"]["values"] == [2, 4]


SPOILS = ["cut", "cut error", "silence", "no JSON", "busy"]


def test_answer_that_cannot_be_used_is_asked_for_again(server, nightly):
    server.spoils += SPOILS
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.spoils == []
    assert list(server.jobs) == ["hyperdiag", f"hyperdiag-{DAY}"]


@pytest.mark.parametrize("spoil", SPOILS)
def test_server_that_never_answers_as_it_should_has_its_own_code(server, nightly, spoil):
    server.spoils += 20 * [spoil]
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 3, done.stderr
    assert f"GET https://127.0.0.1:{server.server_port}{PATH}/hyperdiag: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(server.spoils) == 20 - 8


@pytest.mark.parametrize(("file", "held"), [("token", None), ("token", b"\xff"), ("ca.crt", b"")])
def test_account_that_cannot_be_read_has_its_own_code(server, nightly, tmp_path, file, held):
    (tmp_path / file).unlink()
    if held is not None:
        (tmp_path / file).write_bytes(held)
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_server_refuses_is_said_with_its_own_code(server, nightly, tmp_path):
    (tmp_path / "token").write_text("a-guess")
    done = nightly(f"hyperdiag-nightly-{TICK}")
    assert done.returncode == 3
    assert "403" in done.stderr
    assert "forbidden" in done.stderr
    assert list(server.jobs) == ["hyperdiag"]

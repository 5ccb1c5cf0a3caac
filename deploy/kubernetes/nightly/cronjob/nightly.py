"""Create the RayJob of a night's tick, unless it is there already, and wait for its end.

It runs in a pod of the CronJob, from a ConfigMap, with nothing but Python's own library.

A RayJob whose run ended with exit code 75, since another run was at work on its output, has failed
for Kubernetes, and has done nothing: another one is created for the same day, a while later.

Exit codes: 0 the RayJob succeeded; 2 usage; 3 the API server refused, or is away; 4 the RayJob
failed. Python itself ends with 1, which tells nothing of the RayJob.
"""

import argparse
import datetime
import itertools
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_SERVER = "https://kubernetes.default.svc"
_DAY = re.compile(r"-(\d{4}-\d{2}-\d{2})$")
_MINUTES = re.compile(r"-(\d{6,10})$")
# Of a request that nobody answers: for about two minutes, by default.
_TRIES, _PAUSE_SECONDS = 8, 15.0
_SUCCEEDED, _USAGE, _REFUSED, _FAILED = 0, 2, 3, 4  # exit codes
# Before a day is tried again whose run another one kept waiting.
_BUSY_SECONDS = 300.0
# As Ray says it of a job, and KubeRay of its RayJob.
_BUSY = re.compile(r"\bexit code 75\b")
# States of a RayJob that no other follows.
_ENDED = ("Complete", "Failed", "ValidationFailed")
DONE, BUSY, FAILED = "done", "busy", "failed"


class Refused(Exception):
    """The API server did not do as asked.

    Args:
        message: what it said.
        code: of HTTP; 0 where there was no answer.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


def day_of(job: str) -> str:
    """Return the day that a Job is for, in UTC.

    The CronJob controller names a Job after the minute it was due (since 1970); one that was
    created by hand, to catch up or to do a day again, has the day at the end of its name.

    Raises:
        ValueError: if the name tells no day.
    """
    if day := _DAY.search(job):
        return datetime.date.fromisoformat(day[1]).isoformat()
    if minutes := _MINUTES.search(job):
        due = datetime.datetime.fromtimestamp(60 * int(minutes[1]), datetime.UTC)
        return due.date().isoformat()
    raise ValueError(
        f"the name of Job {job} tells no day; by hand it is "
        "kubectl create job --from=cronjob/NAME NAME-2026-11-23"
    )


def for_day(
    template: dict[str, Any], day: str, queue: str | None, tries: int = 1
) -> dict[str, Any]:
    """Return the RayJob of a day.

    Args:
        template: the suspended RayJob as the API server has it.
        day: an ISO date.
        queue: of Kueue, which is to start it; None starts it at once.
        tries: which try of the day it is, from 1.
    """
    metadata, again = template["metadata"], "" if tries == 1 else f"-again-{tries}"
    labels = dict(metadata.get("labels", {}))
    if queue:
        labels["kueue.x-k8s.io/queue-name"] = queue
    spec = template["spec"] | {
        "entrypoint": f"{template['spec']['entrypoint']} run.date={day}",
        "suspend": bool(queue),
    }
    return {
        "apiVersion": template["apiVersion"],
        "kind": template["kind"],
        # A day has one name, so that no two ticks, tries or people run it twice at once.
        "metadata": {"name": f"{metadata['name']}-{day}{again}", "labels": labels},
        "spec": spec,
    }


class Rayjobs:
    """RayJobs of a namespace, by way of the API server.

    Args:
        server: its address.
        namespace: which.
        account: folder with the pod's token and the server's certificate authority.
        pause: seconds before a request is made again that had no answer.
    """

    def __init__(self, server: str, namespace: str, account: str, pause: float):
        self._url = f"{server}/apis/ray.io/v1/namespaces/{namespace}/rayjobs"
        self._account, self._pause = Path(account), pause

    def get(self, name: str) -> dict[str, Any]:
        """Return one.

        Raises:
            Refused: if there is none, or this account may not read it.
        """
        return self._ask(f"{self._url}/{name}")

    def create(self, rayjob: dict[str, Any]) -> bool:
        """Create one; return False if there is one of that name.

        Raises:
            Refused: if it is invalid, or this account may not create it.
        """
        try:
            self._ask(self._url, json.dumps(rayjob).encode())
        except Refused as refused:
            if refused.code == 409:
                return False
            raise
        return True

    def _ask(self, url: str, body: bytes | None = None) -> dict[str, Any]:
        asked = f"{'GET' if body is None else 'POST'} {url}"
        for left in reversed(range(_TRIES)):
            try:
                return self._ask_once(url, body)
            except urllib.error.HTTPError as error:
                passing = error.code >= 500 or error.code == 429
                if not passing or not left:
                    raise Refused(f"{asked}: {error.code} {_told(error)}", error.code) from error
            # No answer, one that was cut off, one that is no JSON; or an account not there yet.
            except (OSError, HTTPException, ValueError) as error:
                if not left:
                    raise Refused(f"{asked}: {error}", 0) from error
            time.sleep(self._pause)
        raise AssertionError("the last try returns or raises")

    def _ask_once(self, url: str, body: bytes | None) -> dict[str, Any]:
        # Read each time: the kubelet renews it.
        token = (self._account / "token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers)
        context = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return json.load(answer)


def _told(error: urllib.error.HTTPError) -> str:
    """Return the beginning of what came with an error, which may be cut off."""
    try:
        return error.read().decode(errors="replace")[:500]
    except (OSError, HTTPException) as second:
        return f"({second})"


def wait(rayjobs: Rayjobs, name: str, seconds: float) -> str:
    """Return how a RayJob ended, when it has; what becomes of it is printed.

    DONE; BUSY if another run was at work on its output; else FAILED.

    Args:
        rayjobs: where it is.
        name: which.
        seconds: between two looks.

    Raises:
        Refused: if it is gone.
    """
    before = None
    while True:
        status = rayjobs.get(name).get("status", {})
        state, job = status.get("jobDeploymentStatus"), status.get("jobStatus")
        if (state, job) != before:
            print(f"{name}: {state or 'new'}, {job or 'not submitted'}", flush=True)
            before = state, job
        if state in _ENDED:
            if state != "Complete" or job != "SUCCEEDED":
                print(f"{name}: {status.get('reason')} {status.get('message')}", file=sys.stderr)
                return BUSY if _BUSY.search(str(status.get("message"))) else FAILED
            return DONE
        time.sleep(seconds)


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--template", required=True, help="the suspended RayJob to copy")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--job", required=True, help="the Job that this is")
    parser.add_argument("--job-uid", required=True)
    parser.add_argument("--queue", help="of Kueue")
    parser.add_argument("--server", default=_SERVER)
    parser.add_argument("--account", default=_ACCOUNT)
    parser.add_argument("--look-every", type=float, default=15.0, help="seconds")
    parser.add_argument(
        "--pause", type=float, default=_PAUSE_SECONDS, help="seconds before a request is repeated"
    )
    parser.add_argument(
        "--busy-pause",
        type=float,
        default=_BUSY_SECONDS,
        help="seconds before a day is tried again whose run another one kept waiting",
    )
    options = parser.parse_args()
    try:
        day = day_of(options.job)
    except ValueError as error:
        print(error, file=sys.stderr)
        return _USAGE
    rayjobs = Rayjobs(options.server, options.namespace, options.account, options.pause)
    try:
        template = rayjobs.get(options.template)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": options.job}
        # The Job's activeDeadlineSeconds ends it.
        for tries in itertools.count(1):
            rayjob = for_day(template, day, options.queue, tries)
            name = rayjob["metadata"]["name"]
            rayjob["metadata"]["ownerReferences"] = [owner | {"uid": options.job_uid}]
            created = rayjobs.create(rayjob)
            if not created:
                print(f"{name} is there already: this day has been started before", flush=True)
            ended = wait(rayjobs, name, options.look_every)
            if ended != BUSY:
                return _SUCCEEDED if ended == DONE else _FAILED
            if created:
                print(f"{name}: another run is at work on the output; tried again", flush=True)
                time.sleep(options.busy_pause)
        raise AssertionError("there is no last try")
    except Refused as refused:
        print(refused, file=sys.stderr)
        return _REFUSED


if __name__ == "__main__":
    sys.exit(main())

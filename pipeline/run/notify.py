"""Telling somebody else how a run ended: a command gets it as JSON on its input, a URL as a POST.

Neither can change the run's outcome: what goes wrong is a line in the log.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hyperdiag.config.schema import NotifyConfig
from hyperdiag.messages.masking import masked_text

log = logging.getLogger("hyperdiag")

_PAUSES = (1.0, 3.0)  # seconds before the second and the third attempt at a URL


def notify(config: NotifyConfig, message: Mapping[str, Any], most_seconds: float) -> None:
    """Tell the command and the URL of a configuration, both at once.

    Args:
        config: which command and URL.
        message: plain values, as JSON has them.
        most_seconds: after which nobody waits any longer, if that is less than `config.seconds`.
    """
    body = json.dumps(message, ensure_ascii=False).encode()
    deadline = time.monotonic() + min(config.seconds, most_seconds)
    threads = []
    if config.command:
        threads.append(_thread("notify.command", _run, config.command, body, deadline))
    if config.url:
        threads.append(_thread("notify.url", _post, config.url, body, deadline))
    for thread in threads:
        # A name server that does not answer keeps no deadline.
        thread.join(max(deadline - time.monotonic(), 0) + 0.5)
        if thread.is_alive():
            log.warning("%s: no end after its time; nobody waits for it", thread.name)


def _thread(name: str, step: Callable[..., str | None], *arguments: Any) -> threading.Thread:
    def work() -> None:
        try:
            problem = step(*arguments)
        except Exception as error:  # whatever it is, the run has ended as it has
            problem = type(error).__name__
        if problem:
            log.warning("%s: %s; the run's outcome is the same", name, masked_text(problem))

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _run(command: Sequence[str], body: bytes, deadline: float) -> str | None:
    """Run a command, without a shell; return what went wrong."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that it can be ended with all that it started
        )
    except OSError as error:
        return f"cannot start {command[0]}: {error.strerror}"
    try:
        _, complaints = process.communicate(body, timeout=deadline - time.monotonic())
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"{command[0]} did not end in its time (notify.seconds), and was killed"
    if process.returncode:
        last = complaints.decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"{command[0]} ended with exit code {process.returncode}", *last])
    return None


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirect for a refusal: what follows one is a GET, without the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, body: bytes, deadline: float) -> str | None:
    """POST a body, again after what may be over in a while; return what went wrong."""
    request = Request(url, body, {"Content-Type": "application/json"}, method="POST")
    opener = build_opener(_NoRedirect())
    host = urlsplit(url).hostname  # the rest of a URL may be what lets one in
    for pause in (*_PAUSES, None):
        try:
            with opener.open(request, timeout=max(deadline - time.monotonic(), 0.01)):
                return None
        except HTTPError as error:
            problem, lasting = f"{host} answers HTTP {error.code}", _is_lasting(error.code)
        except URLError as error:
            problem, lasting = f"{host} cannot be reached: {error.reason}", False
        except TimeoutError:
            problem, lasting = f"no answer from {host} in its time (notify.seconds)", False
        except OSError as error:
            problem, lasting = f"{host}: {type(error).__name__}", False
        if pause is None or lasting or time.monotonic() + pause > deadline:
            return problem
        time.sleep(pause)
    return None


def _is_lasting(status: int) -> bool:
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS

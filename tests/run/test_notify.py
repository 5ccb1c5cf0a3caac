"""Hooks that work, fail, hang and refuse: real programs and a real HTTP server."""

import json
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hyperdiag.config.schema import NotifyConfig
from hyperdiag.run.notify import notify
from tests.ray_head import free_port

MESSAGE = {"state": "done", "network": "häßlich", "rows_derived": 3}


@contextmanager
def server(answer):
    """Serve what `answer` says, a status or how long to be silent; yields URL and what came."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.path, self.headers["Content-Type"], json.loads(body)))
            status = answer(len(came))
            if status:
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
            else:
                over.wait(30)

        def log_message(self, *_):
            pass

    over = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/hook/SECRETPATH", came
    finally:
        over.set()
        http.shutdown()
        http.server_close()


def _notify(seconds=20.0, **config):
    """Notify; return how long it took."""
    began = time.monotonic()
    notify(NotifyConfig(**config), MESSAGE, seconds)
    return time.monotonic() - began


def test_command_gets_the_message_on_its_input_and_no_shell_between(tmp_path, caplog):
    said = tmp_path / "said $(touch no)"
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    _notify(command=[sys.executable, "-c", code, str(said)])
    assert json.loads(said.read_bytes()) == MESSAGE
    assert [path.name for path in tmp_path.iterdir()] == [said.name]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["/no/such/program"], "cannot start /no/such/program: No such file"),
        ([sys.executable, "-c", "raise SystemExit('no s3://K:S@b')"], "code 1: no s3://***@b"),
        (["false"], "false ended with exit code 1"),
    ],
)
def test_command_that_fails_is_a_line_in_the_log(command, complaint, caplog):
    _notify(command=command)
    assert complaint in caplog.text


@pytest.mark.slow
def test_command_that_hangs_is_killed_with_what_it_started(tmp_path, caplog):
    mark = tmp_path / "mark"
    script = f"(sleep 3; touch {mark}) & sleep 60"
    assert _notify(seconds=0.5, command=["sh", "-c", script]) < 3
    assert "did not end in its time" in caplog.text
    time.sleep(3.2)
    assert not mark.exists()


def test_url_gets_the_message_as_json(caplog):
    with server(lambda _: 204) as (url, came):
        _notify(url=url)
    assert came == [("/hook/SECRETPATH", "application/json", MESSAGE)]
    assert caplog.text == ""


def test_url_is_tried_again_while_the_server_is_not_well(caplog):
    with server(lambda time: 503 if time == 1 else 200) as (url, came):
        _notify(url=url)
    assert len(came) == 2
    assert caplog.text == ""


@pytest.mark.parametrize("status", [403, 302])
def test_url_that_refuses_or_redirects_is_tried_once(status, caplog):
    with server(lambda _: status) as (url, came):
        _notify(url=url)
    assert len(came) == 1
    assert f"127.0.0.1 answers HTTP {status}" in caplog.text
    assert "SECRETPATH" not in caplog.text


def test_url_that_hangs_is_left_after_its_time(caplog):
    with server(lambda _: None) as (url, _):
        assert _notify(seconds=0.7, url=url) < 3
    assert "no answer from 127.0.0.1 in its time" in caplog.text


def test_url_where_nobody_listens_is_a_line_in_the_log(caplog):
    assert _notify(seconds=0.5, url=f"http://127.0.0.1:{free_port()}/SECRETPATH") < 3
    assert "127.0.0.1 cannot be reached" in caplog.text
    assert "SECRETPATH" not in caplog.text

"""Requests of the clients for each kind of store, as a server on loopback receives them.

`tests/store` has a whole server of Amazon's protocol. Here it is only seen that requests go where
pyarrow's go, with its keys and with conditions.
"""

import io
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from pyarrow import fs

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.object_store.conditional import ConditionalStore
from hyperdiag.data.object_store.upload import upload


class _Recorder(BaseHTTPRequestHandler):
    """Says of whatever is asked for that it is there, and takes whatever is put."""

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_HEAD(self):
        self._answer(200)

    def _answer(self, code):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.send_response(code)
        self.send_header("ETag", '"1"')
        self.send_header("x-goog-generation", "7")
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 12:00:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    served.requests = []
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_client_for_amazon_signs_with_the_keys_of_a_profiles_command(server, tmp_path, monkeypatch):
    keys = '{"Version": 1, "AccessKeyId": "AKIDOFACOMMAND", "SecretAccessKey": "b"}'
    (tmp_path / "keys").write_text(keys)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/keys\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    host = f"127.0.0.1%3A{server.server_port}"
    place = resolve(f"s3://bucket/out?scheme=http&endpoint_override={host}&region=us-east-1")
    ConditionalStore(*place).write(place.path, b"1", None)
    ((command, path, headers),) = server.requests
    assert (command, path, headers["if-none-match"]) == ("PUT", "/bucket/out", "*")
    assert "Credential=AKIDOFACOMMAND/" in headers["authorization"]


def test_client_for_amazon_adds_no_token_of_the_environment_to_keys_of_a_uri(server, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHEENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    host = f"127.0.0.1%3A{server.server_port}"
    uri = f"s3://AKIDOFTHEURI:b@bucket/out?scheme=http&endpoint_override={host}&region=us-east-1"
    place = resolve(uri)
    ConditionalStore(*place).write(place.path, b"1", None)
    ((_, _, headers),) = server.requests
    assert "Credential=AKIDOFTHEURI/" in headers["authorization"]
    assert "x-amz-security-token" not in headers


def test_client_for_google_goes_where_pyarrow_goes_with_its_token(server):
    host = f"127.0.0.1:{server.server_port}"
    place = fs.GcsFileSystem(
        access_token="a-token",
        credential_token_expiration=datetime.now(UTC) + timedelta(days=1),
        scheme="http",
        endpoint_override=host,
    )
    store = ConditionalStore(place, "bucket/out/a")
    seen = store.version("bucket/out/a")
    assert seen == {"e_tag": '"1"', "version": "7"}
    store.write("bucket/out/a", b"1", None)
    store.write("bucket/out/a", b"2", seen)
    asked = [(command, unquote(path)) for command, path, _ in server.requests]
    assert asked == [(each, "/bucket/out/a") for each in ("HEAD", "PUT", "PUT")]
    headers = [headers for *_, headers in server.requests]
    assert {each["authorization"] for each in headers} == {"Bearer a-token"}
    assert [each.get("x-goog-if-generation-match") for each in headers] == [None, "0", "7"]


def test_client_for_a_server_of_googles_protocol_that_asks_for_no_key_writes(server):
    host = f"127.0.0.1%3A{server.server_port}"
    place = resolve(f"gs://anonymous@bucket/out?scheme=http&endpoint_override={host}")
    ConditionalStore(*place).write(place.path, b"1", None)
    assert server.requests[0][:2] == ("PUT", "/bucket/out")


def test_client_for_azure_goes_where_pyarrow_goes_with_its_signature(server, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "QUFBQQ==")  # which is not asked for
    host = f"127.0.0.1:{server.server_port}"
    place = resolve(f"abfs://account@{host}/container/out?enable_tls=false&sv=2026-10-06&sig=a%2Fb")
    store = ConditionalStore(*place)
    store.write(place.path, b"1", None)
    store.write(place.path, b"2", store.version(place.path))
    upload(*place, io.BytesIO(b"3"))
    assert [command for command, *_ in server.requests] == ["PUT", "HEAD", "PUT", "PUT"]
    for _, path, _ in server.requests:
        assert path.startswith("/account/container/out?")
        assert "sig=a%2Fb" in path
    headers = [headers for *_, headers in server.requests]
    assert headers[0]["if-none-match"] == "*"
    assert headers[2]["if-match"] == '"1"'
    assert not {"if-match", "if-none-match"} & headers[3].keys()

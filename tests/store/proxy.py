"""A proxy between a client and an HTTP server, which fails as it is told to."""

import re
import socket
import socketserver
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

_ERROR = (
    "<?xml version='1.0' encoding='UTF-8'?>"
    "<Error><Code>{code}</Code><Message>{code} by the proxy</Message></Error>"
)
_REASONS = {403: "InvalidAccessKeyId", 500: "InternalError", 503: "SlowDown"}


@dataclass
class Fault:
    """What goes wrong, with which requests, how often.

    Attributes:
        kind: "answer" (with `status`), "hang" (no answer), "reset" (the connection breaks),
            "lose_answer" (it breaks when the server has answered), "cut_answer" or "cut_request"
            (it breaks after `after` bytes of the body), "delay", "go_down" (nobody listens from
            now on).
        method: of the requests that it befalls, as a regular expression.
        path: of these, with the query, unquoted, as a regular expression that is searched for.
        skip: how many requests it lets through first.
        times: how many requests it befalls; None for all.
        status: of "answer".
        after: bytes.
        seconds: of "delay".
    """

    kind: str
    method: str = ".*"
    path: str = ""
    skip: int = 0
    times: int | None = None
    status: int = 503
    after: int = 0
    seconds: float = 0.0

    def befalls(self, method, path):
        """Return whether it befalls a request, and count it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Proxy:
    """Listens on a port of its own and passes requests on, one for each connection.

    Args:
        upstream: the server's port.

    Attributes:
        port: where it listens.
        requests: (method, unquoted path, kind of the fault or None) of every request so far.
        access_keys: if any, requests that are signed with no other get a 403.
        page: if any, how many objects a listing's answer may hold.
    """

    def __init__(self, upstream):
        self._upstream = upstream
        self._lock = threading.Lock()
        self._faults = []
        self._healed = threading.Condition(self._lock)
        self._server = None
        self.port = 0
        self.reset()
        self.up()

    def reset(self):
        """Forget the requests so far, and mend every fault."""
        with self._lock:
            self.requests, self.access_keys, self.page = [], (), None
            self._faults.clear()
            self._healed.notify_all()

    def up(self):
        """Listen (again)."""
        if self._server:
            return
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self):
        """Refuse connections."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()

    @contextmanager
    def refusing(self):
        """Refuse connections for a while, or until `up`."""
        self.down()
        try:
            yield
        finally:
            self.up()

    def add(self, kind, **how):
        """Let something go wrong from now on; return the fault, for `mend`."""
        fault = Fault(kind, **how)
        with self._lock:
            self._faults.append(fault)
        return fault

    def mend(self, fault):
        """Let it go right again."""
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]
            self._healed.notify_all()

    @contextmanager
    def fault(self, kind, **how):
        """Let something go wrong for a while."""
        fault = self.add(kind, **how)
        try:
            yield fault
        finally:
            self.mend(fault)

    def count(self, kind):
        """Return how many requests a kind of fault befell."""
        return sum(found == kind for _, _, found in self.requests)

    def take(self, method, path):
        """Record a request; return the fault that befalls it."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.befalls(method, path)), None)
            self.requests.append((method, path, fault and fault.kind))
            return fault

    def wait_until_mended(self, fault):
        """Return when a fault is mended, or after a minute."""
        with self._lock:
            self._healed.wait_for(lambda: not any(fault is other for other in self._faults), 60)

    def connect(self):
        """Return a connection to the server."""
        return socket.create_connection(("127.0.0.1", self._upstream))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    block_on_close = False


def _handler(proxy):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                _pass_on(proxy, self.request)
            except OSError:
                _break(self.request)

    return Handler


def _pass_on(proxy, client):
    head, body = _head(client)
    if not head:
        return
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    if proxy.page:
        head = re.sub(rb"max-keys=\d+", b"max-keys=%d" % proxy.page, head)
    fault = proxy.take(method, unquote(target))
    kind = fault.kind if fault else None
    allowed = not proxy.access_keys or any(key.encode() in head for key in proxy.access_keys)
    if not allowed or kind == "answer":
        _answer(client, method, head, body, fault.status if allowed else 403)
    elif kind == "hang":
        proxy.wait_until_mended(fault)
    elif kind in ("reset", "go_down"):
        if kind == "go_down":
            proxy.down()
        _break(client)
    else:
        if kind == "delay":
            time.sleep(fault.seconds)
        with proxy.connect() as server:
            head = re.sub(rb"(?im)^connection:.*\r\n", b"", head)
            server.sendall(head[:-2] + b"Connection: close\r\n\r\n")
            most = fault.after if kind == "cut_request" else None
            there = threading.Thread(target=_pump, args=(client, server, most, body), daemon=True)
            there.start()
            if kind == "lose_answer":
                while server.recv(65536):
                    pass
                _break(client)
                return
            _back(client, server, fault.after if kind == "cut_answer" else None)


def _head(source):
    """Return a message's head, and what came of its body along with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = source.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _back(client, server, most):
    head, body = _head(server)
    while head.startswith(b"HTTP/1.1 100"):
        client.sendall(head)
        head, body = (body, b"") if b"\r\n\r\n" in body else _head(server)
    if not head:  # the request was cut
        _break(client)
        return
    client.sendall(head)
    _pump(server, client, most, body)


def _pump(source, sink, most, first):
    """Pass bytes on until their end; break both connections after `most`, unless it is None."""
    sent, data = 0, first
    try:
        while True:
            piece = data if most is None else data[: most - sent]
            sink.sendall(piece)
            sent += len(piece)
            if most is not None and sent >= most:
                _break(sink)
                _break(source)
                return
            data = source.recv(65536)
            if not data:
                return
    except OSError:
        return


def _answer(client, method, head, body, status):
    """Read the whole request, so that the client reads the answer, and refuse it."""
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    if b"100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (data := client.recv(65536)):
        left -= len(data)
    content = b"" if method == "HEAD" else _ERROR.format(code=_REASONS[status]).encode()
    client.sendall(
        b"HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (status, _REASONS[status].encode(), len(content), content)
    )


def _break(connection):
    """Close so that the other side sees a broken connection, not an end."""
    try:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RDWR)  # wakes who reads from it
        connection.close()
    except OSError:
        return

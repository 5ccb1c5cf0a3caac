"""What is worked round in Ray, all seen in Ray 2.60.0: each function says the reason.

Other things are worked round where they happen:

- `submission/server.py`: the job server's client waits for ever, tells an HTTP status in words
  alone, and prefers variables of the environment to the address that it is given;
- `submission/follow.py`: the client's tail of a job's log ends with any connection;
- `submission/payload.py`: the job server takes smaller requests than Ray's client sends;
- `run/monitoring/metrics.py`: a gauge that is not set again is forgotten, a counter takes no zero,
  and of a histogram no sum is passed on;
- `bench/plain_ray_data.py`: Ray Data reads a dataset as few large blocks;
- `run/cluster/ray_thread.py`: calls wait for ever where Ray's processes do not answer, and no
  signal is handled meanwhile;
- `run/cluster/ray_environment.py`: Ray ends its driver a minute after it has lost the GCS;
- `process/reaper.py`: workers and agents of a raylet that is killed may be left;
- `process/signals.py`: compiled code of Ray's swallows an exception that a signal handler raises,
  or makes another one of it; `StopSignals.check` and the end of its block raise it again;
- `run/workers/worker_handle.py`: `ray.kill` asks a process to end itself, which one that hangs does
  not; `WorkerHandle.kill` has the kernel end it.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import ray
from ray._private import node, ray_constants, services, state, worker
from ray._private import utils as ray_utils
from ray.job_config import JobConfig

from hyperdiag.messages.log import at_level
from hyperdiag.messages.masking import HIDDEN, masked_text

log = logging.getLogger("hyperdiag")

_REACH_SECONDS = 5.0  # a head node that takes longer to answer is no help
_STEP_MILLISECONDS = 50
_LOOPBACK_VARIABLE, _LOOPBACK_CONSTANT = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "ENABLE_RAY_CLUSTER"
_TRIES_VARIABLE = "RAY_gcs_server_port_wait_time_s"
_AUTH_MODE = "RAY_AUTH_MODE"
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # what the system takes as a path of one
# The longest path that Ray makes for a socket in its folder, with the largest number of a process.
_SOCKET = "/r/session_2026-11-23_06-00-00_000000_4194304/sockets/plasma_store"
# What a folder's path may have for `temp_dir_in`.
LONGEST_FOLDER = _SOCKET_BYTES - len(_SOCKET)
_printed: dict[str, Callable[..., None]] = {}  # what `words_to_log` put something else in place of


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that is started in the block listen on 127.0.0.1 alone, with all its processes.

    On Linux, Ray listens on every interface, and turns a `_node_ip_address` of 127.0.0.1 into the
    machine's address. On macOS and Windows it listens on loopback alone, unless a variable says
    otherwise: the variable is set for Ray's processes, and for this one, which read it when it
    imported Ray, the constant that Ray made of it.
    """
    variable, constant = (
        os.environ.get(_LOOPBACK_VARIABLE),
        getattr(ray_constants, _LOOPBACK_CONSTANT),
    )
    os.environ[_LOOPBACK_VARIABLE] = "0"
    setattr(ray_constants, _LOOPBACK_CONSTANT, False)
    try:
        yield
    finally:
        setattr(ray_constants, _LOOPBACK_CONSTANT, constant)
        os.environ.pop(_LOOPBACK_VARIABLE)
        if variable is not None:
            os.environ[_LOOPBACK_VARIABLE] = variable


def temp_dir_in(folder: str) -> str:
    """Return where Ray shall keep its files, for `_temp_dir`, so that nobody else can enter.

    Ray opens the folder that it is given to everybody (mode 0777). One below it that it makes
    itself is as closed as what it is in.

    Args:
        folder: a folder that this user alone can enter, with a path of at most `LONGEST_FOLDER`
            bytes, since sockets are in it.
    """
    return f"{folder}/r"


def hear_sigterm() -> None:
    """Let Python hear SIGTERM again, after a `ray.init`; in a thread that is not the main one, not.

    The compiled code that `ray.init` starts puts a handler of its own over Python's, which prints a
    stack, calls Python's, and has the process abort three seconds later.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def waiting_in_steps() -> Iterator[None]:
    """Let other threads run while a `ray.init` in the block waits for the port of its GCS.

    It calls a compiled function for that, which holds the interpreter's lock for half a minute.
    """
    original = getattr(node, "wait_for_persisted_port", None)
    if original is None:  # an older Ray
        yield
        return

    def wait(*place: Any, timeout_ms: int) -> int:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                return original(*place, timeout_ms=_STEP_MILLISECONDS)
            except Exception:  # it says "timed out" in different ways
                if time.monotonic() > deadline:
                    raise
            time.sleep(_STEP_MILLISECONDS / 1000)

    node.wait_for_persisted_port = wait
    try:
        yield
    finally:
        node.wait_for_persisted_port = original


def no_word_of_the_thread() -> AbstractContextManager[None]:
    """Keep `ray.init` in the block from warning that it is not called in the main thread."""
    return at_level("ray._private.worker", logging.ERROR)


@contextmanager
def nothing_before_installed_modules() -> Iterator[None]:
    """Keep the driver's folders out of the path that workers of a `ray.init` in the block have.

    Ray puts the driver's current folder, and that of its script, before all else that workers
    import from: a `scipy.py` that lies there would be run. There is no option for it.
    """
    serialize = JobConfig._serialize

    def without_folders(config: JobConfig) -> bytes:
        config._py_driver_sys_path = []
        return serialize(config)

    JobConfig._serialize = without_folders
    try:
        yield
    finally:
        JobConfig._serialize = serialize


def take_own_token() -> None:
    """Have the Ray that this process starts next ask for a token that nobody else knows.

    Left to itself, Ray asks for one from version 2.60 on, makes it where the user has none, and
    leaves it in the home folder; older versions let in whoever finds the port. Where the user's
    environment says how (RAY_AUTH_MODE), it stays so. The variables stay, for the processes that
    Ray starts, and later ones of this process.
    """
    if _AUTH_MODE not in os.environ:
        os.environ |= {_AUTH_MODE: "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        read_authentication_anew()


def read_authentication_anew() -> None:
    """Let Ray see how the environment says that it is to authenticate: it has looked before."""
    with suppress(AttributeError):  # an older version has neither
        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def masked_entrypoint() -> Iterator[None]:
    """Mask the command line of a driver that joins a cluster in the block.

    Ray's dashboard shows the whole command line of each driver to everybody, with any credentials
    among its arguments.
    """
    original = ray_utils.get_entrypoint_name
    words = [
        f"{word.partition('=')[0]}={HIDDEN}" if word.startswith("notify.") else masked_text(word)
        for word in sys.orig_argv
    ]
    ray_utils.get_entrypoint_name = lambda: " ".join(words)
    try:
        yield
    finally:
        ray_utils.get_entrypoint_name = original


@contextmanager
def one_try() -> Iterator[None]:
    """Let a `ray.init` in the block ask a head node once, for half a minute.

    Ray asks twenty times. How often is set by a variable that is named after another of its uses;
    a value that the user has set stays as it is.
    """
    if _TRIES_VARIABLE in os.environ:
        yield
        return
    os.environ[_TRIES_VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[_TRIES_VARIABLE]


def words_to_log() -> None:
    """Have what Ray says in this process come through our log from now on.

    Ray prints errors of its nodes on standard output, coloured and whatever `log_to_driver` says:
    of each worker that dies too, as ours are made to at the end of a run. What matters of that is
    said by the run itself; here it is a line for those who look for it (level debug). Its logger
    writes lines of its own to standard error, which are no JSON.
    """
    printing = getattr(worker, "print_to_stdstream", None)
    if printing is not None and printing is not _log_of_nodes:
        _printed.setdefault("by Ray", printing)
        worker.print_to_stdstream = _log_of_nodes
    logging.getLogger("ray").handlers = [_ToLog()]


def _log_of_nodes(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
    if data.get("pid") == "raylet":
        for line in data["lines"]:
            log.debug("Ray: %s", line)
    else:  # what is asked for with log_to_driver=True
        _printed["by Ray"](data, *arguments, **options)


class _ToLog(logging.Handler):
    """Says what is logged once more, as a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(record.levelno, logging.WARNING)  # an error of ours ends a command
        log.log(level, "Ray: %s", record.getMessage())


def node_of(actor: Any) -> str | None:
    """Return the id of the node that an actor is on, or was; None where Ray does not know.

    Of one that died before it answered a call, Ray tells the driver nothing but an address.
    """
    try:
        info = state.state.actor_table(actor._actor_id.hex()) or {}
    except Exception:  # whatever Ray's private parts raise: it is a question of blame alone
        return None
    return info.get("Address", {}).get("NodeID") or None


def check_reachable(address: str) -> None:
    """Check that somebody listens at an address that `ray.init` would join.

    Where nobody does, `ray.init` goes on trying for half a minute at least.

    Args:
        address: as `ray.init` takes it; Ray turns `auto` and 127.0.0.1 into other addresses.

    Raises:
        OSError: if nobody listens.
    """
    if "://" not in address:
        address = services.canonicalize_bootstrap_address(address) or address
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()

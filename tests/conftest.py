import os
import secrets

# As in a worker: the number of threads decides the last bits of a matrix product.
os.environ |= {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# Ray's clusters ask for a token; one of our own leaves the user's alone.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import contextlib
import logging
import signal
import subprocess
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import hypothesis
import jax
import pytest
from hydra import compose, initialize_config_dir

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import load_config
from hyperdiag.jobs.__main__ import main
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.messages import log
from hyperdiag.messages import secrets as credentials
from tests.chaos.cluster import Cluster
from tests.jobs.cluster_site import Site
from tests.ray_head import ray_head

jax.config.update("jax_platforms", "cpu")
# How long a test takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the marks
def pytest_collection_modifyitems(items):
    """Leave most cases of a test marked `one_in` to `make slow`; give tests to processes.

    Of n cases, about n/k are for `make test`, in each row and column of crossed parameters, and at
    least one: which, differs from test to test.

    With `--dist loadgroup`: each file to one process, and to one all that share a cluster. Tests of
    the mathematics share nothing: one by one, they fill up what is left of the time.
    """
    cases = defaultdict(list)
    for item in items:
        if item.get_closest_marker("one_in"):
            cases[item.function].append(item)
    for function, those in cases.items():
        k = min(those[0].get_closest_marker("one_in").args[0], len(those))
        first = zlib.crc32(function.__name__.encode())
        for at, item in enumerate(those):
            if (first + at + at // k) % k:
                item.add_marker("slow")
    for item in items:
        file = item.nodeid.partition("::")[0]
        if "ray_address" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("ray_address"))
        elif not file.startswith("tests/hyperdual/"):
            item.add_marker(pytest.mark.xdist_group(file))


def pytest_collection_finish(session):
    """Check that tests are grouped, or fixtures and clusters would stand in each process."""
    if session.config.getoption("loadgroup", False):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in item.nodeid for item in grouped), "pytest-xdist groups no tests"


@pytest.fixture(scope="session", autouse=True)
def _compiled(tmp_path_factory):
    """Keep what JAX compiles in this process: many tests run the same small networks.

    Commands and workers compile for themselves, so that a comparison of bytes is one.
    """
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="session", autouse=True)
def _timings(tmp_path_factory):
    """Keep the tuner's outcomes for this session, not with those of the machine."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folders lie in that of the session
        folder = folder.parent
    os.environ["HYPERDIAG_CACHE"] = str(folder / "cache")
    yield
    del os.environ["HYPERDIAG_CACHE"]


@pytest.fixture(autouse=True)
def credentials_as_found():
    """Forget the credentials that a test reads: they would be masked in the next one's texts."""
    before = credentials.registered_secrets()
    yield
    credentials._registered.clear()
    credentials.register_secrets(before)


@pytest.fixture
def configure():
    """Compose and validate a configuration of the job `derive` from overrides."""

    def configured(*overrides):
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            composed = compose("derive", list(overrides))
        return load_config(composed), redacted_yaml(composed)

    return configured


@pytest.fixture
def hyperdiag(tmp_path):
    """Run the command in a folder of its own; return what it said and its exit code."""

    def run(*arguments, cwd=tmp_path, timeout=240):
        return subprocess.run(
            [sys.executable, "-m", "hyperdiag", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            # With the tests' own networks, wherever it is run.
            env={**os.environ, "COLUMNS": "200", "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )

    return run


@pytest.fixture
def invoke(tmp_path, monkeypatch, capfd):
    """Run the command in this process, which has imported all that it needs.

    Otherwise as `hyperdiag`, which is for what a process has of its own: signals, memory, threads.
    """

    def run(*arguments, cwd=tmp_path):
        capfd.readouterr()
        with monkeypatch.context() as patch, _as_found(tmp_path), _log_as_found():
            patch.chdir(cwd)
            patch.setenv("COLUMNS", "200")
            patch.setattr("sys.argv", ["hyperdiag", *map(str, arguments)])
            with pytest.raises(SystemExit) as stopped:
                main()
        code = stopped.value.code or 0
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run


@contextlib.contextmanager
def _as_found(folder):
    """Leave signals, environment, search path and the folder's modules as they were.

    The next test's modules may have the same names.
    """
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    environment, path = dict(os.environ), [*sys.path]
    try:
        yield
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        for name, module in [*sys.modules.items()]:
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]


@contextlib.contextmanager
def _log_as_found():
    """Leave the log as it was: the command's handler writes to a stream that is closed later."""
    logger = logging.getLogger("hyperdiag")
    handlers, level, propagate = [*logger.handlers], logger.level, logger.propagate
    run = dict(log._run)
    try:
        yield
    finally:
        logger.handlers = handlers
        logger.setLevel(level)
        logger.propagate = propagate
        log._run.clear()
        log._run.update(run)


@pytest.fixture(scope="session")
def ray_address():
    """The address of a real two-core Ray cluster, in processes of its own.

    It believes that it has a GPU.
    """
    with ray_head("--num-gpus=1", "--include-dashboard=false") as head:
        yield head.address


@pytest.fixture(scope="module")
def submit_cluster():
    """A cluster to submit to: a head with a job server, and two nodes."""
    cluster = Cluster(2, with_server=True)
    yield cluster
    cluster.close()


@pytest.fixture
def site(tmp_path, submit_cluster):
    """A folder to submit from, and the cluster in full strength."""
    submit_cluster.restore()
    site = Site(tmp_path, submit_cluster.server)
    yield site
    site.close()

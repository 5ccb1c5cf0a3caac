import shutil
import tempfile
from pathlib import Path

import pytest

from tests.store.conftest import _server, _session_proxy, proxy, store  # noqa: F401  fixtures

from .subject import make_subject


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Two dozen shards, derived undisturbed."""
    return make_subject(tmp_path_factory.mktemp("small"), 2, 48_000, 4000, "inline")


@pytest.fixture
def short_folder():
    """A folder whose path is short enough for the sockets that Ray keeps in it."""
    folder = Path(tempfile.mkdtemp(prefix="hdc-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.store.conftest import _server, _session_proxy, proxy, store  # noqa: F401  fixtures

from .subject import make_subject

# The URI of a folder in a store of your own, with `{}` for the output's name: tests of outputs on
# every store are made there, too.
OWN_STORE = os.environ.get("HYPERDIAG_CHAOS_STORE")


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


@pytest.fixture(params=["local", "store", *(["own_store"] if OWN_STORE else [])])
def outputs(request, tmp_path):
    """Give the path or URI of a new output each time it is called."""
    if request.param == "own_store":
        folder = uuid.uuid4().hex
        return lambda name: OWN_STORE.replace("{}", f"{folder}/{name}")
    if request.param == "store":
        held = request.getfixturevalue("store")
        return lambda name: held.uri(name, "AKIDEXAMPLE:wJalrXUtnFEMI@", request_timeout=10)
    return lambda name: f"{tmp_path}/{name}"

import shutil

import pytest

from .book import Book
from .inspection.audited import derive_rows, write_rows


@pytest.fixture
def book(tmp_path, configure):
    """Three files, derived."""
    book = Book(tmp_path, configure)
    for name in ("c", "f", "i"):
        book.write(name, bad=name == "f")
    book.derive()
    return book


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """An output of four shards of 100 rows, the first two with bad rows."""
    from hydra import compose, initialize_config_dir

    from hyperdiag.config.schema import load_config
    from hyperdiag.jobs._command import CONFIG_DIR

    def configure(*overrides):
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            return load_config(compose("derive", list(overrides))), ""

    folder = tmp_path_factory.mktemp("published")
    write_rows(folder)
    manifest = derive_rows(folder, configure, "output.provenance=true")
    assert manifest.rows.quarantined == {"nan": 5, "overflow": 4}
    return folder


@pytest.fixture
def copy(published, tmp_path):
    """A copy of it to be harmed; the input stays where it is."""
    shutil.copytree(published / "out", tmp_path / "out")
    return tmp_path

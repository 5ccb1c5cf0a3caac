"""A run whose names would run scripts, if a page took them for its own."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive
from hyperdiag.run.report import read_report, write_report

from .bands import add_bands
from .browser import CHROMIUM, Browser
from .networks import INPUTS, OUTPUTS, SCRIPT, wide
from .synthetic import write_synthetic
from .tables import Data, column

NOTE = "<img src=x onerror=\"document.title='broken'\">"


def write_rows(folder, rows=3000):
    """Write two files: rows of three desks and of none, some of them bad, some out of range."""
    rng = np.random.default_rng(5)
    (folder / "in").mkdir()
    for number, name in enumerate(("monday", "tues<day>")):
        spot, vol = rng.uniform(0.5, 1.5, rows), rng.uniform(0.1, 0.42, rows)
        spot[3], vol[[8, 9]] = np.nan, np.inf
        columns = {
            "trade": np.arange(rows) + number * rows,
            "desk": np.array(["rates", "fx", SCRIPT, None])[rng.integers(0, 4, rows)],
            "note": [NOTE] * rows,
            "spot": spot,
            "vol<b>": vol,
            "rate": rng.normal(0.02, 0.01, rows),
        }
        table = pa.table(columns)
        pq.write_table(table, folder / f"in/{name}.parquet", row_group_size=500)


def overrides(folder, *more):
    """The overrides of a run of these rows."""
    return (
        *("cluster=inline", "network=python", "network.target=tests.run.report.networks:hostile"),
        *("dataset=parquet", f"dataset.path={folder}/in"),
        *("dataset.shard_rows=1000", "derivatives.method=hyperdual", "derivatives.tile=8"),
        *("output.provenance=true", f"output.path={folder}/out", *more),
    )


@pytest.fixture(scope="session")
def compose_run():
    """Return a configuration as `derive` takes it, given overrides."""
    from hydra import compose, initialize_config_dir

    from hyperdiag.config.schema import load_config
    from hyperdiag.jobs._command import CONFIG_DIR

    def composed(*overrides):
        with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
            return load_config(compose("derive", list(overrides))), ""

    return composed


@pytest.fixture(scope="session")
def published(tmp_path_factory, compose_run):
    """An output without summaries."""
    folder = tmp_path_factory.mktemp("published")
    write_rows(folder)
    derive(*compose_run(*overrides(folder, "summary.enabled=false")))
    return folder / "out"


@pytest.fixture(scope="session")
def data(tmp_path_factory, compose_run):
    """The data of an output that has summaries, of all rows and of desks."""
    folder = tmp_path_factory.mktemp("summarised")
    write_rows(folder)
    derive(*compose_run(*overrides(folder, "summary.by=desk", "summary.extreme_rows=5")))
    return Data(folder / "out", OUTPUTS, INPUTS)


@pytest.fixture(scope="session")
def of_books(tmp_path_factory, compose_run):
    """The data of an output that has more groups than have all statistics: 65 books."""
    folder = tmp_path_factory.mktemp("books")
    write_rows(folder)
    for path in sorted((folder / "in").iterdir()):
        table = pq.read_table(path)
        books = pa.array([f"book {at % 65}" for at in range(table.num_rows)])
        pq.write_table(table.append_column("book", books), path)
    derive(*compose_run(*overrides(folder, "summary.by=book")))
    return Data(folder / "out", OUTPUTS, INPUTS)


@pytest.fixture(scope="session")
def banded(tmp_path_factory, data):
    """The output of these data with quantiles over bins, and what they are."""
    folder = tmp_path_factory.mktemp("banded") / "out"
    shutil.copytree(data.folder, folder)
    return folder, add_bands(folder, lambda *of: column(*of)[1:-1])


@pytest.fixture
def many(tmp_path, compose_run):
    """Return the report of a run of many outputs and inputs."""

    def make(n, m, groups, curves):
        target = "tests.run.report.networks:wide"
        sizes = (f"+network.kwargs={{n: {n}, m: {m}}}", "dataset.rows=8", "dataset.shard_rows=8")
        derive(
            *compose_run(
                *("network=python", f"network.target={target}", *sizes, "cluster=inline"),
                *("derivatives.method=hyperdual", "derivatives.tile=8"),
                *(
                    "derivatives.verify_rows=0",
                    "summary.enabled=false",
                    f"output.path={tmp_path}/out",
                ),
            )
        )
        network = wide(n, m)
        write_synthetic(tmp_path / "out", network.outputs, network.inputs, groups, curves)
        return read_report(str(tmp_path / "out"))

    return make


@pytest.fixture(scope="session")
def started_browser(tmp_path_factory):
    """A browser for all tests of a session: it takes its time to start."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(started_browser):
    """The browser, with a window of usual size, in the light, and no complaints of others."""
    started_browser.resize(1300, 900)
    started_browser.emulate()
    started_browser.complaints.clear()
    started_browser.requests.clear()
    return started_browser


@pytest.fixture
def page(browser, data):
    """The report of the run with names that would run scripts, opened anew."""
    place = write_report(str(data.folder))
    browser.open(data.folder / "run/report.html")
    assert place.path == str(data.folder / "run/report.html")
    return browser

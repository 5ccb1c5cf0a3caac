"""A person's folder that holds modules and folders named as those of this project are.

The one name that is ours is `hyperdiag`; the network is made of modules with all the others.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

from tests.jobs.outcome import said

# The network f(a, b) = (3 a^3 + b, 3 a b), its parts spread over a person's own packages.
_FILES = {
    "mine.py": """
        from conf.settings import SCALE
        from jobs.derive import cube
        from pipeline.layers import product
        from tests import OFFSET

        def build():
            import jax.numpy as jnp
            return lambda x: jnp.stack([SCALE * cube(x[0]) + x[1], product(SCALE, *x) + OFFSET])
    """,
    "pipeline/__init__.py": "",
    "pipeline/layers.py": "from pipeline.run import multiply as product",
    "pipeline/run.py": """
        def multiply(*factors):
            result = 1
            for factor in factors:
                result = result * factor
            return result
    """,
    "jobs/__init__.py": "",
    "jobs/derive.py": "def cube(a): return a**3",
    "conf/settings.py": "SCALE = 3",  # a folder without __init__.py
    "conf/derive.yaml": "not: ours",
    "tests/__init__.py": "OFFSET = 0",
    # As where a clone of the project lies in the folder.
    "hyperdiag/pipeline/__init__.py": "raise ImportError",
    "hyperdiag/jobs/__init__.py": "raise ImportError",
}
_NETWORK = ("network=python", "network.target=mine:build", "network.inputs=[a,b]")
_RUN = (*_NETWORK, "dataset=parquet", "dataset.path=rows.parquet", "output.path=out")


def _write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))


def _write_rows(folder):
    rows = pa.table({"a": np.linspace(-1, 1, 40), "b": np.linspace(0, 2, 40)})
    pq.write_table(rows, folder / "rows.parquet", row_group_size=10)


@pytest.fixture
def folder(tmp_path):
    """The folder, with the network and 40 rows in it."""
    _write(tmp_path, _FILES)
    _write_rows(tmp_path)
    return tmp_path


def _check(output):
    """Check an output against the derivatives by hand."""
    table = pq.read_table(output / "data")
    assert table.num_rows == 40
    a, b = (np.asarray(table[name], np.float64) for name in "ab")
    expected = {
        **{"y1": 3 * a**3 + b, "d_y1__d_a": 9 * a**2, "d2_y1__d2_a": 18 * a},
        **{"y2": 3 * a * b, "d_y2__d_a": 3 * b, "d_y2__d_b": 3 * a, "d2_y2__d2_b": 0 * b},
    }
    for name, values in expected.items():
        assert_allclose(np.asarray(table[name]), values, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture
def derive(folder):
    """Run `hyperdiag derive` in the folder."""

    def run(*overrides, command=("hyperdiag",), **environment):
        return subprocess.run(
            [*command, "derive", *_RUN, "derivatives.method=hyperdual", *overrides],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "PATH": _path(), **environment},
            check=False,
        )

    return run


def _path():
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.mark.parametrize(
    ("cluster", "python_path", "command"),
    [
        ("inline", None, ["hyperdiag"]),
        pytest.param("inline", ".", ["hyperdiag"], marks=pytest.mark.slow),
        pytest.param(  # the folder comes first here too
            "local", None, [sys.executable, "-m", "hyperdiag"], marks=pytest.mark.slow
        ),
        pytest.param("local", ".", ["hyperdiag"], marks=pytest.mark.slow),
    ],
)
def test_network_of_modules_named_as_folders_of_the_project_is_derived(
    derive, folder, cluster, python_path, command
):
    ours = os.environ.get("PYTHONPATH")
    search = {"PYTHONPATH": os.pathsep.join(filter(None, [python_path, ours]))}
    said(derive(f"cluster={cluster}", "cluster.workers=1", command=command, **search))
    _check(folder / "out")


@pytest.mark.slow
def test_modules_named_as_folders_of_the_project_are_sent_to_a_running_cluster(
    derive, folder, ray_address
):
    said(derive("cluster=existing", f"cluster.address={ray_address}", "cluster.workers=1"))
    _check(folder / "out")


@pytest.mark.slow
def test_modules_named_as_folders_of_the_project_travel_with_a_submitted_run(site):
    _write(site.folder, _FILES)
    _write_rows(site.folder)
    code, out, errors = site.submit(*_RUN, "derivatives.method=hyperdual")
    assert code == 0, errors + out
    _check(site.folder / "out")


_HOSTILE = "import pathlib; pathlib.Path({mark!r}).touch(); raise ImportError({mark!r})"
# What this program and its libraries import, now or later, or find by looking through the path.
_NAMES = [
    *("hyperdiag.py", "ray.py", "scipy.py", "jax.py", "rich.py", "json.py", "cupy/__init__.py"),
    *("tensorflow.py", "sitecustomize.py", "hydra_plugins/theirs/__init__.py"),
    *("jax_plugins/theirs/__init__.py", "pyarrow/__init__.py", "fusion_surrogates.py"),
]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["inline", "local"])
def test_modules_in_the_folder_are_run_for_the_network_alone(derive, folder, cluster):
    mark = folder / "mark"
    _write(folder, dict.fromkeys(_NAMES, _HOSTILE.format(mark=str(mark))))
    info = folder / "theirs-1.dist-info"
    _write(folder, {f"{info.name}/METADATA": "Name: theirs\nVersion: 1\n"})
    points = "".join(f"[{group}]\nx = theirs_mine:y\n" for group in ("pydantic", "jax_plugins"))
    _write(folder, {f"{info.name}/entry_points.txt": points})
    said(derive(f"cluster={cluster}", "cluster.workers=1", "derivatives.method=auto"))
    _check(folder / "out")
    assert not mark.exists()
    verified = subprocess.run(
        ["hyperdiag", "verify", "output.path=out"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": _path()},
        check=False,
    )
    said(verified)
    assert not mark.exists()


def test_what_is_installed_is_never_replaced_and_that_is_said(derive, folder):
    _write(folder, {"rich.py": "def build(): return lambda x: x"})
    done = derive("network.target=rich:build", "cluster=inline")
    assert done.returncode == 2
    assert "module rich has no 'build'" in done.stderr
    assert "rich.py in the current folder is not looked at" in done.stderr

"""What a run keeps to: bad rows, memory, and no more of Ray than it needs."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from .outcome import said


def test_too_many_bad_rows_fail_the_run_and_keep_what_is_done(invoke, tmp_path):
    table = pa.table({"x1": [1.0, None, 3.0, 4.0], **{f"x{i}": [1.0] * 4 for i in range(2, 6)}})
    pq.write_table(table, tmp_path / "x.parquet")
    command = ("derive", "network=chain", "dataset=parquet", "dataset.path=x.parquet")
    command += ("cluster=inline", "output.path=out")
    text = said(invoke(*command), code=1)
    assert "1 of 4 rows are bad (1 null), more than limits.max_bad_fraction=0.1" in text
    assert not (tmp_path / "out/_SUCCESS").exists()
    assert pq.read_table(tmp_path / "out/data").num_rows == 3
    said(invoke(*command, "limits.max_bad_fraction=0.25"))
    assert (tmp_path / "out/_SUCCESS").exists()


@pytest.mark.slow
def test_row_group_of_two_million_rows_keeps_memory_small(tmp_path):
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.standard_normal(2_000_000) for i in range(1, 6)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=2_000_000)
    assert pq.read_metadata(tmp_path / "x.parquet").num_row_groups == 1
    command = [*("derive", "network=chain", "dataset=parquet", "dataset.path=x.parquet")]
    command = [sys.executable, "-m", "hyperdiag", *command, "cluster=inline", "output.path=out"]
    # Through a small process: a child's peak counts what it was forked from.
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    printed = subprocess.check_output(
        [sys.executable, "-c", script, *command], cwd=tmp_path, text=True
    )
    assert int(printed.splitlines()[-1]) < 1_000_000  # KiB
    assert ds.dataset(tmp_path / "out/data").count_rows() == 2_000_000


@pytest.mark.slow
def test_inline_never_imports_ray(tmp_path):
    script = (
        "import sys; sys.argv = ['derive', 'cluster=inline', 'dataset.rows=10', 'output.path=o']\n"
        "import atexit; atexit.register(lambda: print('ray' in sys.modules))\n"
        "from hyperdiag.jobs.derive import main; main()"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True)
    assert printed.splitlines()[-1] == "False"

"""What a run of one shard, one file, one worker and one output says."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.run.derive import derive
from hyperdiag.run.forecast.forecast import Price, forecast
from hyperdiag.run.forecast.table import print_forecast
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.inspection.status import status
from hyperdiag.run.inspection.status_table import print_status
from hyperdiag.run.summary import print_summary


@pytest.fixture
def single(configure, tmp_path):
    """The configuration of a run in which there is one of everything."""
    pq.write_table(pa.table({"x": np.array([1.0])}), tmp_path / "x.parquet")
    return configure(
        *("network=python", "network.target=tests.run.networks:saturated", "network.inputs=[x]"),
        *("dataset=parquet", f"dataset.path={tmp_path}/x.parquet", f"output.path={tmp_path}/out"),
        *("cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=1"),
        *("derivatives.outputs=[hessian_diag]", "derivatives.verify_rows=1"),
    )


def test_one_of_everything_is_said_in_the_singular(single, tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hyperdiag"), "propagate", True)
    caplog.set_level(logging.INFO, "hyperdiag")
    print_forecast(forecast(single[0], Price(None, ""), 0.0))
    print_summary(derive(*single), str(tmp_path / "out"))
    text = capsys.readouterr().out + caplog.text
    for words in (
        *("1 row of 1 column", "1 row in 1 shard,", "with 1 worker:", "1 worker ready"),
        *("diagonal of 1 output with respect to 1 of 1 input,", "1 row read: 1 derived"),
        *("1 row compared with", "1 file, 1 computed column such as"),
    ):
        assert words in text
    assert audit(str(tmp_path / "out"), None, 1, 1).findings == []


def test_lines_have_no_blanks_at_their_ends(single, tmp_path, capsys):
    print_forecast(forecast(single[0], Price(None, ""), 0.0))
    print_summary(derive(*single), str(tmp_path / "out"))
    (tmp_path / "out/_SUCCESS").unlink()
    print_status(status(str(tmp_path / "out")), str(tmp_path / "out"))
    text = capsys.readouterr().out
    assert "network" in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_bad_rows_of_a_probe_are_told_as_in_the_summary(single, tmp_path, configure):
    pq.write_table(pa.table({"x": np.array([1.0, np.nan])}), tmp_path / "x.parquet")
    (note,) = forecast(single[0], Price(None, ""), 0.0).notes
    assert "1 of the 2 rows of the probe are bad (1 nan)" in note
    with pytest.raises(RunIncomplete, match=r"1 of 2 rows are bad \(1 nan\), more than"):
        derive(*single)

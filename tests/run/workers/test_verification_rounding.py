"""What rounding excuses of verified rows: small, rare, and said."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit

WHOLE, PLATEAU, FAR, SURE = (-12, 12), (8, 12), (1e4, 2e4), (18, 25)


@pytest.fixture
def run(tmp_path, configure):
    """Derive a network of `tests.run.networks` at 100 points on a diagonal; return the manifest."""

    def run(target, ends, *more):
        x = np.linspace(*ends, 100)
        pq.write_table(pa.table({"a": x, "b": x, "c": x}), tmp_path / "x.parquet")
        return derive(
            *configure(
                *("cluster=inline", "network=python", "network.inputs=[a,b,c]"),
                *(f"network.target=tests.run.networks:{target}", "limits.max_attempts=1"),
                *("dataset=parquet", f"dataset.path={tmp_path}/x.parquet"),
                *(f"output.path={tmp_path}/out", "output.mode=overwrite"),
                *("derivatives.method=hyperdual", "derivatives.tile=8", *more),
            )
        )

    return run


@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint"])
def test_shard_of_which_most_is_rounding_is_refused_with_the_mends(method, run):
    """tanh'(10) is 8e-9: in float32 the difference of two numbers that are both one."""
    method = f"derivatives.method={method}"
    with pytest.raises(RunIncomplete, match=r"9 of 36 verified values of the Jacobian") as error:
        run("saturated", PLATEAU, method)
    sentence = str(error.value)
    assert "(y1, y2, y3) are smaller beside the output's value than what float32" in sentence
    assert "More than 10% are published only if asked for" in sentence
    manifest = run("saturated", PLATEAU, method, "derivatives.dtype=float64")
    assert (manifest.rows.rounded, manifest.warnings) == (0, ())
    tolerance = sentence.split("tolerance of your own, about ")[1].split(",")[0]
    manifest = run("saturated", PLATEAU, method, f"derivatives.tolerance={tolerance}")
    assert manifest.rows.derived == 100


@pytest.mark.parametrize(("target", "ends"), [("unit_vector", FAR), ("sure", SURE)])
def test_other_cancelling_slopes_are_refused_as_well(target, ends, run):
    with pytest.raises(RunIncomplete, match=r"of the Jacobian .* than what float32 rounds off"):
        run(target, ends)
    rows = run(target, ends, "derivatives.dtype=float64").rows
    assert (rows.derived, rows.rounded) == (100, 0)


@pytest.mark.parametrize("target", ["saturated", "unit_vector", "sure"])
def test_saturated_rows_among_others_are_no_errors(target, run):
    """They are compared with the largest of their shard."""
    rows = run(target, WHOLE).rows
    assert (rows.verified, rows.rounded) == (4, 0)
    assert rows.largest_error < 1e-4


def test_rare_rounding_is_excused_and_said_and_so_says_the_audit(run, tmp_path):
    """One slope of twelve by three in a row."""
    manifest = run("one_of_twelve_saturated", PLATEAU)
    assert manifest.rows.rounded == 3
    assert manifest.rows.largest_error <= manifest.tolerance
    sentence = " of 4 verified rows have derivatives that are smaller, beside the value, than what"
    assert any(f"3{sentence}" in warning for warning in manifest.warnings)
    found = audit(str(tmp_path / "out"), None, shards=1, rows=4)
    assert (found.findings, found.derived_again) == ([], 4)
    assert sentence in found.notes[0]


def test_derivative_that_float32_cannot_have_is_refused_where_it_matters(run):
    """JAX's own float32 is as wrong; but the error is as large as the value, and no rounding."""
    with pytest.raises(RunIncomplete, match="the Jacobian of 'y1' differs"):
        run("cancelling", (0, 1))

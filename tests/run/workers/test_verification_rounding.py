"""What rounding excuses of verified rows: small, rare, and said."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit

WHOLE, PLATEAU = (-12, 12), (8, 12)
EDGE, SURE = (8.7, 9.2), (15, 16.5)


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


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperdual_adjoint", "hyperdual"])
def test_shard_of_which_much_is_rounding_is_refused_with_the_mends(method, run):
    """A curvature of 2e-6 that is the difference of curvatures of 36."""
    method = f"derivatives.method={method}"
    with pytest.raises(RunIncomplete, match=r"12 of 36 verified values of the Hessian d") as error:
        run("double_angle", WHOLE, method)
    sentence = str(error.value)
    assert "(y1, y2, y3) are off by more than the tolerance, since float32 cannot" in sentence
    assert "Up to 25%, or one row, are published with a word, more only if asked for" in sentence
    manifest = run("double_angle", WHOLE, method, "derivatives.dtype=float64")
    assert (manifest.rows.derived, manifest.rows.rounded, manifest.warnings) == (100, 0, ())
    tolerance = sentence.split("tolerance of your own, about ")[1].split(",")[0]
    manifest = run("double_angle", WHOLE, method, f"derivatives.tolerance={tolerance}")
    assert manifest.rows.derived == 100


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("target", "ends"), [("saturated", EDGE), ("sure", SURE)])
def test_other_cancelling_slopes_are_refused_as_well(target, ends, run):
    with pytest.raises(RunIncomplete, match=r"of the Jacobian .* since float32 cannot hold them"):
        run(target, ends)


def test_errors_below_the_rounding_of_the_value_are_excused_wherever_they_are(run):
    """tanh'(12) is 2e-10, and 0 in float32; tanh(12) is 1, give or take 6e-8."""
    manifest = run("saturated", (11, 13))
    assert manifest.rows.rounded == 4
    assert "4 of 4 verified rows have derivatives that are smaller" in " ".join(manifest.warnings)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("target", ["saturated", "unit_vector", "sure"])
def test_saturated_rows_among_others_are_no_errors(target, run):
    """They are compared with the largest of their shard."""
    rows = run(target, WHOLE).rows
    assert (rows.verified, rows.rounded) == (4, 0)
    assert rows.largest_error < 1e-4


def test_rare_rounding_is_excused_and_said_and_so_says_the_audit(run, tmp_path):
    """One slope of twelve by three in a row; what is more than the rounding of the value counts."""
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


def test_one_row_says_nothing_about_others(run):
    """In shards of one row, all of which lie where the slope cancels."""
    manifest = run("saturated", EDGE, "dataset.shard_rows=1", "dataset.limit=5")
    assert (manifest.rows.derived, manifest.rows.rounded) == (5, 5)

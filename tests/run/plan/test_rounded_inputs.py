"""Inputs that float32 cannot tell apart are named while a run is planned."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.plan.planner import make_plan

ROWS = 300
STEPS = np.arange(ROWS, dtype=np.float64)
MISSING = [None, np.nan, *(1.7e9 + STEPS[2:])]


@pytest.fixture
def named(configure, tmp_path):
    """The sentences on a dataset of these columns, one of which is `x1`."""

    def of(columns, *overrides):
        pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=100)
        return make_plan(
            configure(
                *("network=chain", "network.layers='Dense(2, 1, tanh)'", "dataset=parquet"),
                *(f"dataset.path={tmp_path}/in.parquet", "dataset.shard_rows=100"),
                *("derivatives.method=hyperdual", "derivatives.tile=8", "cluster=inline"),
                *("derivatives.verify_rows=0", *overrides),
            )[0]
        ).rounded_inputs

    return of


@pytest.mark.parametrize(
    "column",
    [
        pa.array(1.7e9 + STEPS),
        pa.array((1.7e18 + 1e9 * STEPS).astype(np.int64)),
        pa.array((1_700_000_000 + STEPS).astype(np.int32)),
        pa.array([f"{second:.0f}" for second in 1.7e9 + STEPS]),
        pa.array(1 + 1e-7 * STEPS),
        pa.array(MISSING),
    ],
    ids=["float64", "int64", "int32", "text", "beside one", "missing"],
)
def test_input_whose_steps_float32_rounds_away_is_named_with_the_mend(column, named):
    (sentence,) = named({"x1": column, "x2": STEPS})
    assert sentence.startswith("input 'x1' is rounded to float32 by up to ")
    assert "derivatives.dtype=float64" in sentence


@pytest.mark.parametrize(
    "column",
    [
        pa.array(1.7e9 + 1e6 * STEPS),
        pa.array(np.full(ROWS, 0.1)),
        pa.array((1.7e9 + STEPS).astype(np.float32)),
        pa.array((1.7e9 + 128 * STEPS).astype(np.int64)),
        pa.array(1e-30 * STEPS),
        pa.nulls(ROWS, pa.float64()),
    ],
    ids=["wide", "constant", "float32", "exact", "small", "null"],
)
def test_input_that_float32_can_hold_is_not_named(column, named):
    assert named({"x1": column, "x2": STEPS}) == ()


def test_entry_of_a_vector_is_named_and_nothing_is_in_float64(named):
    rows = pa.array(np.stack([STEPS, 1.7e9 + STEPS], axis=1).tolist())
    (sentence,) = named({"points": rows}, "dataset.vector=points")
    assert sentence.startswith("input 'x2' is rounded to float32 by up to 64, ")
    assert named({"points": rows}, "dataset.vector=points", "derivatives.dtype=float64") == ()

import numpy as np
import pyarrow as pa
import pytest

from hyperdiag.data.faults import Faults
from hyperdiag.derived.delta_gamma import DeltaGamma, Scenario
from hyperdiag.derived.derived import Derived, Deriver
from hyperdiag.derived.elasticity import Elasticity
from hyperdiag.derived.greeks import Greeks
from hyperdiag.derived.mine import plan_mine
from hyperdiag.derived.propagation import Propagation
from hyperdiag.derived.relative import Relative
from hyperdiag.derived.rows import Names
from hyperdiag.derived.standardised import Standardised
from hyperdiag.derived.top import Top

INPUTS = tuple("abcdefg")
NAMES = Names(INPUTS, INPUTS, ("u", "v", "w"))
S = {name: 0.1 * at + 0.05 for at, name in enumerate(INPUTS[:-1])} | {"g": "spread"}
RHO = {"a": {"b": 0.3, "g": -0.2}, "c": {"d": 0.5}}


def _every():
    return Derived(
        propagation=Propagation(None, S, RHO, True),
        delta_gamma=DeltaGamma(None, (Scenario("x", S), Scenario("y", {"a": 1.0})), True, True),
        elasticity=Elasticity(("u", "w")),
        relative=Relative(None),
        standardised=Standardised(None, S),
        greeks=Greeks(None, ("a", "b"), ("c",), ("d",), ("e",), "unit", "basis_point", "year"),
        top=Top(None, S, 3),
        mine=plan_mine("tests.derived.networks:largest_move", NAMES, np.ones((3, 7)), {}),
    )


def _input(rows=100, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"value": (3,), "jacobian": (3, 7), "hessian_diag": (3, 7), "hessian": (3, 7, 7)}
    quantities = {
        name: rng.normal(size=(rows, *shape)).astype(np.float32) for name, shape in shapes.items()
    }
    points = rng.normal(size=(rows, 7)).astype(np.float32)
    return points, quantities, {"spread": rng.uniform(0, 1, (rows, 1))}


def _rows_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)


@pytest.mark.parametrize("batch", [1, 7, 33])
def test_bits_depend_on_neither_batch_nor_order_in_memory(batch):
    points, quantities, columns = _input()
    deriver = Deriver(_every(), NAMES, "float64")
    whole = deriver.compute(points, quantities, columns)
    parts = []
    for first in range(0, 100, batch):
        some = slice(first, first + batch)
        part = {name: _rows_last(array[some]) for name, array in quantities.items()}
        parts.append(deriver.compute(points[some], part, {"spread": columns["spread"][some]}))
    # That of the user is the user's own business.
    for block, array, pieces in zip(
        _every().blocks(NAMES), whole, zip(*parts, strict=True), strict=True
    ):
        if block.kind != "mine":
            np.testing.assert_array_equal(np.concatenate(pieces), array, err_msg=block.name)


def test_arrays_have_the_shapes_of_their_blocks_in_the_runs_dtype():
    arrays = Deriver(_every(), NAMES, "float32").compute(*_input(5))
    for block, array in zip(_every().blocks(NAMES), arrays, strict=True):
        assert array.shape == (5, *block.shape)
        assert (array.dtype == np.float32) or block.labels


def test_columns_that_hold_no_deviation_are_faults_that_name_them():
    derived = Derived(
        propagation=Propagation(None, {"a": "s"}),
        delta_gamma=DeltaGamma(None, (Scenario("", {"b": "dx"}),)),
    )
    table = pa.table(
        {
            "s": ["0.5", "-1", "much", None, "0", "1"],
            "dx": pa.array([-1, 2, 3, 4, float("nan"), None]),
        }
    )
    faults = Faults(6)
    columns = Deriver(derived, NAMES, "float64").read(table, faults)
    assert list(faults) == [
        (1, "negative_deviation", "column 's', a standard deviation, is -1"),
        (2, "not_a_number", "column 's' is the text 'much'"),
        (3, "null", "column 's' is null"),
        (4, "nan", "column 'dx' is NaN"),
        (5, "null", "column 'dx' is null"),
    ]
    assert columns["s"].tolist() == [[0.5], [0], [0], [0], [0], [1]]
    assert columns["dx"].tolist() == [[-1], [0], [0], [0], [0], [0]]


@pytest.mark.parametrize(
    ("dtype", "value", "detail"),
    [
        ("float64", 0.0, "'elasticity_v__by_a' is inf"),
        ("float32", 1e-41, "'elasticity_v__by_a' is inf"),  # beyond what float32 holds
        ("float64", 1e-41, None),
    ],
)
def test_numbers_that_are_not_finite_are_faults_that_name_their_column(dtype, value, detail):
    points, quantities, _ = _input(3)
    quantities = {name: np.abs(array.astype(float)) + 1 for name, array in quantities.items()}
    quantities["value"][1, 1] = value
    deriver, faults = Deriver(Derived(elasticity=Elasticity(None)), NAMES, dtype), Faults(3)
    deriver.check_finite(deriver.compute(np.abs(points), quantities, {}), faults)
    assert list(faults) == ([(1, "non_finite_derived", detail)] if detail else [])


def test_nothing_derived_is_nothing():
    assert not Derived()
    deriver = Deriver(Derived(), NAMES, "float32")
    points, quantities, _ = _input(2)
    assert deriver.read(pa.table({"a": [1, 2]}), Faults(2)) == {}
    assert deriver.compute(points, quantities, {}) == []

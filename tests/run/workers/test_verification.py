"""Rows verified in a run: honest errors pass, wrong derivatives stop the shard."""

import json

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.sink import RECEIPT
from hyperdiag.messages.errors import RunIncomplete, UsageError
from hyperdiag.networks import build_network
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers import verification as verification_module
from hyperdiag.run.workers.device_kernel import DeviceKernel

from ..networks import MODULE_WEIGHTS


def _rows(folder, rows=200, seed=0):
    x = np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)
    folder.mkdir(parents=True)
    pq.write_table(pa.table({name: x[:, i] for i, name in enumerate("abc")}), folder / "x.parquet")


def _overrides(tmp_path, target, *more):
    return [
        "cluster=inline",
        "network=python",
        f"network.target=tests.run.networks:{target}",
        "network.inputs=[a,b,c]",
        "dataset=parquet",
        f"dataset.path={tmp_path / 'in'}",
        "dataset.shard_rows=50",
        f"output.path={tmp_path / 'out'}",
        "derivatives.tile=8",
        *more,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint", "taylor"])
def test_verified_rows_are_counted_and_their_error_kept(method, tmp_path, configure):
    _rows(tmp_path / "in")
    overrides = _overrides(tmp_path, "wavy", f"derivatives.method={method}")
    manifest = derive(*configure(*overrides))
    assert manifest.rows.verified == 4 * manifest.shards
    assert 0 < manifest.rows.largest_error < 1e-5
    footer = pq.read_metadata(next((tmp_path / "out/data").iterdir())).metadata
    receipt = json.loads(footer[RECEIPT])
    assert receipt["rows"]["verified"] == 4
    assert receipt["rows"]["largest_error"] <= manifest.rows.largest_error


@pytest.mark.slow
def test_verify_rows_zero_verifies_nothing(tmp_path, configure):
    _rows(tmp_path / "in")
    overrides = _overrides(tmp_path, "wavy", "derivatives.verify_rows=0")
    assert derive(*configure(*overrides)).rows.verified == 0


@pytest.mark.parametrize(
    ("quantity", "name"), [(0, "value"), (1, "Jacobian"), (2, "Hessian diagonal")]
)
def test_wrong_derivative_stops_its_shards_with_the_place(
    quantity, name, tmp_path, configure, monkeypatch
):
    _rows(tmp_path / "in")
    right = DeviceKernel.__call__

    def wrong(self, points):
        arrays = list(right(self, points))
        arrays[quantity] = arrays[quantity] + 0.05 * np.abs(arrays[quantity]).max()
        return tuple(arrays)

    monkeypatch.setattr(DeviceKernel, "__call__", wrong)
    with pytest.raises(RunIncomplete, match=f"verification: the {name} of 'y1' differs") as error:
        derive(*configure(*_overrides(tmp_path, "wavy", "limits.max_attempts=1")))
    assert "derivatives.tolerance is 0.01" in str(error.value)
    assert not (tmp_path / "out/_SUCCESS").exists()
    assert list((tmp_path / "out/data").iterdir()) == []


@pytest.mark.slow
def test_asked_tolerance_below_float32_is_refused_and_met_by_float64(tmp_path, configure):
    _rows(tmp_path / "in")
    tight = _overrides(tmp_path, "wavy", "derivatives.tolerance=1e-9", "limits.max_attempts=1")
    with pytest.raises(RunIncomplete, match=r"Take derivatives\.dtype=float64"):
        derive(*configure(*tight))
    double = [*tight, "derivatives.dtype=float64", "output.mode=overwrite"]
    manifest = derive(*configure(*double))
    assert manifest.rows.largest_error < 1e-13


def test_row_at_a_kink_is_no_error_and_gets_a_word(tmp_path, configure):
    """|a - 1e-9| at a = 0: float32 rounds the kink onto the point, float64 sees its left side."""
    (tmp_path / "in").mkdir()
    zero, some = np.zeros(20, np.float32), np.linspace(1, 2, 20, dtype=np.float32)
    pq.write_table(pa.table({"a": zero, "b": some, "c": some}), tmp_path / "in/x.parquet")
    overrides = _overrides(tmp_path, "kinked", "derivatives.method=hyperdual")
    manifest = derive(*configure(*overrides))
    assert manifest.rows.at_kinks == 4
    assert any("the reference jumps" in warning for warning in manifest.warnings)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("added", [0.0, 0.3])
def test_value_at_a_step_is_that_of_one_of_its_sides(added, tmp_path, configure, monkeypatch):
    (tmp_path / "in").mkdir()
    zero, some = np.zeros(20, np.float32), np.linspace(1, 2, 20, dtype=np.float32)
    pq.write_table(pa.table({"a": zero, "b": some, "c": some}), tmp_path / "in/x.parquet")
    right = DeviceKernel.__call__

    def moved(self, points):
        value, *derivatives = right(self, points)
        return (value + np.float32(added), *derivatives)

    monkeypatch.setattr(DeviceKernel, "__call__", moved)
    overrides = _overrides(tmp_path, "stepped", "derivatives.method=hyperdual")
    if added:
        with pytest.raises(RunIncomplete, match="the value of 'y1' differs"):
            derive(*configure(*overrides, "limits.max_attempts=1"))
    else:
        assert derive(*configure(*overrides)).rows.at_kinks == 4


@pytest.mark.slow
def test_plateaus_and_piecewise_linear_outputs_get_a_word(tmp_path, configure):
    _rows(tmp_path / "in")
    manifest = derive(*configure(*_overrides(tmp_path, "flat_in_part")))
    first, second = manifest.warnings
    assert "of y2 is zero on every row" in first
    assert "on many rows of y1" in second
    assert manifest.rows.flat[1] == 200
    assert 20 < manifest.rows.flat[0] < 180
    assert manifest.rows.flat[2] == 0


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["tensor", "wide"])
def test_outputs_asked_for_are_the_columns_written(layout, tmp_path, configure):
    _rows(tmp_path / "in")
    usual = derive(*configure(*_overrides(tmp_path, "wavy", "output.layout=tensor")))
    full = pq.read_table(tmp_path / "out/data")
    overrides = _overrides(
        tmp_path,
        "wavy",
        "derivatives.outputs=[laplacian,value,hessian]",
        f"output.layout={layout}",
        "output.mode=overwrite",
        "derivatives.wrt=[a,c]",
    )
    manifest = derive(*configure(*overrides))
    assert usual.quantities == ("value", "jacobian", "hessian_diag")
    assert manifest.quantities == ("laplacian", "value", "hessian")
    assert manifest.rows.verified == 4 * manifest.shards
    table = pq.read_table(tmp_path / "out/data")
    diagonal = np.array(full["hessian_diag"].to_pylist())
    if layout == "tensor":
        assert table.column_names == ["a", "b", "c", "laplacian", "value", "hessian"]
        laplacian = np.array(table["laplacian"].to_pylist())
        hessian = np.array(table["hessian"].to_pylist())
    else:
        assert table.column_names[3:11] == [
            *("laplacian_y1", "laplacian_y2", "laplacian_y3", "y1", "y2", "y3"),
            *("d2_y1__d_a__d_a", "d2_y1__d_a__d_c"),
        ]
        numbers = np.array([column.to_numpy() for column in table.columns[3:]]).T
        laplacian, hessian = numbers[:, :3], numbers[:, 6:].reshape(-1, 3, 2, 2)
    atol = 1e-5 * np.abs(diagonal).max()
    np.testing.assert_allclose(laplacian, diagonal[:, :, [0, 2]].sum(axis=-1), atol=atol)
    np.testing.assert_allclose(np.einsum("rjii->rji", hessian), diagonal[:, :, [0, 2]], atol=atol)
    np.testing.assert_allclose(hessian, hessian.transpose(0, 1, 3, 2), atol=atol)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("[]", "derivatives.outputs"),
        ("[values]", "derivatives.outputs"),
        ("[value,value]", "derivatives.outputs names 'value' twice"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_start(outputs, message, tmp_path, configure):
    _rows(tmp_path / "in")
    with pytest.raises(UsageError, match=message):
        derive(*configure(*_overrides(tmp_path, "wavy", f"derivatives.outputs={outputs}")))


@pytest.mark.slow
def test_steep_network_is_not_taken_for_one_with_kinks(tmp_path, configure):
    """sin(3e6 a): the rounding of a alone is 0.2 of a radian."""
    _rows(tmp_path / "in")
    overrides = _overrides(tmp_path, "steep", "derivatives.method=hyperdual")
    with pytest.raises(RunIncomplete, match=r"the value of 'y1' .* derivatives\.dtype=float64"):
        derive(*configure(*overrides, "limits.max_attempts=1"))
    manifest = derive(*configure(*overrides, "output.mode=overwrite", "derivatives.dtype=float64"))
    assert manifest.rows.at_kinks == 0
    assert manifest.rows.largest_error < 1e-6


@pytest.mark.parametrize("wrong", [np.nan, 3.0])
def test_reference_or_result_that_is_no_number_is_no_pass(wrong, tmp_path, configure, monkeypatch):
    _rows(tmp_path / "in")

    def spoilt(self, points):
        arrays = right(self, points)
        factor = wrong if np.isnan(wrong) else 1
        return {**arrays, "hessian_diag": arrays["hessian_diag"] * factor + wrong}

    right = verification_module.Verifier._derive
    monkeypatch.setattr(verification_module.Verifier, "_derive", spoilt)
    overrides = ["limits.max_attempts=1", "derivatives.tolerance=0.01"]
    with pytest.raises(RunIncomplete, match="Hessian diagonal of 'y1' differs"):
        derive(*configure(*_overrides(tmp_path, "wavy", *overrides)))


class _Narrow:
    """A reference with memory for so many rows, that keeps how many it is asked for."""

    def __init__(self, bundle, most, error):
        self._bundle, self._most, self._error = bundle, most, error
        self.choice, self.n_inputs, self.asked = bundle.choice, bundle.n_inputs, []

    def __call__(self, points):
        self.asked.append(len(points))
        if len(points) > self._most:
            raise self._error
        return self._bundle(points)


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (MemoryError("7 rows at once take 9 GB"), 2),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), 1),
        (MemoryError("a single row takes 9 GB"), 0),
        (jax.errors.JaxRuntimeError("INTERNAL: something else"), 0),
    ],
)
def test_fewer_rows_are_verified_at_once_where_there_is_no_memory(error, most, tmp_path, configure):
    _rows(tmp_path / "in", rows=50)
    overrides = _overrides(tmp_path, "wavy", "derivatives.method=hyperdual")
    config, _ = configure(*overrides, "derivatives.verify_rows=7")
    plan = make_plan(config).plan
    network = build_network(plan.network_options, "float32")
    verifier = verification_module.Verifier(plan, network)
    points = np.random.default_rng(0).standard_normal((7, 3))
    right = verifier._derive(points)
    narrow = verifier._reference = _Narrow(verifier._reference, most, error)
    if not most:
        said = "no memory to verify a single row" if "INTERNAL" not in str(error) else "something"
        with pytest.raises(Exception, match=said):
            verifier._derive(points)
        return
    for _ in range(2):
        parts = verifier._derive(points)
        for name, array in right.items():
            np.testing.assert_allclose(parts[name], array, rtol=1e-12)
    assert narrow.asked == [7, 3, *[1] * 14]


@pytest.mark.slow
def test_wrong_curvature_by_an_input_of_another_scale_is_seen(tmp_path, configure, monkeypatch):
    """a^2 / 1000 beside b^2: its curvature is a thousandth of the output's largest."""
    _rows(tmp_path / "in")
    right = DeviceKernel.__call__

    def wrong(self, points):
        value, jacobian, hessian_diag = right(self, points)
        return value, jacobian, hessian_diag * np.array([1.5, 1, 1], np.float32)

    monkeypatch.setattr(DeviceKernel, "__call__", wrong)
    with pytest.raises(RunIncomplete, match="Hessian diagonal of 'y1' differs"):
        derive(*configure(*_overrides(tmp_path, "mixed_scales", "limits.max_attempts=1")))


@pytest.mark.slow
def test_network_that_nothing_can_check_is_refused_with_the_mend(tmp_path, configure):
    _rows(tmp_path / "in")
    with pytest.raises(UsageError, match=r"nothing can check .* derivatives\.verify_rows=0"):
        derive(*configure(*_overrides(tmp_path, "unverifiable")))
    manifest = derive(
        *configure(*_overrides(tmp_path, "unverifiable", "derivatives.verify_rows=0"))
    )
    assert manifest.rows.derived == 200


def test_rows_are_verified_even_where_most_are_bad(tmp_path, configure):
    (tmp_path / "in").mkdir()
    x = np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)
    x[:300, 0] = np.nan
    table = pa.table({name: x[:, i] for i, name in enumerate("abc")})
    pq.write_table(table, tmp_path / "in/x.parquet")
    overrides = _overrides(tmp_path, "wavy", "dataset.shard_rows=400", "limits.max_bad_fraction=1")
    assert derive(*configure(*overrides)).rows.verified == 4


@pytest.mark.slow
def test_rule_that_contradicts_its_function_is_refused_with_the_mend(tmp_path, configure):
    _rows(tmp_path / "in")
    once = "limits.max_attempts=1"
    overrides = _overrides(tmp_path, "straight_through", "derivatives.method=hyperdual", once)
    with pytest.raises(RunIncomplete, match=r"derivatives\.method=double_forward"):
        derive(*configure(*overrides))
    mended = [*overrides, "derivatives.method=double_forward", "output.mode=overwrite"]
    assert derive(*configure(*mended)).rows.derived == 200


@pytest.mark.slow
def test_network_with_a_custom_vjp_is_derived_and_verified(tmp_path, configure):
    _rows(tmp_path / "in")
    manifest = derive(*configure(*_overrides(tmp_path, "only_backwards")))
    assert manifest.rows.verified == 4 * manifest.shards
    assert manifest.rows.largest_error < 1e-5


@pytest.mark.one_in(2)
@pytest.mark.parametrize("target", ["random_weights", "only_float32"])
def test_network_that_is_another_or_none_in_float64_is_checked_as_it_is(
    target, tmp_path, configure
):
    _rows(tmp_path / "in")
    manifest = derive(*configure(*_overrides(tmp_path, target, "derivatives.method=hyperdual")))
    assert manifest.rows.largest_error < 1e-5
    assert manifest.warnings == ()
    found = audit(str(tmp_path / "out"), None, shards=2, rows=4)
    assert (found.findings, found.notes, found.derived_again) == ([], [], 8)
    assert found.largest_error < 1e-5


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("random_weights", r"random_weights\) is another one in float64 .* jnp\.float32\)"),
        ("bits_of_float32", r"In float32 it can be built: take derivatives\.dtype=float32"),
    ],
)
def test_float64_run_of_a_network_of_float32_is_refused_with_the_mend(
    target, sentence, tmp_path, configure
):
    _rows(tmp_path / "in")
    with pytest.raises(UsageError, match=sentence):
        derive(*configure(*_overrides(tmp_path, target, "derivatives.dtype=float64")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_float64_run_of_a_network_that_only_float32_can_trace(tmp_path, configure, caplog):
    _rows(tmp_path / "in")
    caplog.set_level("INFO", "hyperdiag")
    overrides = _overrides(tmp_path, "only_float32", "derivatives.dtype=float64")
    manifest = derive(*configure(*overrides, "derivatives.method=hyperdual"))
    assert "network 'python' is written for float32: its" in caplog.text
    assert manifest.rows.largest_error < 1e-14
    table = pq.read_table(tmp_path / "out/data")
    x = np.array([table[name].to_numpy() for name in "abc"], np.float64)
    value = np.zeros_like(x)
    for _ in range(4):
        value = np.tanh(value + x)
    written = np.array([table[name].to_numpy() for name in ("y1", "y2", "y3")])
    np.testing.assert_allclose(written, value, rtol=1e-14)
    found = audit(str(tmp_path / "out"), None, shards=1, rows=4)
    assert (found.findings, found.derived_again) == ([], 4)


@pytest.mark.one_in(6)
@pytest.mark.parametrize("kind", ["float64", "list", "int64", "decimal"])
def test_inputs_that_float32_rounds_are_named_and_their_errors_seen(
    kind, tmp_path, configure, caplog
):
    (tmp_path / "in").mkdir()
    seconds = 1_700_000_000 + np.arange(100)
    ones = np.ones(100)
    overrides = _overrides(tmp_path, "of_a_moment", "derivatives.method=hyperdual")
    if kind == "list":
        points = pa.array(np.stack([seconds, ones, ones], axis=1).tolist())
        table = pa.table({"points": points})
        overrides.append("dataset.vector=points")
    else:
        column = pa.array(seconds).cast(pa.decimal128(19, 0) if kind == "decimal" else kind)
        table = pa.table({"a": column, "b": ones, "c": ones})
    pq.write_table(table, tmp_path / "in/x.parquet")
    with pytest.raises(RunIncomplete, match=r"right: 'a' is rounded by up to \d") as error:
        derive(*configure(*overrides, "limits.max_attempts=1"))
    assert "the value of 'y1' differs" in str(error.value)
    named = [record.getMessage() for record in caplog.records]
    assert named[0].startswith("input 'a' is rounded to float32 by up to 64, and its values are")
    if kind == "float64":  # the mend
        mended = ["derivatives.dtype=float64", "output.mode=overwrite"]
        manifest = derive(*configure(*overrides, *mended))
        assert manifest.warnings == ()
        written = pq.read_table(tmp_path / "out/data")["y1"].to_numpy()
        np.testing.assert_allclose(written, np.sin(np.arange(100) / 50) + 1, atol=1e-12)


def test_weights_of_a_module_keep_their_digits_in_float64(tmp_path, configure):
    _rows(tmp_path / "in")
    double = ["derivatives.method=hyperdual", "derivatives.dtype=float64"]
    derive(*configure(*_overrides(tmp_path, "weights_of_a_module", *double)))
    table = pq.read_table(tmp_path / "out/data")
    x = np.array([table[name].to_numpy() for name in "abc"], np.float64)
    np.testing.assert_allclose(table["y1"], MODULE_WEIGHTS[0] @ x, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(table["d_y2__d_b"], MODULE_WEIGHTS[1, 1], rtol=1e-15)

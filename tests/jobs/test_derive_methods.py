"""The numbers of the command, against closed forms written out by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.networks.qlknn import golden_rows

from .outcome import said


def test_golden_rows_of_qlknn_come_out_as_shipped(invoke, tmp_path):
    from fusion_surrogates.qlknn import qlknn_model

    model = qlknn_model.QLKNNModel.load_default_model()
    inputs, outputs = golden_rows()
    names = model.config.input_names
    pq.write_table(pa.table(dict(zip(names, inputs.T, strict=True))), tmp_path / "golden.parquet")
    common = ("dataset=parquet", "dataset.path=golden.parquet", "cluster=inline")
    results = {}
    for dtype in ("float64", "float32"):
        said(invoke("derive", *common, f"derivatives.dtype={dtype}", f"output.path={dtype}"))
        table = pq.read_table(tmp_path / dtype / "data")
        stack = lambda pattern, t=table: np.array(
            [[t[pattern.format(o, i)].to_numpy() for i in names] for o in model.config.target_names]
        )
        value = np.array([table[o].to_numpy() for o in model.config.target_names])
        results[dtype] = value, stack("d_{}__d_{}"), stack("d2_{}__d2_{}")
    wanted = _by_hand(model, inputs)
    scale = np.abs(outputs).max(axis=0)[:, None]
    assert (np.abs(results["float64"][0] - outputs.T) <= 1e-9 * scale).all()
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-3)):
        for found, reference in zip(results[dtype], wanted, strict=True):
            largest = np.abs(reference).reshape(8, -1).max(axis=1)
            error = np.abs(found - reference).reshape(8, -1).max(axis=1)
            assert (error <= tolerance * largest).all()


def _by_hand(model, inputs):
    """Value (m, rows), Jacobian and Hessian diagonal (m, n, rows) in NumPy float64, by the chain
    rule written out for tanh layers."""
    stats = model.config.stats_data
    mean, std = (np.asarray(a, np.float64) for a in (stats.input_mean, stats.input_stddev))
    layers = model.params["params"]
    h = (inputs - mean) / std
    dh = np.broadcast_to(np.diag(1 / std), (len(inputs), 10, 10))  # rows, unit, input
    d2h = np.zeros_like(dh)
    for number in range(6):
        kernel = np.asarray(layers[f"Dense_{number}"]["kernel"][0], np.float64)
        z = h @ kernel + np.asarray(layers[f"Dense_{number}"]["bias"][0], np.float64)
        dz, d2z = (np.einsum("uo,rui->roi", kernel, array) for array in (dh, d2h))
        if number == 5:
            break
        h = np.tanh(z)
        first, second = (1 - h**2)[..., None], (-2 * h * (1 - h**2))[..., None]
        dh, d2h = first * dz, second * dz**2 + first * d2z
    mean, std = (np.asarray(a, np.float64) for a in (stats.target_mean, stats.target_stddev))
    return (
        (z * std + mean).T,
        np.moveaxis(dz * std[:, None], 0, -1),
        np.moveaxis(d2z * std[:, None], 0, -1),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "n"),
    [
        ("Chain(Dense(5, 3, elu), Dense(3, 3))", 5),
        ("Chain(Dense(10, 5, elu), Dense(5, 3))", 10),
    ],
)
def test_chains_of_the_thread_by_every_method_give_the_same_numbers(invoke, tmp_path, layers, n):
    rng = np.random.default_rng(0)
    shapes = [(5 if n == 10 else 3, n), (3, 5 if n == 10 else 3)]
    w = {f"W{k + 1}": rng.standard_normal(shape) for k, shape in enumerate(shapes)}
    w |= {f"b{k + 1}": rng.standard_normal(shape[0]) for k, shape in enumerate(shapes)}
    np.savez(tmp_path / "weights.npz", **w)
    x = rng.standard_normal((200, n))
    columns = {f"x{i + 1}": x[:, i] for i in range(n)}
    pq.write_table(pa.table({"row": np.arange(200), **columns}), tmp_path / "x.parquet")
    z = x @ w["W1"].T + w["b1"]
    slope = np.where(z > 0, 1, np.exp(z))  # elu' ; elu'' = elu' below zero, 0 above
    curve = np.where(z > 0, 0, np.exp(z))
    wanted = {
        "value": np.where(z > 0, z, np.expm1(z)) @ w["W2"].T + w["b2"],
        "jacobian": np.einsum("jk,rk,ki->rji", w["W2"], slope, w["W1"]),
        "hessian_diag": np.einsum("jk,rk,ki->rji", w["W2"], curve, w["W1"] ** 2),
    }
    methods = (
        *("taylor", "double_forward", "forward_over_reverse", "reverse_over_forward"),
        *("dense_hessian", "auto"),
    )
    done = invoke(
        *("derive", "--multirun", "network=chain", f"network.layers='{layers}'"),
        *("network.weights=weights.npz", "dataset=parquet", "dataset.path=x.parquet"),
        *("cluster=inline", "derivatives.dtype=float64", f"derivatives.method={','.join(methods)}"),
        *("output.layout=tensor", "output.path='${derivatives.method}'"),
    )
    said(done)
    for method in methods:
        table = pq.read_table(tmp_path / method / "data")
        assert table["row"].to_pylist() == list(range(200))
        for name, array in wanted.items():
            found = table[name].combine_chunks()
            while pa.types.is_fixed_size_list(found.type):
                found = found.flatten()
            np.testing.assert_allclose(
                found.to_numpy().reshape(array.shape), array, rtol=0, atol=1e-12 * abs(array).max()
            )

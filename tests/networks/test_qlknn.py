import numpy as np
import pytest
from fusion_surrogates.qlknn.qlknn_model import QLKNNModel

from hyperdiag.hyperdual import derivatives
from hyperdiag.networks import build_network
from hyperdiag.networks.qlknn import golden_rows


@pytest.fixture(scope="module")
def reference():
    """Value, Jacobian and Hessian diagonal of the golden rows, by NumPy, tanh layers by hand."""
    model = QLKNNModel.load_default_model()
    layers = [
        (layer["kernel"][0].astype(np.float64), layer["bias"][0].astype(np.float64))
        for layer in (model._params["params"][f"Dense_{i}"] for i in range(6))
    ]
    stats = model.config.stats_data
    mean_in, std_in, mean_out, std_out = (
        np.asarray(array, np.float64)
        for array in (stats.input_mean, stats.input_stddev, stats.target_mean, stats.target_stddev)
    )
    z = (golden_rows()[0] - mean_in) / std_in
    first = np.broadcast_to(np.diag(1 / std_in), (len(z), 10, 10))  # (row, input, unit)
    second = np.zeros_like(first)
    for number, (kernel, bias) in enumerate(layers):
        z, first, second = z @ kernel + bias, first @ kernel, second @ kernel
        if number < 5:
            z = np.tanh(z)
            slope = (1 - z**2)[:, None]
            second = slope * second - 2 * z[:, None] * slope * first**2
            first = slope * first
    turned = [np.swapaxes(array * std_out, 1, 2) for array in (first, second)]
    return z * std_out + mean_out, *turned


def _derived(dtype):
    network = build_network({"name": "qlknn"}, dtype)
    run = derivatives(network.function, network.n_inputs, dtype=dtype)(golden_rows()[0])
    assert {array.dtype.name for array in run} == {dtype}
    return [np.asarray(array, np.float64) for array in run]


@pytest.fixture(scope="module")
def doubles():
    return _derived("float64")


def _errors(found, expected):
    """The largest error of each output, relative to its largest entry."""
    assert found.shape == expected.shape
    axes = tuple(axis for axis in range(expected.ndim) if axis != 1)
    return np.abs(found - expected).max(axes) / np.abs(expected).max(axes)


def test_qlknn_names_are_those_of_the_paper():
    network = build_network({"name": "qlknn"})
    assert network.inputs == (
        *("Ati", "Ate", "Ane", "Ani", "q"),
        *("smag", "x", "Ti_Te", "LogNuStar", "normni"),
    )
    assert network.outputs == (
        *("itgleading", "itgqediv", "temleading", "temqidiv"),
        *("tempfediv", "etgleading", "itgpfediv", "gamma_max"),
    )


def test_qlknn_ranges_are_those_of_the_training_set():
    ranges = build_network({"name": "qlknn"}).ranges
    expected = {
        "Ati": (0, 150),
        "Ate": (0, 150),
        "Ane": (-5, 110),
        "Ani": (-15, 110),
        "q": (0.66, 30),
        "smag": (-1, 40),
        "x": (0.1, 0.95),
        "Ti_Te": (0.25, 2.5),
        "LogNuStar": (-5, 0.477),
        "normni": (0.5, 1),
    }
    assert ranges.keys() == expected.keys()
    for name, ends in expected.items():
        np.testing.assert_allclose(ranges[name], ends, rtol=1e-3, atol=1e-13)


def test_qlknn_digest_is_the_same_in_both_dtypes():
    digests = {build_network({"name": "qlknn"}, dtype).digest for dtype in ("float32", "float64")}
    assert len(digests) == 1


def test_qlknn_float64_gives_the_golden_rows(doubles):
    inputs, outputs = golden_rows()
    assert (inputs.shape, outputs.shape) == ((25, 10), (25, 8))
    assert _errors(doubles[0], outputs).max() < 1e-9


@pytest.mark.parametrize("part", [0, 1, 2], ids=["value", "jacobian", "hessian_diag"])
def test_qlknn_float64_agrees_with_derivatives_by_hand(doubles, reference, part):
    assert _errors(doubles[part], reference[part]).max() < 1e-9


@pytest.mark.slow
def test_qlknn_float32_agrees_with_derivatives_by_hand_to_its_precision(reference):
    for found, expected in zip(_derived("float32"), reference, strict=True):
        assert 0 < _errors(found, expected).max() < 1e-3

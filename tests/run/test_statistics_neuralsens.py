"""Statistics of a run, against NeuralSens's measures of a network, computed from its weights.

Pizarroso, Portela and Munoz (2022), "NeuralSens: Sensitivity Analysis of Neural Networks", Journal
of Statistical Software 102(7), call s[i, k | x_j] the derivative of output k with respect to input
i at sample x_j, j = 1 ... N, and define of each pair:

    mean sensitivity                S_avg = sum_j s / N
    sensitivity standard deviation  S_sd  = the standard deviation of s over the samples
    mean squared sensitivity        S_sq  = sqrt(sum_j s^2 / N)

Their package takes R's `sd` for S_sd, that of a sample, which divides by N - 1; `deviation` in
`run/summary.parquet` divides by N, so S_sd = deviation sqrt(N / (N - 1)). What the package calls
`meanSensSQ` has the root in its later releases; in the earlier ones it is `mean_square` itself. Its
alpha curves are of the means M_alpha = (sum_j |s|^alpha / N)^(1/alpha), which end, for an infinite
alpha, in the maximum of |s|.
"""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.run.derive import derive

INPUTS, OUTPUTS, ROWS = ["a", "b", "c"], ["u", "v"], 4000
SIZES = (3, 8, 6, 2)


@pytest.fixture
def perceptron(tmp_path):
    """Weights (out, in) and biases of tanh, tanh, identity, and a folder with these and samples."""
    rng = np.random.default_rng(21)
    layers = [
        (rng.normal(size=(m, n)) / np.sqrt(n), rng.normal(size=m) / 2)
        for n, m in itertools.pairwise(SIZES)
    ]
    arrays = {}
    for number, (weights, biases) in enumerate(layers, 1):
        arrays |= {f"W{number}": weights, f"b{number}": biases}
    np.savez(tmp_path / "weights.npz", **arrays)
    (tmp_path / "in").mkdir()
    # Numbers that float32 has, so that both take the same points.
    samples = rng.normal(size=(ROWS, 3)).astype(np.float32).astype(np.float64)
    for part, rows in enumerate(np.split(samples, 4)):
        table = pa.table(dict(zip(INPUTS, rows.T, strict=True)))
        pq.write_table(table, tmp_path / f"in/{part}.parquet")
    return layers, samples, tmp_path


def sensitivities(layers, samples):
    """Return s (N, m, n) by the chain rule, layer by layer.

    z_l = W_l a_(l-1) + b_l, a_l = tanh(z_l), whose derivative is 1 - a_l^2, so

        da_l / dx = diag(1 - a_l^2) W_l da_(l-1) / dx,   dy / dx = W_L da_(L-1) / dx.
    """
    activations = samples
    slopes = np.broadcast_to(np.eye(3), (len(samples), 3, 3))
    for weights, biases in layers[:-1]:
        activations = np.tanh(activations @ weights.T + biases)
        slopes = (1 - activations**2)[:, :, None] * np.einsum("ij,njk->nik", weights, slopes)
    return np.einsum("ij,njk->nik", layers[-1][0], slopes)


@pytest.mark.parametrize(("dtype", "accuracy"), [("float32", 1e-6), ("float64", 1e-12)])
def test_measures_of_neuralsens_are_those_of_the_summary(perceptron, configure, dtype, accuracy):
    layers, samples, folder = perceptron
    derive(
        *configure(
            *(
                "network=chain",
                "network.layers='Chain(Dense(3,8,tanh),Dense(8,6,tanh),Dense(6,2))'",
            ),
            *(f"network.weights={folder}/weights.npz", "network.layout=out_in"),
            *(f"network.inputs={INPUTS}", f"network.outputs={OUTPUTS}", "dataset=parquet"),
            *(f"dataset.path={folder}/in", f"output.path={folder}/out", "cluster=inline"),
            *("derivatives.method=hyperdual", f"derivatives.dtype={dtype}"),
            *("derivatives.precision=highest", "derivatives.outputs=[value,jacobian]"),
        )
    )
    summary = {
        (row["output"], row["input"], row["statistic"]): row["value"]
        for row in pq.read_table(folder / "out/run/summary.parquet").to_pylist()
        if row["quantity"] == "jacobian"
    }
    s = sensitivities(layers, samples)
    for k, output in enumerate(OUTPUTS):
        for i, name in enumerate(INPUTS):
            of = lambda statistic, key=(output, name): summary[*key, statistic]
            size = np.abs(s[:, k, i]).max()
            near = lambda number, size=size: pytest.approx(number, abs=accuracy * size)
            assert of("count") == ROWS
            s_avg = s[:, k, i].sum() / ROWS
            assert of("mean") == near(s_avg)
            s_sd = np.sqrt(((s[:, k, i] - s_avg) ** 2).sum() / (ROWS - 1))
            assert of("deviation") * np.sqrt(ROWS / (ROWS - 1)) == near(s_sd)
            s_sq = np.sqrt((s[:, k, i] ** 2).sum() / ROWS)
            assert np.sqrt(of("mean_square")) == near(s_sq)
            assert max(-of("minimum"), of("maximum")) == near(size)
            # The two deviations differ by more than rounding.
            assert of("deviation") != pytest.approx(s_sd, rel=1e-5)

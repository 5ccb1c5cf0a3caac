"""Models that scikit-learn trained, and skl2onnx wrote."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference
from tests.networks.finite_differences import differences
from tests.onnx.models import graph_of, model_of, saved


def _mlp():
    return MLPRegressor(
        hidden_layer_sizes=(16, 16), activation="tanh", solver="lbfgs", max_iter=200, random_state=0
    )


MODELS = {
    "scaler and perceptron": lambda: make_pipeline(StandardScaler(), _mlp()),
    "principal components and perceptron": lambda: make_pipeline(
        MinMaxScaler(), PCA(4), StandardScaler(), _mlp()
    ),
    "polynomial": lambda: make_pipeline(PolynomialFeatures(2), Ridge()),
    "support vectors": lambda: make_pipeline(StandardScaler(), SVR(C=100)),
    "gaussian process": lambda: GaussianProcessRegressor(RBF(0.2), alpha=1.0, normalize_y=True),
    "partial least squares": lambda: PLSRegression(3),
}


pytestmark = pytest.mark.filterwarnings("ignore:lbfgs failed to converge")


@pytest.fixture(scope="module")
def rows():
    x, y = load_diabetes(return_X_y=True)
    return x[:150], y[:150]


def _saved(model, rows, folder):
    x, y = rows
    model.fit(x, y)
    path = folder / "model.onnx"
    path.write_bytes(
        to_onnx(model, x[:1], target_opset={"": 18, "ai.onnx.ml": 3}).SerializeToString()
    )
    return str(path)


def _check_derivatives(predict, x, jacobian, hessian_diag):
    """Against central differences of the library's predictions; arrays are (rows, n)."""
    # What is cut off grows with the fourth power of the step, and what is rounded with its inverse,
    # for second differences with the square of that: a fitted network may be steep.
    arrays = []
    for step, order in ((1e-5, 0), (3e-5, 1)):
        steps = np.full(x.shape[1], step)
        found = differences(lambda points: predict(points)[:, None], x, steps)[order]
        arrays.append(found[:, 0] / steps ** (order + 1))
    first, second = arrays
    np.testing.assert_allclose(jacobian, first, atol=1e-5 * np.abs(first).max())
    np.testing.assert_allclose(hessian_diag, second, atol=1e-3 * np.abs(second).max() + 1e-3)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", MODELS)
def test_model_is_scikit_learns_and_its_derivatives_are_those_of_its_predictions(
    name, rows, tmp_path
):
    model = MODELS[name]()
    network = build_network({"name": "onnx", "path": _saved(model, rows, tmp_path)}, "float64")
    assert network.n_inputs == 10
    assert library_difference(network, "float64") < 1e-9
    x = rows[0][:6]
    bundle = derivatives(network.function, 10, "hyperdual", dtype="float64", tile=6)
    value, jacobian, hessian_diag = (np.asarray(a)[:, 0] for a in bundle(x)[:3])
    predict = lambda points: np.ravel(model.predict(points))
    rounding = 1e-6 if name == "support vectors" else 1e-9  # skl2onnx writes those in float32
    np.testing.assert_allclose(value, predict(x), rtol=rounding)
    _check_derivatives(predict, x, jacobian, hessian_diag)


def test_model_is_derived_by_the_command_on_two_workers(rows, tmp_path, derive_on_two_workers):
    model = MODELS["scaler and perceptron"]()
    path = _saved(model, rows, tmp_path)
    x = rows[0]
    value, jacobian, hessian_diag = derive_on_two_workers(
        x, [f"X{i + 1}" for i in range(10)],
        "network=onnx", f"network.path={path}", "derivatives.dtype=float64",
    )  # fmt: skip
    np.testing.assert_allclose(value[:, 0], model.predict(x), rtol=1e-9)
    _check_derivatives(model.predict, x, jacobian[:, 0], hessian_diag[:, 0])


def test_trees_are_refused(rows, tmp_path):
    path = _saved(DecisionTreeRegressor(max_depth=3), rows, tmp_path)
    with pytest.raises(UsageError, match="the derivatives of trees are zero"):
        build_network({"name": "onnx", "path": path})


def test_nodes_and_numbers_within_branches_and_functions_are_counted(tmp_path):
    numbers = helper.make_node(
        "Constant", [], ["w"], value=numpy_helper.from_array(np.ones((3, 3), np.float32))
    )
    branch = graph_of(
        [numbers, helper.make_node("MatMul", ["x", "w"], ["h"]),
         helper.make_node("Relu", ["h"], ["y"], name="hidden")], inputs={},
    )  # fmt: skip
    model = model_of(
        ("If", "c", "y", {"then_branch": branch, "else_branch": branch}),
        constants={"c": np.array(True), "unused": np.ones(2, np.float32)},
    )
    network = build_network({"name": "onnx", "path": saved(model, tmp_path / "m.onnx")})
    assert network.facts[0].startswith("7 nodes, 20 parameters: ")
    assert "Relu 2" in network.facts[0]
    assert network.facts[1].startswith("kinks at hidden, hidden: ")

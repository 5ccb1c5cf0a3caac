"""Models that scikit-learn trained, and skops wrote."""

import json
import logging
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference
from tests.networks.finite_differences import differences

from .sklearn_models import CLASSIFIERS, OF_TWO_TARGETS, REGRESSORS, TRANSFORMERS, mlp

MODELS = {
    **{name: (make, "predict", "numbers") for name, make in REGRESSORS.items()},
    **{name: (make, "predict", "two numbers") for name, make in OF_TWO_TARGETS.items()},
    **{name: (make, "transform", "numbers") for name, make in TRANSFORMERS.items()},
    **{name: (make, None, "three classes") for name, make in CLASSIFIERS.items()},
    **{f"{name}, two": (make, None, "two classes") for name, make in CLASSIFIERS.items()},
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:lbfgs failed to converge"),
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.filterwarnings("ignore:The covariance matrix of class"),
]


def _rows(kind):
    if kind.endswith("classes"):
        x, y = load_wine(return_X_y=True)
        return (x, y) if kind.startswith("three") else (x[y < 2], y[y < 2])
    x, y = load_diabetes(return_X_y=True)
    x, y = x[:150], y[:150] / 100
    return x, np.stack([y, y**2], axis=1) if kind.startswith("two") else y


def _saved(model, folder):
    path = folder / "model.skops"
    skops.io.dump(model, path)
    return str(path)


def _built(model, folder, dtype="float64", **options):
    return build_network({"name": "sklearn", "path": _saved(model, folder), **options}, dtype)


def _method(model):
    probabilities = hasattr(model, "predict_proba") and not isinstance(model[-1], SVC)
    return "predict_proba" if probabilities else "decision_function"


@pytest.mark.one_in(48)
@pytest.mark.parametrize("name", MODELS)
def test_model_is_scikit_learns_and_its_derivatives_are_those_of_its_values(name, tmp_path):
    make, method, kind = MODELS[name]
    x, y = _rows(kind)
    model = make().fit(x, y)
    method = method or ("predict_proba" if name.startswith("vote") else _method(model))
    network = _built(model, tmp_path)

    def values(points):
        result = np.reshape(getattr(model, method)(points), (len(points), -1))
        two = method == "predict_proba" and result.shape[1] == 2
        return result[:, 1:] if two else result

    spread = x.std(axis=0)
    rng = np.random.default_rng(1)
    points = x.mean(axis=0) + spread * rng.uniform(-1.5, 1.5, (5, len(spread)))
    points = np.clip(points, x.min(axis=0) + 0.02 * spread, x.max(axis=0) - 0.02 * spread)
    bundle = derivatives(network.function, network.n_inputs, "hyperdual", dtype="float64", tile=5)
    value, jacobian, hessian_diag = (np.asarray(array) for array in bundle(points)[:3])
    wanted = values(points)
    size = np.abs(wanted).max()
    np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-12 * size)
    steps = 2e-3 * spread
    first, second = differences(values, points, steps)
    # Times the steps: in the units of the values.
    np.testing.assert_allclose(
        jacobian * steps, first, atol=1e-6 * np.abs(first).max() + 1e-14 * size
    )
    np.testing.assert_allclose(
        hessian_diag * steps**2, second, rtol=0, atol=1e-4 * np.abs(second).max() + 2e-14 * size
    )
    assert library_difference(network, "float64") < 1e-9


def test_derivatives_at_the_points_of_a_process_are_finite(tmp_path):
    x, y = _rows("numbers")
    model = GaussianProcessRegressor(Matern(2.0, nu=2.5), alpha=0.1, optimizer=None)
    model.fit(x / x.std(axis=0), y)
    network = _built(model, tmp_path)
    point = (x / x.std(axis=0))[:1]
    bundle = derivatives(network.function, 10, "hyperdual", dtype="float64", tile=1)
    _, jacobian, hessian_diag = (np.asarray(array)[0] for array in bundle(point)[:3])
    first, second = differences(
        lambda points: model.predict(points)[:, None], point, np.full(10, 5e-3)
    )
    np.testing.assert_allclose(jacobian, first[0] / 5e-3, atol=1e-6)
    np.testing.assert_allclose(hessian_diag, second[0] / 5e-3**2, atol=2e-2)


@pytest.mark.slow
def test_model_is_derived_by_the_command_on_two_workers(tmp_path, derive_on_two_workers):
    x, y = _rows("numbers")
    model = make_pipeline(StandardScaler(), mlp()).fit(x, y)
    path = _saved(model, tmp_path)
    value, jacobian, hessian_diag = derive_on_two_workers(
        x, [f"x{i + 1}" for i in range(10)],
        "network=sklearn", f"network.path={path}", "derivatives.dtype=float64",
    )  # fmt: skip
    np.testing.assert_allclose(value[:, 0], model.predict(x), rtol=1e-9)
    steps = 2e-3 * x.std(axis=0)
    first, second = differences(lambda points: model.predict(points)[:, None], x, steps)
    np.testing.assert_allclose(jacobian * steps, first, atol=1e-6 * np.abs(first).max())
    np.testing.assert_allclose(hessian_diag * steps**2, second, atol=1e-4 * np.abs(second).max())


def test_names_of_columns_are_those_of_the_training(tmp_path, caplog):
    x, y = _rows("numbers")
    frame = pd.DataFrame(x, columns=[f"column {i}" for i in range(10)])
    columns = [
        ("a", StandardScaler(), ["column 3", "column 0"]),
        ("b", MinMaxScaler(), ["column 7"]),
        ("c", PolynomialFeatures(2), ["column 3", "column 7"]),
    ]
    model = make_pipeline(ColumnTransformer(columns), mlp()).fit(frame, y)
    network = _built(model, tmp_path)
    assert network.inputs == tuple(frame.columns)
    assert network.ranges == {"column 7": (x[:, 7].min(), x[:, 7].max())}
    assert list(network.moments) == ["column 0", "column 3"]
    value = derivatives(network.function, 10, "hyperdual", dtype="float64", tile=6)(x[:6])[0]
    np.testing.assert_allclose(value[:, 0], model.predict(frame[:6]), rtol=1e-12)
    assert library_difference(network, "float64") < 1e-12
    assert not caplog.records


SCALED = {
    "a scaler": (make_pipeline(StandardScaler(), mlp()), 1e-12),
    "its columns": (ColumnTransformer([("scaled", StandardScaler(), list(range(10)))]), 1e-12),
    "a scaler within": (TransformedTargetRegressor(make_pipeline(StandardScaler(), mlp())), 1e-12),
    "partial least squares": (PLSRegression(2), 0.01),  # of 149 degrees of freedom
}


@pytest.mark.parametrize("name", SCALED)
def test_mean_and_deviation_are_those_of_the_training(name, tmp_path):
    x, y = _rows("numbers")
    x = x * np.logspace(-1, 2, 10) + np.logspace(2, -1, 10)
    model, tolerance = SCALED[name]
    network = _built(model.fit(x, y), tmp_path)
    mean, deviation = np.array([network.moments[name] for name in network.inputs]).T
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(deviation, x.std(axis=0), rtol=tolerance)


def test_of_a_robust_scaler_the_median_and_the_quartiles_serve(tmp_path):
    x, y = _rows("numbers")
    network = _built(make_pipeline(RobustScaler(), mlp()).fit(x, y), tmp_path)
    center, width = np.array([network.moments[name] for name in network.inputs]).T
    low, median, high = np.percentile(x, [25, 50, 75], axis=0)
    np.testing.assert_allclose(center, median)
    np.testing.assert_allclose(width, high - low)


def test_what_float32_rounds_of_the_inputs_is_said_and_refuses_nothing(tmp_path, caplog):
    x, y = _rows("numbers")
    x = 5e6 + x / x.std(axis=0)  # float32 has halves there
    path = _saved(make_pipeline(StandardScaler(), mlp()).fit(x, y), tmp_path)
    network = build_network({"name": "sklearn", "path": path}, "float32")
    assert library_difference(network, "float32") > 1e-3
    assert "which rounding its inputs to float32 explains" in caplog.text
    other = replace(network, function=lambda x: 3 * network.function(x))
    with pytest.raises(UsageError, match="computes other values than its own library"):
        library_difference(other, "float32")


def test_what_is_not_scaled_has_no_mean(tmp_path):
    x, y = _rows("numbers")
    shifted = make_pipeline(StandardScaler(with_std=False), mlp()).fit(x, y)
    assert _built(shifted, tmp_path).moments == {}
    assert _built(PLSRegression(2, scale=False).fit(x, y), tmp_path).moments == {}
    assert _built(make_pipeline(PCA(9), Ridge()).fit(x, y), tmp_path).moments == {}
    assert _built(mlp().fit(x, y), tmp_path).moments == {}


def test_what_configuration_says_comes_first(tmp_path):
    x, y = _rows("numbers")
    model = make_pipeline(MinMaxScaler(), mlp()).fit(x, y)
    names = [f"n{i}" for i in range(10)]
    network = _built(
        model, tmp_path, inputs=names, outputs=["u"], ranges={"n3": [0.0, 1.0]}, compare=False
    )
    assert network.inputs == tuple(names)
    assert network.outputs == ("u",)
    assert network.ranges["n3"] == (0, 1)
    assert network.ranges["n4"] == (x[:, 4].min(), x[:, 4].max())
    assert network.library_values is None
    with pytest.raises(UsageError, match=r"network.inputs has 1 names; the network has 10"):
        _built(model, tmp_path, inputs=["a"])


def test_outputs_have_the_names_of_classes(tmp_path):
    x, y = load_wine(return_X_y=True)
    names = np.array(["red", "white", "other"])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert _built(model.fit(x, names[y]), tmp_path).outputs == (
        "proba_other", "proba_red", "proba_white",
    )  # fmt: skip
    two = y < 2
    assert _built(model.fit(x[two], names[y[two]]), tmp_path).outputs == ("proba_white",)


def test_digest_changes_with_a_weight_and_with_nothing_else(tmp_path):
    x, y = _rows("numbers")
    model = make_pipeline(StandardScaler(), mlp(hidden_layer_sizes=(3,))).fit(x, y)
    digests = [_built(model, tmp_path, dtype).digest for dtype in ("float32", "float64")]
    assert digests[0] == digests[1]
    model[-1].max_iter = 7  # of the training
    assert _built(model, tmp_path).digest == digests[0]
    model[-1].coefs_[0][2, 1] = np.nextafter(model[-1].coefs_[0][2, 1], 9)
    assert _built(model, tmp_path).digest != digests[0]
    model[-1].activation = "logistic"
    assert _built(model, tmp_path).digest not in digests


def test_file_of_another_version_of_scikit_learn_is_compared_in_silence(tmp_path, caplog):
    x, y = _rows("numbers")
    path = _saved(Ridge().fit(x, y), tmp_path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files["schema.json"])
    schema["content"]["content"]["_sklearn_version"]["content"] = '"1.2.0"'
    files["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with caplog.at_level(logging.INFO):
        network = build_network({"name": "sklearn", "path": path}, "float64")
        assert library_difference(network, "float64") < 1e-12
    assert "trained with scikit-learn 1.2.0" in network.facts[0]
    assert not caplog.records


def test_a_file_does_not_say_how_many_processes_start(tmp_path):
    x, y = _rows("two numbers")
    model = MultiOutputRegressor(Ridge()).fit(x, y)
    model.n_jobs = 10**6
    assert library_difference(_built(model, tmp_path), "float64") < 1e-12


REFUSED = {
    "tree": (DecisionTreeRegressor(max_depth=3), "the derivatives of trees, .* are zero"),
    "search": (GridSearchCV(Ridge(), {"alpha": [1, 2]}), "of a search: best_estimator_"),
    "Matern of another order": (
        GaussianProcessRegressor(Matern(nu=0.7), optimizer=None),
        r"kernel_ \(Matern\): nu=0.7 .* is not computed here",
    ),
    "huge polynomial": (
        make_pipeline(PolynomialFeatures(1), Ridge()),
        r"a polynomial of 30,045,015 terms is not computed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_derived_is_refused_by_its_name(name, tmp_path):
    model, said = REFUSED[name]
    model.fit(*_rows("numbers"))
    if name == "huge polynomial":
        model[0]._max_degree = 20
    with pytest.raises(UsageError, match=said):
        _built(model, tmp_path)


def test_kinks_are_told(tmp_path, invoke):
    x, y = _rows("numbers")
    model = make_pipeline(MinMaxScaler(clip=True), mlp(activation="relu")).fit(x, y)
    path = _saved(model, tmp_path)
    ended = invoke("networks", "network=sklearn", f"network.path={path}")
    assert ended.returncode == 0, ended.stderr
    assert "sklearn: Pipeline(MinMaxScaler, MLPRegressor)" in ended.stdout
    assert (
        "kinks at steps[0][1] (MinMaxScaler): clip, steps[1][1] (MLPRegressor): relu"
        in ended.stdout
    )
    assert "values within" in ended.stdout

"""Models that Keras trained and saved: values and derivatives are Keras' own, on JAX."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import subprocess
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl
from scipy.special import erf
from sklearn.datasets import load_diabetes

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

# Of Keras, as it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _network(model, folder, dtype="float32", **options):
    path = folder / "model.keras"
    model.save(path)
    return build_network({"name": "keras", "path": str(path), **options}, dtype)


def _reference(model, shape=None):
    """Value, J and D of each row by JAX's own transformations of Keras' own function."""
    trained = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]

    def function(x):
        rows = x.reshape(1, *(shape or x.shape))
        return jnp.ravel(model.stateless_call(trained, others, rows, training=False)[0])

    def derived(x):
        second = jax.hessian(function)(x)
        return function(x), jax.jacfwd(function)(x), jnp.diagonal(second, axis1=1, axis2=2)

    def of_rows(x):
        with jax.default_matmul_precision("highest"):
            return [np.asarray(a) for a in jax.jit(jax.vmap(derived))(x)]

    return of_rows


@pytest.fixture(scope="module")
def trained():
    """A model trained on scikit-learn's diabetes data, and the rows."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    keras.utils.set_random_seed(0)
    scale = kl.Normalization(name="scale")
    scale.adapt(x.astype("f"))
    inputs = keras.Input((10,), name="patient")
    hidden = kl.Dense(16, "swish")(scale(inputs))
    hidden = kl.Dropout(0.1)(kl.BatchNormalization()(hidden))
    hidden = kl.Dense(16, "tanh")(hidden)
    progress = kl.Rescaling(100.0, offset=150.0, name="progress")(kl.Dense(1)(hidden))
    model = keras.Model(inputs, progress)
    model.compile("adam", "mse")
    before, after = model.fit(x, y, epochs=2, batch_size=64, verbose=0).history["loss"]
    assert after < before
    return model, x


@pytest.mark.slow
def test_model_is_derived_by_the_command_on_two_workers(trained, tmp_path, derive_on_two_workers):
    model, x = trained
    x = x[:150].astype("f")
    model.save(tmp_path / "model.keras")
    names = [f"patient{i + 1}" for i in range(10)]
    derived = derive_on_two_workers(
        x, names, "network=keras", f"network.path={tmp_path}/model.keras"
    )
    reference = _reference(model)(x)
    np.testing.assert_allclose(reference[0], model.predict(x, verbose=0), rtol=1e-5)
    for array, wanted in zip(derived, reference, strict=True):
        np.testing.assert_allclose(array, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.slow
def test_command_shows_it_in_half_a_screen(trained, tmp_path, invoke):
    trained[0].save(tmp_path / "model.keras")
    ended = invoke("networks", "network=keras", "network.path=model.keras")
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout
    assert "keras: model.keras" in said
    assert "7 layers, 550 parameters: Dense 3, " in said
    assert "10 inputs, 1 outputs" in said
    assert "of its own library's" in said
    assert "kinks" not in said
    assert ended.stderr == ""


@pytest.mark.slow
def test_float64_run_has_the_exact_values_of_the_weights_as_stored(tmp_path):
    keras.utils.set_random_seed(0)
    layers = [
        kl.Normalization(mean=[0.3, -0.2, 1.1], variance=[0.5, 2.0, 1.3]),
        kl.Dense(6, "softplus"), kl.LayerNormalization(), kl.Dense(5, "gelu"),
        kl.BatchNormalization(), kl.Dense(2, "tanh"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((3,)), *layers])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    network = _network(model, tmp_path, "float64")
    w1, b1, scale, shift, w2, b2, gamma, beta, mean, variance, w3, b3 = (
        w.astype(np.float64) for w in model.get_weights()
    )
    x = rng.normal(size=(5, 3))
    h = (x - [0.3, -0.2, 1.1]) / np.sqrt([0.5, 2.0, 1.3])
    h = np.log1p(np.exp(h @ w1 + b1))
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-3) * scale + shift
    h = h @ w2 + b2
    h = h * (1 + erf(h / np.sqrt(2))) / 2
    h = (h - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    wanted = np.tanh(h @ w3 + b3)
    with jax.enable_x64(True):
        value = jax.jit(jax.vmap(network.function))(x)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-14)
    assert library_difference(network, "float64") < 1e-5


@pytest.mark.one_in(3)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16", "float64"])
def test_layers_of_other_precision_are_computed_in_that_of_the_run(policy, tmp_path):
    keras.utils.set_random_seed(0)
    with jax.enable_x64(policy == "float64"):
        layers = [kl.Dense(4, "tanh", dtype=policy), kl.Dense(2, dtype=policy)]
        model = keras.Sequential([keras.Input((3,), dtype="float32"), *layers])
        w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
        networks = {d: _network(model, tmp_path, d) for d in ("float32", "float64")}
    x = np.random.default_rng(0).normal(size=(4, 3))
    wanted = np.tanh(x @ w1 + b1) @ w2 + b2
    for dtype, rounding in {"float32": 1e-6, "float64": 1e-13}.items():
        with jax.enable_x64(dtype == "float64"):
            value = jax.jit(jax.vmap(networks[dtype].function))(x.astype(dtype))
        assert value.dtype == dtype
        np.testing.assert_allclose(value, wanted, rtol=rounding, atol=rounding)
        difference = library_difference(networks[dtype], dtype)
        assert (difference > 1e-4) == ("16" in policy)  # that of the library's own arithmetic


def _two():
    a = keras.Input((2,), name="a")
    kind = keras.Input((1,), name="kind", dtype="int32")
    picture = keras.Input((2, 2, 1), name="picture")
    joined = kl.Concatenate()([
        kl.Flatten()(kl.Embedding(4, 3)(kind)), a, kl.Flatten()(kl.Conv2D(2, 2)(picture)),
    ])  # fmt: skip
    mean = kl.Dense(1, "tanh")(joined)
    spread = kl.Dense(2, "relu", name="hinge")(joined)
    return keras.Model({"a": a, "kind": kind, "picture": picture}, {"mean": mean, "spread": spread})


def test_inputs_and_outputs_have_the_models_names(tmp_path):
    model = _two()
    network = _network(model, tmp_path)
    pictured = tuple(f"picture{i}" for i in (1, 2, 3, 4))
    assert network.inputs == ("a1", "a2", "kind", *pictured)
    assert network.outputs == ("mean", "spread1", "spread2")
    assert network.not_differentiated == ("kind",)
    assert any(fact.startswith("kinks at hinge:") for fact in network.facts)
    x = np.random.default_rng(0).normal(size=(3, 7)).astype("f")
    x[:, 2] = [0, 3, 1]
    rows = {"a": x[:, :2], "kind": x[:, 2:3].astype("int32"), "picture": x[:, 3:]}
    rows["picture"] = rows["picture"].reshape(3, 2, 2, 1)
    wanted = model.predict(rows, verbose=0)
    value = jax.jit(jax.vmap(network.function))(x)
    np.testing.assert_allclose(value[:, :1], wanted["mean"], atol=1e-6)
    np.testing.assert_allclose(value[:, 1:], wanted["spread"], atol=1e-6)
    path = str(tmp_path / "model.keras")
    chosen = build_network({"name": "keras", "path": path, "outputs": ["spread"]})
    assert chosen.outputs == ("spread1", "spread2")
    assert chosen.digest != network.digest
    named = build_network({"name": "keras", "path": path, "outputs": ["m", "s", "t"]})
    assert named.outputs == ("m", "s", "t")
    with pytest.raises(UsageError, match=r"no output 'spred' .*\(closest: 'spread'\)"):
        build_network({"name": "keras", "path": path, "outputs": ["spred"]})
    with pytest.raises(UsageError, match="has 1 names; the model takes 7 numbers"):
        build_network({"name": "keras", "path": path, "inputs": ["a"]})
    ranges = {"a1": [0, 1]}
    assert build_network({"name": "keras", "path": path, "ranges": ranges}).ranges == {"a1": (0, 1)}


def test_mean_and_deviation_are_those_that_inputs_are_normalized_with(tmp_path):
    x = np.random.default_rng(1).normal([300, -5, 1e-3], [20, 1, 1e-4], (200, 3)).astype("float32")
    adapted = kl.Normalization()
    adapted.adapt(x)
    a, b = keras.Input((3,), name="a"), keras.Input((2, 1), name="b")
    joined = [adapted(a), kl.Flatten()(kl.Normalization(mean=7, variance=4, axis=None)(b))]
    model = keras.Model([a, b], kl.Dense(1)(kl.Concatenate()(joined)))
    network = _network(model, tmp_path)
    mean, deviation = np.array([network.moments[name] for name in network.inputs]).T
    np.testing.assert_allclose(mean, [*x.mean(axis=0), 7, 7], rtol=1e-4)
    np.testing.assert_allclose(deviation, [*x.std(axis=0), 2, 2], rtol=1e-4)
    plain = keras.Input((2,), name="plain")
    inverse = kl.Normalization(mean=[1, 2], variance=[4, 9], invert=True)(plain)
    assert _network(keras.Model(plain, kl.Dense(1)(inverse)), tmp_path).moments == {}


def test_inputs_and_outputs_that_keras_only_numbered_are_x_and_y(tmp_path):
    network = _network(keras.Sequential([keras.Input((2,)), kl.Dense(2)]), tmp_path)
    assert (network.inputs, network.outputs) == (("x1", "x2"), ("y1", "y2"))
    # A real input that only a table takes is a category all the same.
    embedded = keras.Sequential([keras.Input((2,)), kl.Embedding(3, 2), kl.Flatten()])
    assert _network(embedded, tmp_path).not_differentiated == ("x1", "x2")


@pytest.mark.slow
def test_digest_is_that_of_layers_and_weights(trained, tmp_path):
    model, _ = trained
    digest = _network(model, tmp_path).digest
    assert _network(model, tmp_path, "float64").digest == digest
    settings = {"name": "keras", "path": str(tmp_path / "model.keras"), "compare": False}
    assert build_network(settings).library_values is None
    program = (
        "from hyperdiag.networks import build_network as b; "
        f"print(b({{'name': 'keras', 'path': {str(tmp_path / 'model.keras')!r}}}).digest)"
    )
    # Whatever backend the environment asks for.
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert (said.stdout.strip(), said.stderr) == (digest, "")
    weights = model.get_weights()
    changed = model.get_weights()
    changed[-1] += 1e-6
    model.set_weights(changed)
    assert _network(model, tmp_path).digest != digest
    model.set_weights(weights)
    assert _network(model, tmp_path).digest == digest


@pytest.mark.slow
def test_other_backend_that_is_there_is_refused(trained, tmp_path):
    trained[0].save(tmp_path / "model.keras")
    program = (
        "import keras; from hyperdiag.networks import build_network as b; "
        f"b({{'name': 'keras', 'path': {str(tmp_path / 'model.keras')!r}}})"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert "UsageError" in said.stderr
    assert "with the backend numpy, and only that of JAX can be derived" in said.stderr


def test_model_whose_rows_act_on_one_another_is_refused(tmp_path):
    x = keras.Input((2,))
    network = _network(keras.Model(x, x - keras.ops.mean(x, axis=0, keepdims=True)), tmp_path)
    with pytest.raises(UsageError, match="Do its rows act on one another"):
        library_difference(network, "float32")


def test_number_of_rows_that_was_fixed_for_training_is_none_of_the_model(tmp_path):
    x = keras.Input(batch_shape=(32, 4, 2))
    model = keras.Model(x, kl.GRU(2)(x))
    network = _network(model, tmp_path)
    assert library_difference(network, "float32") < 1e-6
    rows = np.random.default_rng(0).normal(size=(32, 8)).astype("f")
    wanted = model.predict(rows.reshape(32, 4, 2), batch_size=32, verbose=0)
    np.testing.assert_allclose(jax.jit(jax.vmap(network.function))(rows), wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_model_that_was_never_built_is_refused(tmp_path):
    keras.Sequential([kl.Dense(2)]).save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match="was saved before it was built"):
        build_network({"name": "keras", "path": str(tmp_path / "model.keras")})


def test_derivatives_are_those_of_keras_in_float64(trained, tmp_path):
    model, x = trained
    network = _network(model, tmp_path, "float64")
    bundle = derivatives(network.function, 10, "hyperdual_columns", dtype="float64", tile=8)
    value, jacobian, hessian_diag = map(np.asarray, bundle(x[:8].astype(np.float64))[:3])
    wanted = _reference(model)(x[:8].astype("f"))
    # Keras computes in float32.
    for array, other in zip((value, jacobian, hessian_diag), wanted, strict=True):
        np.testing.assert_allclose(array, other, atol=1e-5 * np.abs(other).max())

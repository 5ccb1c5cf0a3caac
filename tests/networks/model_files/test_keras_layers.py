"""Keras' built-in layers and activations, saved by Keras: values, J and D are Keras' own on JAX."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from hyperdiag.hyperdual import derivatives
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.library_values import library_difference

# Of Keras, as it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FLAT, SEQUENCE, IMAGE, VOLUME = (5,), (4, 3), (6, 6, 2), (4, 4, 4, 1)


def _normalization():
    layer = kl.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 5)).astype("f"))
    return layer


def _discretization():
    return kl.Discretization(bin_boundaries=[-0.5, 0.5], output_mode="one_hot")


# name: (shape of a point, layer or function of a tensor)
LAYERS = {
    "Dense": (FLAT, lambda: kl.Dense(4, activation="tanh")),
    "EinsumDense": (SEQUENCE, lambda: kl.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d")),
    "Identity": (FLAT, kl.Identity),
    "Normalization": (FLAT, _normalization),
    "Normalization inverted": (
        FLAT,
        lambda: kl.Normalization(mean=[0.1] * 5, variance=[2.0] * 5, invert=True),
    ),
    "Rescaling": (FLAT, lambda: kl.Rescaling(0.3, offset=0.1)),
    "Discretization": (FLAT, _discretization),
    "BatchNormalization": (IMAGE, kl.BatchNormalization),
    "LayerNormalization": (SEQUENCE, kl.LayerNormalization),
    "RMSNormalization": (SEQUENCE, kl.RMSNormalization),
    "GroupNormalization": (IMAGE, lambda: kl.GroupNormalization(2)),
    "UnitNormalization": (FLAT, kl.UnitNormalization),
    "SpectralNormalization": (FLAT, lambda: kl.SpectralNormalization(kl.Dense(3))),
    "Conv1D": (SEQUENCE, lambda: kl.Conv1D(3, 2, padding="causal", dilation_rate=2)),
    "Conv2D": (IMAGE, lambda: kl.Conv2D(3, 3, strides=2, padding="same", groups=1)),
    "Conv2D of groups": (IMAGE, lambda: kl.Conv2D(4, 3, groups=2)),
    "Conv3D": (VOLUME, lambda: kl.Conv3D(2, 2)),
    "Conv1DTranspose": (SEQUENCE, lambda: kl.Conv1DTranspose(2, 2, strides=2)),
    "Conv2DTranspose": (IMAGE, lambda: kl.Conv2DTranspose(2, 3, padding="same")),
    "Conv3DTranspose": (VOLUME, lambda: kl.Conv3DTranspose(1, 2)),
    "DepthwiseConv1D": (SEQUENCE, lambda: kl.DepthwiseConv1D(2)),
    "DepthwiseConv2D": (IMAGE, lambda: kl.DepthwiseConv2D(3, depth_multiplier=2)),
    "SeparableConv1D": (SEQUENCE, lambda: kl.SeparableConv1D(2, 2)),
    "SeparableConv2D": (IMAGE, lambda: kl.SeparableConv2D(2, 3)),
    "MaxPooling1D": (SEQUENCE, kl.MaxPooling1D),
    "MaxPooling2D": (IMAGE, kl.MaxPooling2D),
    "MaxPooling3D": (VOLUME, kl.MaxPooling3D),
    "AveragePooling1D": (SEQUENCE, lambda: kl.AveragePooling1D(2)),
    "AveragePooling2D": (IMAGE, lambda: kl.AveragePooling2D(3, strides=2, padding="same")),
    "AveragePooling3D": (VOLUME, lambda: kl.AveragePooling3D(2)),
    "AdaptiveAveragePooling2D": (IMAGE, lambda: kl.AdaptiveAveragePooling2D(4)),
    "AdaptiveMaxPooling1D": (SEQUENCE, lambda: kl.AdaptiveMaxPooling1D(3)),
    "GlobalAveragePooling1D": (SEQUENCE, kl.GlobalAveragePooling1D),
    "GlobalAveragePooling2D": (IMAGE, kl.GlobalAveragePooling2D),
    "GlobalMaxPooling2D": (IMAGE, kl.GlobalMaxPooling2D),
    "GlobalMaxPooling1D": (SEQUENCE, kl.GlobalMaxPooling1D),
    "SimpleRNN": (SEQUENCE, lambda: kl.SimpleRNN(3)),
    "LSTM": (SEQUENCE, lambda: kl.LSTM(3, return_sequences=True)),
    "LSTM unrolled": (SEQUENCE, lambda: kl.LSTM(2, unroll=True, recurrent_dropout=0.2)),
    "GRU": (SEQUENCE, lambda: kl.GRU(3, go_backwards=True)),
    "GRU as of old": (SEQUENCE, lambda: kl.GRU(3, reset_after=False)),
    "Bidirectional": (SEQUENCE, lambda: kl.Bidirectional(kl.LSTM(2), merge_mode="sum")),
    "RNN of cells": (SEQUENCE, lambda: kl.RNN([kl.LSTMCell(2), kl.GRUCell(2)])),
    "TimeDistributed": (SEQUENCE, lambda: kl.TimeDistributed(kl.Dense(2, "gelu"))),
    "ConvLSTM1D": ((3, 4, 2), lambda: kl.ConvLSTM1D(2, 2)),
    "MultiHeadAttention": (SEQUENCE, lambda: lambda x: kl.MultiHeadAttention(2, 3)(x, x)),
    "GroupQueryAttention": (
        SEQUENCE,
        lambda: lambda x: kl.GroupQueryAttention(2, 2, 1)(x, x, use_causal_mask=True),
    ),
    "Attention": (SEQUENCE, lambda: lambda x: kl.Attention(use_scale=True)([x, x])),
    "AdditiveAttention": (SEQUENCE, lambda: lambda x: kl.AdditiveAttention()([x, x])),
    "Masking": (SEQUENCE, lambda: lambda x: kl.LSTM(2)(kl.Masking()(x))),
    "Flatten": (IMAGE, kl.Flatten),
    "Reshape": (FLAT, lambda: kl.Reshape((5, 1))),
    "Permute": (SEQUENCE, lambda: kl.Permute((2, 1))),
    "RepeatVector": (FLAT, lambda: kl.RepeatVector(2)),
    "Cropping1D": (SEQUENCE, kl.Cropping1D),
    "Cropping2D": (IMAGE, lambda: kl.Cropping2D(1)),
    "Cropping3D": (VOLUME, kl.Cropping3D),
    "ZeroPadding1D": (SEQUENCE, kl.ZeroPadding1D),
    "ZeroPadding2D": (IMAGE, kl.ZeroPadding2D),
    "UpSampling1D": (SEQUENCE, kl.UpSampling1D),
    "UpSampling2D": (IMAGE, lambda: kl.UpSampling2D(2, interpolation="bilinear")),
    "UpSampling3D": (VOLUME, kl.UpSampling3D),
    "Resizing": (IMAGE, lambda: kl.Resizing(4, 5)),
    "CenterCrop": (IMAGE, lambda: kl.CenterCrop(3, 3)),
    "Dropout": (FLAT, lambda: kl.Dropout(0.5)),
    "SpatialDropout1D": (SEQUENCE, lambda: kl.SpatialDropout1D(0.5)),
    "AlphaDropout": (FLAT, lambda: kl.AlphaDropout(0.5)),
    "GaussianNoise": (FLAT, lambda: kl.GaussianNoise(1.0)),
    "GaussianDropout": (FLAT, lambda: kl.GaussianDropout(0.5)),
    "ActivityRegularization": (FLAT, lambda: kl.ActivityRegularization(0.1)),
    "RandomFlip": (IMAGE, kl.RandomFlip),
    "RandomZoom": (IMAGE, lambda: kl.RandomZoom(0.2)),
    "Add": (FLAT, lambda: lambda x: kl.Add()([x, kl.Dense(5)(x)])),
    "Subtract": (FLAT, lambda: lambda x: kl.Subtract()([x, kl.Dense(5)(x)])),
    "Multiply": (FLAT, lambda: lambda x: kl.Multiply()([x, kl.Dense(5)(x)])),
    "Average": (FLAT, lambda: lambda x: kl.Average()([x, kl.Dense(5)(x)])),
    "Maximum": (FLAT, lambda: lambda x: kl.Maximum()([x, kl.Dense(5)(x)])),
    "Minimum": (FLAT, lambda: lambda x: kl.Minimum()([x, kl.Dense(5)(x)])),
    "Concatenate": (FLAT, lambda: lambda x: kl.Concatenate()([x, kl.Dense(2)(x)])),
    "Dot": (FLAT, lambda: lambda x: kl.Dot(1, normalize=True)([x, kl.Dense(5)(x)])),
    "ReLU": (FLAT, lambda: kl.ReLU(max_value=0.8, negative_slope=0.1)),
    "LeakyReLU": (FLAT, kl.LeakyReLU),
    "PReLU": (FLAT, lambda: kl.PReLU(alpha_initializer="ones")),
    "ELU": (FLAT, lambda: kl.ELU(0.7)),
    "Softmax": (FLAT, kl.Softmax),
    "STFTSpectrogram": (
        (40,),
        lambda: lambda x: kl.STFTSpectrogram("log", 16, 8, 16)(kl.Reshape((40, 1))(x)),
    ),
    "operations": (FLAT, lambda: lambda x: ops.sin(x) * x[:, ::-1] / (2.0 + ops.exp(-x))),
    "more operations": (
        SEQUENCE,
        lambda: lambda x: ops.logsumexp(ops.einsum("bij,bkj->bik", x, x), axis=1),
    ),
    "a constant": (FLAT, lambda: lambda x: x * np.arange(5, dtype="f")),
    "a model": (
        FLAT,
        lambda: keras.Sequential([keras.Input((5,)), kl.Dense(3, "swish"), kl.Dense(2)]),
    ),
    "a layer used twice": (FLAT, lambda: _twice),
}
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6"),
    *("selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus"),
    *("sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink"),
)
LAYERS |= {
    f"activation {name}": ((6,), lambda name=name: kl.Activation(name)) for name in ACTIVATIONS
}


def _twice(x):
    layer = kl.Dense(5, "tanh")
    return layer(layer(x))


def saved(name, folder):
    """Save a model with the layer in it, all weights drawn; return it, and where it is."""
    keras.utils.set_random_seed(1)
    shape, layer = LAYERS[name]
    x = keras.Input(shape)
    model = keras.Model(x, kl.Activation("tanh")(layer()(x)))
    rng = np.random.default_rng(2)
    if not name.startswith("Normalization"):  # what it adapted is no weight to set
        weights = model.get_weights()
        model.set_weights([rng.uniform(0.2, 0.9, w.shape).astype(w.dtype) for w in weights])
    path = folder / "model.keras"
    model.save(path)
    return model, str(path)


def keras_on_one_point(model, shape):
    """The function of a point that Keras computes, as JAX's own transformations take it."""
    state = (
        [v.value for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    trained, others = state

    def function(x):
        return jnp.ravel(
            model.stateless_call(trained, others, x.reshape(1, *shape), training=False)[0]
        )

    return function


@pytest.mark.one_in(40)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_kerass_and_its_derivatives_are_those_of_jax(name, tmp_path):
    model, path = saved(name, tmp_path)
    shape = LAYERS[name][0]
    network = build_network({"name": "keras", "path": path})
    n = int(np.prod(shape))
    assert network.n_inputs == n
    assert library_difference(network, "float32") < 1e-5
    x = np.random.default_rng(3).normal(0.3, 1, (2, n)).astype("f")
    wanted = model.predict(x.reshape(-1, *shape), verbose=0).reshape(2, -1)
    bundle = derivatives(network.function, n, "hyperdual", tile=2)
    value, jacobian, hessian_diag = map(np.asarray, bundle(x)[:3])
    np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    function = keras_on_one_point(model, shape)
    with jax.default_matmul_precision("highest"):
        first = jax.jit(jax.vmap(jax.jacfwd(function)))(x)
        second = jax.jit(jax.vmap(jax.hessian(function)))(x)
    second = np.diagonal(second, axis1=2, axis2=3)
    np.testing.assert_allclose(jacobian, first, atol=1e-5 * (1 + np.abs(first).max()))
    np.testing.assert_allclose(hessian_diag, second, atol=1e-4 * (1 + np.abs(second).max()))


class Mine(kl.Layer):
    def call(self, x):
        return 2 * x


REFUSED = {
    "Lambda": (FLAT, lambda: kl.Lambda(lambda x: x * 2), "holds or calls code"),
    "MelSpectrogram": ((40,), lambda: kl.MelSpectrogram(16, 8, 16), "may be of any size"),
    "a class of one's own": (FLAT, Mine, "only layers and operations of Keras' own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layer_is_refused_by_its_name(name, tmp_path):
    shape, layer, said = REFUSED[name]
    x = keras.Input(shape)
    model = keras.Model(x, layer()(x))
    model.save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match=f"layer '{model.layers[-1].name}' .*{said}"):
        build_network({"name": "keras", "path": str(tmp_path / "m.keras")})

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from hyperdiag.hyperdual import derivatives
from hyperdiag.networks.activations import ACTIVATIONS, KINKED, canonical
from hyperdiag.networks.chain import build, parse_layers

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _selu(z):
    return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z))


def _gelu_tanh(z):
    return z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


# Closed form; points where a derivative jumps.
FORMS = {
    "identity": (lambda z: z, []),
    "relu": (lambda z: np.maximum(z, 0), [0]),
    "relu6": (lambda z: np.clip(z, 0, 6), [0, 6]),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), [0]),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(z)), [0]),
    "celu": (lambda z: np.where(z > 0, z, np.expm1(z)), [0]),
    "selu": (_selu, [0]),
    "gelu_erf": (lambda z: z * special.ndtr(z), []),
    "gelu_tanh": (_gelu_tanh, []),
    "sigmoid": (_sigmoid, []),
    "log_sigmoid": (lambda z: -np.log1p(np.exp(-z)), []),
    "hard_sigmoid": (lambda z: np.clip(z / 6 + 0.5, 0, 1), [-3, 3]),
    "tanh": (lambda z: 1 - 2 / (1 + np.exp(2 * z)), []),
    "hard_tanh": (lambda z: np.clip(z, -1, 1), [-1, 1]),
    "softplus": (lambda z: np.log1p(np.exp(z)), []),
    "softsign": (lambda z: z / (1 + abs(z)), [0]),
    "silu": (lambda z: z * _sigmoid(z), []),
    "hard_swish": (lambda z: z * np.clip(z / 6 + 0.5, 0, 1), [-3, 3]),
    "mish": (lambda z: z * np.tanh(np.log1p(np.exp(z))), []),
    "sin": (np.sin, []),
    "exp": (np.exp, []),
}
# Named, so that nothing is timed.
KERNEL = {"method": "hyperdual", "tile": 8}
GRID = np.linspace(-7.03, 7.01, 40)
STEP = 1e-3


def test_forms_cover_every_activation_but_softmax():
    assert ACTIVATIONS.keys() - FORMS.keys() == {"softmax"}


@pytest.mark.parametrize("name", FORMS)
def test_activation_value_and_derivatives_agree_with_the_closed_form(name):
    form, kinks = FORMS[name]
    z = GRID[[all(abs(point - kink) > 0.02 for kink in kinks) for point in GRID]]
    run = derivatives(ACTIVATIONS[name], 1, dtype="float64", **KERNEL)(z[:, None])
    value, first, second = (np.asarray(array).reshape(-1) for array in run)
    assert len(z) > 35
    scale = np.maximum(1, abs(form(z)))
    assert (abs(value - form(z)) / scale).max() < 1e-14
    # Central differences of fourth order; rounding of the second: 1e-16 / STEP^2 = 1e-10.
    far, near = ([form(z + s * step) for s in (1, -1)] for step in (2 * STEP, STEP))
    slope = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * STEP)
    bend = (16 * sum(near) - sum(far) - 30 * form(z)) / (12 * STEP**2)
    assert (abs(first - slope) / scale).max() < 1e-10
    assert (abs(second - bend) / scale).max() < 5e-9


def test_softmax_of_a_layer_agrees_with_the_closed_form():
    z = np.random.default_rng(0).standard_normal((5, 3)) * 2
    run = derivatives(ACTIVATIONS["softmax"], 3, dtype="float64", **KERNEL)(z)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    delta = np.eye(3)
    first = p[:, :, None] * (delta - p[:, None, :])
    # d2 p_j / dz_i2 = p_j [(delta_ij - p_i)^2 - p_i (1 - p_i)]
    second = p[:, :, None] * ((delta - p[:, None]) ** 2 - (p * (1 - p))[:, None])
    np.testing.assert_allclose(run.value, p, rtol=0, atol=1e-14)
    np.testing.assert_allclose(run.jacobian, first, rtol=0, atol=1e-14)
    np.testing.assert_allclose(run.hessian_diag, second, rtol=0, atol=1e-14)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", FORMS)
def test_activation_far_from_zero_stays_finite_in_float32(name):
    z = np.array([[-80.0], [80.0]])
    run = derivatives(ACTIVATIONS[name], 1, dtype="float32", **KERNEL)(z)
    assert all(np.isfinite(np.asarray(array)).all() for array in run)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("ReLU", "relu"),
        ("LeakyReLU", "leaky_relu"),
        ("σ", "sigmoid"),
        ("swish", "silu"),
        ("SiLU", "silu"),
        ("linear", "identity"),
        ("hardσ", "hard_sigmoid"),
        ("GELU", "gelu_erf"),
        ("sigmoid_fast", "sigmoid"),
        ("Tanh", "tanh"),
        ("tan", None),
        ("", None),
    ],
)
def test_canonical_of_usual_names_is_the_one_name(given, name):
    assert canonical(given) == name


@pytest.mark.parametrize(
    ("flux", "form"),
    [
        ("gelu", _gelu_tanh),
        ("gelu_erf", FORMS["gelu_erf"][0]),
        ("gelu_tanh", _gelu_tanh),
        ("leakyrelu", FORMS["leaky_relu"][0]),
        ("elu", lambda z: np.where(z >= 0, z, np.exp(z) - 1)),
        ("celu", lambda z: np.maximum(z, 0) + np.minimum(np.exp(z) - 1, 0)),
        ("selu", _selu),
        ("swish", lambda z: z / (1 + np.exp(-z))),
        ("hardswish", lambda z: z * np.clip((z + 3) / 6, 0, 1)),
        ("hardσ", lambda z: np.clip((z + 3) / 6, 0, 1)),
        ("mish", lambda z: z * np.tanh(np.log1p(np.exp(z)))),
        ("hardtanh", lambda z: np.clip(z, -1, 1)),
        ("softsign", lambda z: z / (1 + np.abs(z))),
        ("logsigmoid", lambda z: -np.log1p(np.exp(-z))),
        ("tanh_fast", np.tanh),
    ],
)
def test_activation_of_a_chain_in_text_is_what_flux_means(flux, form):
    """The formulas of NNlib's activations.jl, with its defaults."""
    (layer,) = parse_layers(f"Chain(Dense(1 => 1, {flux}))")
    with jax.enable_x64(True):
        value = np.asarray(ACTIVATIONS[layer.activation](jnp.asarray(GRID)))
    np.testing.assert_allclose(value, form(GRID), rtol=1e-12, atol=1e-12)


def test_gelu_is_of_the_notation_that_the_chain_is_written_in():
    text, mapping = "Chain(Dense(1, 1, gelu))", [{"in": 1, "out": 1, "activation": "gelu"}]
    assert build(text).description == "Chain(Dense(1, 1, gelu_tanh))"
    assert build(mapping).description == "Chain(Dense(1, 1, gelu_erf))"
    mixed = parse_layers(["Dense(1, 1, gelu)", *mapping])
    assert [layer.activation for layer in mixed] == ["gelu_tanh", "gelu_erf"]


def test_kinks_are_where_the_second_derivative_jumps():
    jumps = set()
    for name, activation in ACTIVATIONS.items():
        if name == "softmax":  # of one number it is 1
            continue
        with jax.enable_x64(True):
            twice = jax.vmap(jax.grad(jax.grad(lambda z, f=activation: f(z[None])[0])))
            first = jax.vmap(jax.grad(lambda z, f=activation: f(z[None])[0]))
            at = np.arange(-7, 8).astype(float)
            for derivative in (first, twice):
                left, right = (np.asarray(derivative(at + shift)) for shift in (-1e-9, 1e-9))
                if np.abs(left - right).max() > 1e-3 * (1 + np.abs(left).max()):
                    jumps.add(name)
    assert jumps == KINKED

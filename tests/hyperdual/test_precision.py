"""Products of less than full precision: how large their errors are, and that all have it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hyperdiag.hyperdual import (
    METHODS,
    OWN_METHODS,
    PRECISIONS,
    Choice,
    choose_precision,
    derivatives,
    device_precisions,
    equations,
    numerics,
    reference,
)
from hyperdiag.hyperdual._corrected import corrected
from hyperdiag.hyperdual._precision import with_precision
from hyperdiag.hyperdual._precision_choice import exact_enough

from .programs import PROGRAMS

LOWER = tuple(name for name in PRECISIONS if name != "highest")
# How JAX writes each for a device: type of the parts, and products of them.
ALGORITHMS = {
    "bf16_x6": ("bf16", 6),
    "bf16_x3": ("bf16", 3),
    "tf32_x3": ("tf32", 3),
    "tf32": ("tf32", 1),
}
# The least and the most of an error of a network of a few layers, of an output's largest entry: by
# the bits that a factor keeps (8 in a part of bfloat16, 11 of TF32), 16, 22, 24 or 11 of them.
BOUNDS = {
    "bf16_x6": (0, 2e-6),
    "tf32_x3": (0, 4e-6),
    "bf16_x3": (2**-19, 2**-13),
    "tf32": (2**-14, 2**-8),
}
rng = np.random.default_rng(0)
INTO, ACROSS, OUT = (
    (rng.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
    for shape in ((40, 6), (40, 40), (3, 40))
)


def _net(x):
    """Layers by themselves and in a loop."""
    step = lambda h, _: (jnp.tanh(ACROSS @ h), None)
    h, _ = lax.scan(step, jnp.tanh(INTO @ x), None, length=2)
    return OUT @ h


@functools.cache
def _points():
    return np.random.default_rng(1).standard_normal((32, 6)).astype(np.float32)


@functools.cache
def _wanted():
    return [np.asarray(array) for array in reference(_net, 6, dtype="float32")(_points())]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("method", [*OWN_METHODS, "double_forward", "forward_over_reverse"])
def test_errors_are_those_of_the_format(method, precision):
    bundle = derivatives(_net, 6, method, tile=16, precision=precision)
    least, most = BOUNDS.get(precision, (0, 2e-6))
    for array, right in zip(bundle(_points()), _wanted(), strict=True):
        assert array.dtype == np.float32
        error = np.abs(np.asarray(array) - right).max() / np.abs(right).max()
        assert least <= error <= most


def test_no_precision_is_another_one_in_disguise():
    square = lambda name: with_precision(lambda a: a @ a, name, own=False)(ACROSS)
    bits = {np.asarray(square(name)).tobytes() for name in PRECISIONS}
    assert len(bits) == len(PRECISIONS)


@pytest.mark.parametrize(
    ("precision", "kept"),
    # 1 + 2^-9 has 10 bits, 1 + 2^-11 has 12, 1 + 2^-17 has 18; a first part of 8 bits is 1.
    [
        ("tf32", {9: True, 11: False, 17: False, 22: False}),
        ("bf16_x3", {9: True, 11: True, 17: True, 22: True}),
        ("tf32_x3", {9: True, 11: True, 17: True, 22: True}),
    ],
)
def test_number_keeps_the_bits_of_its_parts(precision, kept):
    multiply = with_precision(lambda a, b: jnp.dot(a, b), precision, own=False)
    one = np.ones(1, np.float32)
    for exponent, there in kept.items():
        number = np.float32(1 + 2.0**-exponent)
        assert multiply(number * one, one) == (number if there else 1)


def test_products_that_count_are_those_of_large_parts():
    """(1 + e) (1 + d), where e and d are second parts: only e d is left out."""
    one, e, d = np.ones(1, np.float32), np.float32(2**-9), np.float32(2**-10)
    # With -(1 + e + d) added up, exactly, only e d = 2^-19 is left.
    a, b = np.concatenate([one + e, -one]), np.concatenate([one + d, one + e + d])
    results = {
        name: with_precision(lambda a, b: jnp.dot(a, b), name, own=False)(a, b)
        for name in ("bf16_x3", "bf16_x6")
    }
    assert results == {"bf16_x3": 0, "bf16_x6": 2**-19}


@pytest.mark.parametrize("precision", LOWER)
def test_what_is_infinite_stays_so_and_spoils_nothing_else(precision):
    multiply = with_precision(lambda a, b: a @ b, precision, own=False)
    a = np.array([[np.inf, 1.0], [2.0, 3.0], [np.nan, 1.0]], np.float32)
    product = multiply(a, np.array([[1.0, -2.0], [1.5, 0.5]], np.float32))
    np.testing.assert_array_equal(product, [[np.inf, -np.inf], [6.5, -2.5], [np.nan, np.nan]])


def _everywhere(x):
    """A product in each kind of program within a program; some have a precision of their own."""

    @jax.custom_jvp
    def bent(h):
        return jnp.tanh(ACROSS @ h)

    bent.defjvp(lambda primals, tangents: (bent(*primals), 0.5 * ACROSS @ tangents[0]))
    h = bent(jnp.dot(INTO, x, precision="high"))
    h = lax.cond(h[0] > 0, lambda h: ACROSS @ h, lambda h: -ACROSS @ h, h)
    h = lax.fori_loop(0, 2, lambda _, h: jnp.sin(jnp.dot(ACROSS, h, precision="default")), h)
    h = jax.checkpoint(lambda h: jnp.tanh(ACROSS @ h))(h)
    h = jax.jit(lambda h: jnp.matmul(ACROSS, h, precision="highest"))(h)
    pixels = lax.conv_general_dilated(
        h.reshape(1, 1, 40), np.ones((1, 1, 31), np.float32), (1,), "SAME", precision="default"
    )
    return OUT @ (jax.vmap(lambda row: row @ h)(ACROSS) * pixels.ravel())


def _for_cuda(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))
    lines = lowered.as_text().splitlines()
    return [
        [line for line in lines if f"stablehlo.{name}" in line]
        for name in ("dot_general", "convolution")
    ]


@pytest.mark.parametrize("precision", LOWER)
@pytest.mark.parametrize("method", ["hyperdual", "double_forward"])
def test_a_gpu_is_told_the_precision_of_every_product(method, precision):
    with numerics("float32"):
        batch = jax.vmap(lambda x: METHODS[method].function(corrected(_everywhere), x))
        products, windows = _for_cuda(with_precision(batch, precision, own=True), (8, 6))
    kind, count = ALGORITHMS[precision]
    algorithm = f"lhs_precision_type = {kind}, rhs_precision_type = {kind}"
    assert len(products) > 10
    for line in products:
        assert algorithm in line
        assert f"num_primitive_operations = {count}," in line
        assert "accumulation_type = f32" in line
    assert bool(windows) == (method == "double_forward")  # ours makes a product of a small one
    assert all("precision HIGHEST>, #stablehlo<precision HIGHEST>" in line for line in windows)


def test_highest_is_so_whatever_a_network_writes():
    with numerics("float32"):
        batch = jax.vmap(lambda x: METHODS["hyperdual"].function(corrected(_everywhere), x))
        products, windows = _for_cuda(batch, (8, 6))
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
    assert all("precision HIGHEST>, #stablehlo<precision HIGHEST>" in line for line in windows)


def test_bits_on_a_cpu_do_not_depend_on_what_a_network_writes():
    written = lambda x: OUT @ jnp.tanh(jnp.dot(INTO, x, precision="default"))
    plain = lambda x: OUT @ jnp.tanh(INTO @ x)
    both = [derivatives(each, 6, "hyperdual", tile=8)(_points()) for each in (written, plain)]
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_algorithm_that_a_network_names_is_taken_as_meant():
    named = lambda a: jnp.dot(a, a, precision=lax.DotAlgorithmPreset.BF16_BF16_F32_X9)
    for function in (with_precision(named, "tf32", own=True), corrected(named)):
        ((line,), _) = _for_cuda(function, (4, 4))
        assert "num_primitive_operations = 9" in line


@pytest.mark.one_in(20)
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "bits_of_a_constant"])
def test_no_product_of_a_program_is_left_out(name):
    fn, n, *_ = PROGRAMS[name]
    method = METHODS[OWN_METHODS[list(PROGRAMS).index(name) % 2]].function
    vector = lambda x: jnp.atleast_1d(fn(x))
    with numerics("float32"):
        batch = with_precision(jax.vmap(lambda x: method(vector, x)), "bf16_x3", own=True)
        program = jax.make_jaxpr(batch)(jax.ShapeDtypeStruct((2, n), "float32"))
    for eqn in equations(program):
        if eqn.primitive.name == "dot_general" and eqn.outvars[0].aval.dtype == np.float32:
            assert eqn.params["precision"] == lax.DotAlgorithmPreset.BF16_BF16_F32_X3


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "name", ["solve_of_an_active_system", "while_of_fixed_count", "everywhere"]
)
def test_errors_stay_small_wherever_the_products_are(name):
    fn, n = (_everywhere, 6) if name == "everywhere" else PROGRAMS[name][:2]
    points = np.random.default_rng(2).standard_normal((4, n)).astype(np.float32)
    results = [
        derivatives(fn, n, "hyperdual", tile=4, precision=precision)(points)
        for precision in ("highest", "tf32_x3")
    ]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(a).max())


def test_a_program_without_products_has_the_same_bits():
    fn = lambda x: jnp.sin(x) * x[0]
    both = [derivatives(fn, 3, "hyperdual", tile=8, precision=p) for p in ("highest", "tf32")]
    for a, b in zip(*(bundle(_points()[:, :3]) for bundle in both), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_have_the_same_bits_in_any_batch():
    bundle = derivatives(_net, 6, "hyperdual", tile=8, precision="bf16_x3")
    whole, part = bundle(_points()), bundle(_points()[5:12])
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_array_equal(np.asarray(a)[5:12], b)


def test_derivatives_of_a_bundle_go_on_having_the_precision():
    bundle = derivatives(_net, 6, "hyperdual", tile=8, precision="tf32", outputs=["value"])
    point = _points()[:1]
    slope = jax.jacfwd(lambda x: bundle(x).value[0])(point)[:, 0]
    right = _wanted()[1][0]
    assert 2**-16 < np.abs(slope - right).max() / np.abs(right).max() < 2**-8


def test_cpu_has_no_lower_precision_though_xla_takes_some():
    """XLA's CPU backend computes these in float32, and says nothing."""
    assert device_precisions() == ("highest",)
    full = jnp.matmul(ACROSS, ACROSS, precision="highest")
    for preset in (
        lax.DotAlgorithmPreset.BF16_BF16_F32_X3,
        lax.DotAlgorithmPreset.BF16_BF16_F32_X6,
    ):
        np.testing.assert_array_equal(jnp.matmul(ACROSS, ACROSS, precision=preset), full)
    with pytest.raises(ValueError, match="not supported by dot_general on CPU"):
        jnp.matmul(ACROSS, ACROSS, precision=lax.DotAlgorithmPreset.TF32_TF32_F32_X3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "bf16"}, "must be one of highest, bf16_x6, .*; got 'bf16'"),
        ({"precision": "tf32", "dtype": "float64"}, "'tf32' is of float32; float64 has 'highest'"),
    ],
)
def test_what_is_no_precision_of_the_dtype_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        derivatives(_net, 6, "hyperdual", tile=8, **options)


def test_precision_that_errs_too_much_for_the_tolerance_is_left_out():
    right = [np.array([[1.0, 100.0], [0.5, 50.0]]), np.ones((2, 2, 1))]
    off = lambda error: [right[0] + [[error, 0], [0, 0]], right[1]]
    computed = {"highest": off(1e-6), "bf16_x3": off(1e-4), "tf32": off(4e-3)}
    assert exact_enough(computed, right, 1e-2) == ["highest", "bf16_x3", "tf32"]
    assert exact_enough(computed, right, 7e-3) == ["highest", "bf16_x3"]
    assert exact_enough(computed, right, 1e-4) == ["highest"]


def test_precision_as_bad_as_the_highest_is_not_left_out_for_that():
    """A derivative that float32 cannot hold, and a row without a number."""
    right = [np.array([[1.0], [np.nan], [0.5]])]
    computed = {
        "highest": [np.array([[1.3], [2.0], [0.5]])],
        "bf16_x3": [np.array([[1.4], [3.0], [0.5]])],
        "tf32": [np.array([[1.3], [2.0], [0.7]])],
        "tf32_x3": [np.array([[np.nan], [2.0], [0.5]])],
    }
    assert exact_enough(computed, right, 1e-2) == ["highest", "bf16_x3"]


def test_precision_chosen_is_the_highest_where_no_other_is_exact_enough_or_faster():
    points = _points().astype(np.float64)
    arguments = (lambda x: OUT @ jnp.tanh(INTO @ x), 6, Choice("hyperdual", 8), points)
    assert choose_precision(*arguments, 1e-2) == "highest"  # a CPU has no other
    assert choose_precision(*arguments, 1e-6, candidates=["tf32", "bf16_x3"]) == "highest"

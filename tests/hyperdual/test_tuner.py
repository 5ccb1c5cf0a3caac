"""The tuner: what it times, what it keeps, and that its choices give the same bits."""

import json
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import (
    METHODS,
    OWN_METHODS,
    Choice,
    RuleError,
    choose,
    derivatives,
    numerics,
)
from hyperdiag.hyperdual import _choice as choice_module
from hyperdiag.hyperdual import _tuner as tuner
from hyperdiag.hyperdual._device import Device
from hyperdiag.hyperdual._jaxpr import ProgramShape, shape_of
from hyperdiag.hyperdual._tuner import candidates, default_tile

# A call has four of them.
LARGE_ROWS = ProgramShape(6, 6, 1 << 22, result_bytes=1 << 22)
WEIGHTS = np.random.default_rng(0).standard_normal((24, 6)).astype(np.float32)


def _net(x):
    return jnp.tanh(WEIGHTS.T @ jnp.tanh(WEIGHTS @ x))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPERDIAG_CACHE", str(tmp_path))
    monkeypatch.setattr(choice_module, "_choices", {})
    return tmp_path / "tuning"


@pytest.mark.slow
def test_auto_is_the_fastest_of_what_was_timed_and_is_kept(cache):
    choice = choose(_net, 6, tuning_seconds=60)
    assert choice.method in METHODS
    (kept,) = [json.loads(file.read_text()) for file in cache.iterdir()]
    assert Choice(kept["method"], kept["tile"]) == choice
    rates = kept["rows_per_s"]
    assert rates[f"{choice.method}/{choice.tile}"] > 0.97 * max(rates.values())
    assert {name.split("/")[0] for name in rates} >= set(OWN_METHODS)
    assert len({name.split("/")[1] for name in rates}) >= 3


class Slept:
    """Takes as long as it is told, the last time again and again."""

    def __init__(self, *seconds, compiling=0.0):
        self.left, self.compiling = list(seconds), compiling

    def warm_up(self, points, *patience):
        time.sleep(self.compiling)

    def __call__(self, points):
        time.sleep(self.left.pop(0) if len(self.left) > 1 else self.left[0])


def test_close_timings_are_repeated_in_turn_so_that_a_busy_moment_does_not_decide():
    steady, disturbed, slow = (Choice(method, 1) for method in OWN_METHODS)
    bundles = {
        steady: Slept(0.1),
        disturbed: Slept(0.11, 0.11, 0.11, 0.02),
        slow: Slept(0.3, 0.3, 0.3, 0.0),
    }
    deadline = time.monotonic() + 60
    timings = tuner._Timings(bundles.__getitem__, 6, LARGE_ROWS, Device("cpu"), deadline)
    for choice in bundles:
        timings.add(choice)
    assert timings.best == steady
    timings.settle()
    assert timings.best == disturbed
    assert timings.seconds[slow] > 2 * timings.seconds[steady]


def test_of_tiles_that_are_as_fast_the_smallest_is_taken():
    seconds = {16: 1.5, 64: 1.01, 256: 1.0, 1024: 1.3}
    timings = tuner._Timings(lambda choice: None, 6, LARGE_ROWS, Device("cpu"), 0.0)
    timings.seconds = {Choice("hyperdual", tile): each for tile, each in seconds.items()}
    timings.seconds[Choice("hyperdual_columns", 1)] = 1.001  # by another method
    assert timings.best == Choice("hyperdual", 256)
    assert timings.smallest_of_the_best() == Choice("hyperdual", 64)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("rows", "fastest"), [(None, True), (2000, True), (100, False)])
def test_compiling_counts_against_the_rows_that_there_are(rows, fastest):
    quick_to_compile, quick_to_call = (Choice(method, 1) for method in OWN_METHODS[:2])
    # Four rows a call: 10 ms for a row, and 5 ms, which 100 rows do not bring in again.
    bundles = {
        quick_to_compile: Slept(0.04, compiling=0.1),
        quick_to_call: Slept(0.02, compiling=2.0),
    }
    deadline = time.monotonic() + 60
    timings = tuner._Timings(bundles.__getitem__, 6, LARGE_ROWS, Device("cpu"), deadline, rows)
    for choice in bundles:
        timings.add(choice)
    assert timings.best == (quick_to_call if fastest else quick_to_compile)
    assert timings.rows_decide == (not fastest)


class PerRow:
    """Takes so many seconds for a row."""

    def __init__(self, row_seconds):
        self.row_seconds = row_seconds

    def warm_up(self, points, *patience):
        self(points)

    def __call__(self, points):
        time.sleep(len(points) * self.row_seconds)


def test_the_tiles_of_two_methods_are_timed(cache, monkeypatch):
    """In the first tile the other one is a little faster; it has no better tile."""
    seconds = {"hyperdual": {4: 6e-4, 16: 2e-4}, "hyperdual_adjoint": {4: 5e-4}}
    monkeypatch.setattr(tuner, "candidates", lambda shape: list(seconds))
    monkeypatch.setattr(tuner, "default_tile", lambda *_: 4)
    choice = tuner.tune(
        lambda choice: PerRow(seconds[choice.method].get(choice.tile, 8e-4)),
        ProgramShape(1, 1, 1 << 20, result_bytes=1 << 20),
        1,
        None,
        None,
        60,
    )
    assert choice == Choice("hyperdual", 16)


def test_short_calls_get_more_rows(cache, monkeypatch):
    """What large rows cost besides decides nothing: 0.1 ms a call, 10 and 5 us a row."""
    seconds, rows = {"hyperdual": 1e-5, "hyperdual_adjoint": 5e-6}, []

    class WithCall(PerRow):
        def __call__(self, points):
            rows.append(len(points))
            time.sleep(1e-4 + len(points) * self.row_seconds)

    monkeypatch.setattr(tuner, "candidates", lambda shape: list(seconds))
    shape = ProgramShape(1, 1, 1 << 20, result_bytes=1 << 12)
    tuner.tune(lambda choice: WithCall(seconds[choice.method]), shape, 1, None, 4, 60)
    assert rows[0] == 16
    assert 64 < rows[-1] <= 1024


@pytest.mark.slow
def test_few_rows_are_worth_one_candidate_which_is_kept_for_as_many_alone(cache):
    choice = choose(_net, 6, tuning_seconds=60, rows=10)
    (kept,) = [json.loads(file.read_text()) for file in cache.iterdir()]
    assert list(kept["rows_per_s"]) == [f"{choice.method}/{choice.tile}"]
    assert choose(_net, 6, tuning_seconds=None, rows=12) == choice
    assert choose(_net, 6, tuning_seconds=None) is None
    assert choose(_net, 6, tuning_seconds=None, rows=1000) is None
    every = choose(_net, 6, tuning_seconds=60, rows=10**12)
    assert len(list(cache.iterdir())) == 2
    assert choose(_net, 6, tuning_seconds=None) == every
    assert choose(_net, 6, tuning_seconds=None, rows=1000) == every
    choice_module._choices.clear()
    assert choose(_net, 6, tuning_seconds=None, rows=10) == choice  # its plan does not change


@pytest.mark.slow
def test_choice_that_rows_decided_on_the_way_is_kept_for_as_many_alone(cache, monkeypatch):
    """The first method has a tile that is as fast as the other method, which rows left out."""
    seconds = {"hyperdual": {4: 0.008, 16: 0.004}, "hyperdual_adjoint": {4: 0.005, 16: 0.002}}

    class AfterCompiling(Slept):
        def __init__(self, choice):
            super().__init__(0, compiling=2.0 if choice.method == "hyperdual_adjoint" else 0.05)
            self.row_seconds = seconds[choice.method].get(choice.tile, 0.01)

        def __call__(self, points):
            time.sleep(len(points) * self.row_seconds)

    monkeypatch.setattr(tuner, "candidates", lambda shape: list(seconds))
    monkeypatch.setattr(tuner, "default_tile", lambda *_: 4)
    shape = ProgramShape(1, 1, 1 << 20)
    assert tuner.tune(AfterCompiling, shape, 1, None, None, 60, rows=400) == ("hyperdual", 16)
    assert tuner.tune(AfterCompiling, shape, 1, None, None, None) is None
    assert tuner.tune(AfterCompiling, shape, 1, None, None, 60, rows=10**9) == (
        "hyperdual_adjoint",
        16,
    )


def test_nothing_timed_when_nothing_may_be(cache):
    assert choose(_net, 6, tuning_seconds=None) is None
    assert choose(_net, 6, "hyperdual", tile=8, tuning_seconds=None) == ("hyperdual", 8)
    assert choose(_net, 6, "taylor", tuning_seconds=None) == ("taylor", None)


@pytest.mark.slow
def test_method_alone_or_tile_alone_is_kept(cache):
    assert choose(_net, 6, "hyperdual").method == "hyperdual"
    assert choose(_net, 6, tile=24).tile == 24


def test_program_that_no_method_can_do_is_refused_by_name(cache):
    fn = lambda x: jax.lax.igamma(x, x + 1)
    with pytest.raises(RuleError, match="'igamma' twice"):
        derivatives(fn, 3)


@pytest.mark.parametrize(
    ("n", "m", "first"), [(50, 1, "hyperdual_adjoint"), (25, 198, "hyperdual")]
)
def test_likeliest_method_is_timed_first(n, m, first):
    assert candidates(ProgramShape(n, m, 10**6))[0] == first


def test_with_a_loop_forward_accumulation_is_timed_first():
    step = lambda carry, _: (jnp.tanh(carry), None)
    network = lambda x: jax.lax.scan(step, x, None, 5)[0][:1]
    assert candidates(shape_of(network, 32, 32, "float32", "cpu"))[0] == "hyperdual"


def test_large_weights_ask_for_tiles_of_more_rows():
    small, large = ProgramShape(50, 1, 153_600), ProgramShape(50, 1, 153_600, weight_bytes=2**21)
    assert default_tile(large) > 2 * default_tile(small)


@pytest.mark.parametrize(
    ("width", "dtype", "device", "ragged"),
    [
        (133, "float32", "cpu", True),
        (128, "float32", "cpu", False),
        (136, "float32", "cpu", True),
        (136, "float64", "cpu", False),
        (133, "float32", "NVIDIA H100", False),
    ],
)
def test_columns_are_timed_first_where_widths_fill_no_vector_registers(
    width, dtype, device, ragged
):
    weights = [np.ones((20, width)), np.ones((width, width)), np.ones((width, 3))]

    def network(x):
        first, second, last = (jnp.asarray(w, x.dtype) for w in weights)
        return last.T @ jnp.tanh(jnp.tanh(x @ first) @ second)

    with numerics(dtype):
        shape = shape_of(network, 20, 20, dtype, device)
    assert shape.ragged == ragged
    assert ("hyperdual_columns" in candidates(shape)) == (device == "cpu")
    assert candidates(shape)[0] == ("hyperdual_columns" if ragged else "hyperdual_adjoint")


@pytest.mark.parametrize(("width", "ragged"), [(9, True), (16, False)])
def test_the_layers_of_an_ensemble_count_as_dense_ones(width, ragged):
    first, second = np.ones((5, 4, width)), np.ones((5, width, width))

    def network(x):
        members = jnp.tanh(jnp.einsum("i,eij->ej", x, first))
        return jnp.einsum("ei,eij->ej", members, second).mean(axis=0)

    assert shape_of(network, 4, 4, "float32", "cpu").ragged == ragged


@pytest.mark.parametrize(("size", "ragged"), [(9, True), (16, False), (90, False)])
def test_a_small_convolution_counts_as_the_dense_layer_that_it_becomes(size, ragged):
    kernel = np.ones((1, 1, 3), np.float32)

    def network(x):
        image = jnp.tanh(x).reshape(1, 1, size)
        return jax.lax.conv_general_dilated(image, kernel, (1,), "SAME").reshape(-1)

    assert shape_of(network, size, size, "float32", "cpu").ragged == ragged


def test_a_convolution_of_several_images_is_no_dense_layer():
    kernel = np.ones((1, 1, 3), np.float32)
    network = lambda x: jax.lax.conv_general_dilated(
        x.reshape(3, 1, 3), kernel, (1,), "SAME"
    ).reshape(-1)
    assert not shape_of(network, 9, 9, "float32", "cpu").ragged


def test_products_of_matrices_do_not_count_as_dense_layers():
    mixed = lambda x: (jnp.outer(x @ np.ones((4, 7)), x) @ np.ones((4, 64))).sum(axis=0)
    assert not shape_of(mixed, 4, 4, "float32", "cpu").ragged


@pytest.mark.parametrize("method", [*OWN_METHODS, "double_forward"])
@pytest.mark.one_in(12)
@pytest.mark.parametrize("tile", [8, 1, 32])
def test_bits_of_a_row_depend_neither_on_the_batch_nor_on_its_neighbours(method, tile):
    x = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
    bundle = derivatives(_net, 6, method, tile=tile)
    whole = [np.asarray(array) for array in bundle(x)]
    order = np.random.default_rng(2).permutation(40)
    for a, b in zip(whole, bundle(x[order]), strict=True):
        np.testing.assert_array_equal(a[order], b)
    for rows in (1, 7, 33):
        for a, b in zip(whole, bundle(x[:rows]), strict=True):
            np.testing.assert_array_equal(a[:rows], b)
    x[1::2] = 1e30  # neighbours of another kind, that overflow
    for a, b in zip(whole, bundle(x), strict=True):
        np.testing.assert_array_equal(a[::2], np.asarray(b)[::2])


def test_bits_of_a_sine_do_not_depend_on_a_neighbour_too_large_for_the_short_way():
    fn = lambda x: jnp.sin(30 * x) * jnp.cos(x)
    bundle = derivatives(fn, 2, "hyperdual", tile=8)
    x = np.random.default_rng(1).standard_normal((8, 2)).astype(np.float32)
    alone = [np.asarray(array)[:4] for array in bundle(x)]
    x[4:] = 1e7
    for a, b in zip(alone, bundle(x), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b)[:4])


def test_deadline_holds_where_xla_hangs(monkeypatch):
    """A step that waits for ever, until the test is over."""
    end = threading.Event()

    def wait(x):
        end.wait(60)
        return np.asarray(x)

    @jax.custom_jvp
    def stuck(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(wait, shape, x, vmap_method="broadcast_all")

    stuck.defjvp(lambda primals, tangents: (stuck(primals[0]), tangents[0]))
    monkeypatch.setattr(tuner, "_CALL_PATIENCE", 1.0)
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError, match="does not end within 1 s, and may hang: name a me"):
            derivatives(lambda x: stuck(x) ** 2, 2)
    finally:
        end.set()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "step",
    [jnp.linalg.cholesky, jnp.linalg.inv, jnp.linalg.eigvalsh, jnp.fft.rfft],
)
def test_programs_that_may_hang_get_tiles_of_few_rows(step, monkeypatch):
    fn = lambda x: step(jnp.eye(3) + jnp.outer(x, x)).real.ravel()
    monkeypatch.setenv("PJRT_NPROC", "2")
    assert tuner.default_tile(shape_of(fn, 3, 3, "float32", "cpu")) == 16
    monkeypatch.setenv("PJRT_NPROC", "1")
    assert tuner.default_tile(shape_of(fn, 3, 3, "float32", "cpu")) > 16

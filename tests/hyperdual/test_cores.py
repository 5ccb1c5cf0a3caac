"""Rows of one call on several cores: the same bits, each row once; and when a call stays whole."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import _cores, derivatives
from hyperdiag.hyperdual._cores import cores

WEIGHTS = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)


def _net(x):
    return (jnp.tanh(x @ jnp.asarray(WEIGHTS, x.dtype)) @ jnp.asarray(WEIGHTS.T, x.dtype))[:3]


@pytest.fixture(autouse=True)
def _any_part_is_worth_a_thread(monkeypatch):
    monkeypatch.setattr(_cores, "_LEAST_WORK", 1)


@pytest.fixture
def threads_seen(monkeypatch):
    """The threads in which parts were computed."""
    seen, really = [], _cores._compute
    monkeypatch.setattr(
        _cores, "_compute", lambda *args: (seen.append(threading.current_thread()), really(*args))
    )
    return seen


def _points(rows, n=5):
    return np.random.default_rng(rows).standard_normal((rows, n)).astype(np.float32)


@pytest.mark.one_in(12)
@pytest.mark.parametrize("rows", [17, 257, 16, 31, 100, 1000])
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint", "hyperdual_columns"])
def test_a_row_has_the_same_bits_on_any_number_of_cores(rows, method, threads_seen):
    points = _points(rows)
    alone = derivatives(_net, 5, method, tile=4, threads=1)(points)
    assert threads_seen == []
    for threads in (2, 3, 16):
        shared = derivatives(_net, 5, method, tile=4, threads=threads)(points)
        jax.tree.map(np.testing.assert_array_equal, shared, alone)
        assert shared.jacobian.shape == (rows, 3, 5)
    assert len(threads_seen) >= 6


def test_each_row_is_the_closed_form_of_itself(threads_seen):
    """x0^2 x1 has J (2 x0 x1, x0^2) and D (2 x1, 0)."""
    bundle = derivatives(
        lambda x: x[0] ** 2 * x[1], 2, "hyperdual", tile=3, dtype="float64", threads=3
    )
    a, b = points = np.random.default_rng(1).standard_normal((2, 500))
    value, jacobian, hessian_diag = bundle(points.T)
    assert threads_seen
    np.testing.assert_allclose(value[:, 0], a**2 * b, rtol=1e-14)
    np.testing.assert_allclose(jacobian[:, 0], np.stack([2 * a * b, a**2], 1), rtol=1e-14)
    np.testing.assert_allclose(hessian_diag[:, 0], np.stack([2 * b, 0 * b], 1), rtol=1e-14)
    assert value.dtype == np.float64


def test_directions_belong_to_their_rows(threads_seen):
    points, directions = _points(100), _points(101)[:100]
    ask = {"method": "hyperdual", "tile": 4, "outputs": ["hvp", "laplacian"]}
    shared = derivatives(_net, 5, threads=2, **ask)(points, directions)
    alone = derivatives(_net, 5, threads=1, **ask)(points, directions)
    assert threads_seen
    np.testing.assert_array_equal(shared.hvp, alone.hvp)
    np.testing.assert_array_equal(shared.laplacian, alone.laplacian)


def test_results_are_arrays_of_jax_that_nothing_writes_to_later():
    bundle = derivatives(_net, 5, "hyperdual", tile=4, threads=2)
    first = bundle(_points(100))
    before = np.array(first.jacobian)
    for _ in range(5):
        bundle(_points(100) + 1)
    np.testing.assert_array_equal(first.jacobian, before)
    assert isinstance(first.jacobian, jax.Array)
    assert jnp.sum(first.jacobian).shape == ()


def test_within_a_transformation_a_call_stays_whole(threads_seen):
    bundle = derivatives(_net, 5, "hyperdual", tile=4, threads=2)
    points = _points(100)
    jitted = jax.jit(lambda x: bundle(x).value)(points)
    tangent = jax.jvp(lambda x: bundle(x).value, (jnp.asarray(points),), (jnp.ones((100, 5)),))[1]
    assert threads_seen == []
    outside = bundle(points)
    assert threads_seen
    _assert_equal_to_rounding(jitted, outside.value)
    np.testing.assert_allclose(tangent, outside.jacobian.sum(-1), rtol=1e-4, atol=1e-5)


def _assert_equal_to_rounding(found, expected):
    """XLA may sum in another order there: of what cancels, the last bits of the terms are left."""
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * largest)


@pytest.mark.slow
def test_points_may_be_fixed_and_weights_differentiated():
    """The loss of a training step: sum over rows of (w x)^2, whose gradient is 2 w sum x^2."""
    points = jnp.asarray(_points(100, 1))

    def loss(w):
        return derivatives(lambda x: (w * x) ** 2, 1, "hyperdual", tile=4, threads=2)(
            points
        ).value.sum()

    expected = 6 * jnp.sum(points**2)
    np.testing.assert_allclose(jax.grad(loss)(3.0), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(3.0), expected, rtol=1e-5)
    several = jax.vmap(loss)(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(several, jnp.array([1, 4]) * jnp.sum(points**2), rtol=1e-5)


def test_points_that_a_transformed_function_closes_over(threads_seen):
    bundle = derivatives(_net, 5, "hyperdual", tile=4, threads=2)
    points = jnp.asarray(_points(100))
    inside = jax.jit(lambda shift: bundle(points).value + shift)(1.0)
    assert threads_seen == []
    _assert_equal_to_rounding(inside, bundle(points).value + 1)


def test_what_is_not_a_number_is_found_as_jax_finds_it():
    bundle = derivatives(jnp.log, 2, "hyperdual", tile=4, threads=2)
    assert np.isnan(bundle(-np.ones((100, 2))).value).all()
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        bundle(-np.ones((100, 2)))


@pytest.mark.slow
def test_without_jit_and_where_transfers_are_forbidden():
    bundle = derivatives(_net, 5, "hyperdual", tile=4, threads=2)
    points = jnp.asarray(_points(100))
    expected = bundle(points).value
    with jax.transfer_guard("disallow"):
        np.testing.assert_array_equal(bundle(points).value, expected)
    with jax.disable_jit():
        np.testing.assert_allclose(bundle(points[:20]).value, expected[:20], rtol=1e-5)


@pytest.mark.slow
def test_network_that_calls_back_is_called_whole(threads_seen):
    """Its callback may call a bundle, which would wait for the threads that wait for it."""
    inner = derivatives(jnp.sin, 2, "hyperdual", tile=4, threads=2)
    points = _points(100, 2)

    def fn(x):
        odd = jax.pure_callback(
            lambda x: np.asarray(inner(points).value[0]),
            jax.ShapeDtypeStruct((2,), x.dtype),
            jax.lax.stop_gradient(x),
            vmap_method="sequential",
        )
        return jnp.sin(x) + odd

    bundle = derivatives(fn, 2, "hyperdual", tile=50, threads=2)
    np.testing.assert_allclose(
        bundle(points[:2]).value, np.sin(points[:2]) + np.sin(points[0]), rtol=1e-5
    )
    seen = len(threads_seen)
    jax.block_until_ready(derivatives(fn, 2, "hyperdual", tile=1, threads=2)(points[:4]))
    assert len(threads_seen) > seen  # those of the inner one
    assert all(thread.name.startswith("hyperdiag") for thread in threads_seen)


def test_array_that_is_changed_in_place_elsewhere_is_read_by_one_thread(threads_seen):
    kept = jax.new_ref(jnp.array([1.0, 2.0]))
    bundle = derivatives(lambda x: x * kept[...], 2, "hyperdual", tile=2, threads=2)
    points = _points(200, 2)
    np.testing.assert_array_equal(bundle(points).value, points * np.array([1, 2], np.float32))
    assert threads_seen == []


@pytest.mark.slow
def test_call_of_a_process_that_ends():
    code = """
import atexit, numpy as np
from hyperdiag import derivatives
from hyperdiag.hyperdual import _cores
_cores._LEAST_WORK = 1
bundle = derivatives(lambda x: x**2, 2, "hyperdual", tile=2, threads=2)
bundle(np.ones((100, 2)))
atexit.register(lambda: print(bundle(np.ones((100, 2))).value.sum()))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "200.0\n"), run.stderr


def test_committed_points_have_committed_results():
    bundle = derivatives(_net, 5, "hyperdual", tile=4, threads=2)
    points = jax.device_put(_points(100), jax.devices()[0])
    assert bundle(points).value.committed
    assert not bundle(_points(100)).value.committed


def test_few_rows_and_little_work_stay_on_one_core(threads_seen, monkeypatch):
    derivatives(_net, 5, "hyperdual", tile=4, threads=2)(_points(12))  # three tiles
    derivatives(_net, 5, "double_forward", threads=2)(_points(1000))  # no tile
    monkeypatch.setattr(_cores, "_LEAST_WORK", 10_000_000)
    derivatives(_net, 5, "hyperdual", tile=4, threads=2)(_points(100))
    assert threads_seen == []


def test_what_does_not_fit_beside_another_part_is_computed_whole(threads_seen, monkeypatch):
    monkeypatch.setattr(_cores, "lacking", lambda needed: "1.0 GB of memory, and 0.5 GB are free")
    assert derivatives(_net, 5, "hyperdual", tile=4, threads=2)(_points(100)).value.shape[0] == 100
    assert threads_seen == []


def test_error_of_a_part_is_raised_by_the_call(monkeypatch):
    def compute(program, results, begin, points):
        if begin:
            raise RuntimeError("odd part")

    monkeypatch.setattr(_cores, "_compute", compute)
    with pytest.raises(RuntimeError, match="odd part"):
        derivatives(_net, 5, "hyperdual", tile=4, threads=2)(_points(100))


def test_no_thread_at_all_is_refused():
    with pytest.raises(ValueError, match="threads must be at least 1; got 0"):
        derivatives(_net, 5, "hyperdual", tile=4, threads=0)


@pytest.mark.slow
def test_cores_are_those_that_the_process_may_use(monkeypatch):
    code = "from hyperdiag.hyperdual._cores import cores; print(cores())"
    pinned = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {code}"
    environment = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    run = lambda code, **more: subprocess.run(
        [sys.executable, "-c", code], env=environment | more, check=True, capture_output=True
    ).stdout.strip()
    assert run(pinned) == b"1"
    assert run(code, PJRT_NPROC="1") == b"1"
    assert run(pinned, PJRT_NPROC="") == b"1"
    assert int(run(code)) == len(os.sched_getaffinity(0))
    monkeypatch.setenv("PJRT_NPROC", "1")
    assert cores() == 1

"""What a call will hold is counted: cut to fit, or refused with the figure."""

import platform
import subprocess
import sys
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.hyperdual import _memory, choose, derivatives, reference
from hyperdiag.hyperdual import _quantities as quantities_module
from hyperdiag.hyperdual._jaxpr import shape_of
from hyperdiag.hyperdual._tuner import default_tile, fitting_tile

WIDE = 3000
FIRST = np.random.default_rng(0).standard_normal((WIDE, 8)).astype(np.float32) / WIDE**0.5


def _wide(x):
    return jnp.tanh(x @ jnp.asarray(FIRST, x.dtype))[:2]


def test_rows_of_many_inputs_count_though_few_are_differentiated():
    """With 3,000 inputs, 16 MB are 1,398 rows: 32,768 were timed when J alone counted."""
    shape = shape_of(_wide, WIDE, 2, "float32", "cpu")
    assert shape.row_bytes == WIDE * 4
    assert shape.dense_row_bytes == 2 * WIDE * 4
    assert default_tile(shape) * shape.row_bytes <= 1 << 20


def test_hessian_larger_than_memory_is_refused_with_both_figures(monkeypatch):
    bundle = derivatives(_wide, WIDE, "hyperdual", tile=1, outputs=["hessian"])
    monkeypatch.setattr(_memory, "free_bytes", lambda: 10**9)
    with pytest.raises(MemoryError, match=r"^64 points at once take 4\.6 GB of memory, and 1\.0"):
        bundle(np.zeros((64, WIDE)))


def test_intermediates_count_though_results_are_small(monkeypatch):
    """The results are 8 numbers; what is sorted for them is 8 times 1,000,000."""
    fn = lambda x: jnp.sort(jnp.outer(x, jnp.arange(1e6 / 8)).ravel())[:1] ** 2
    bundle = derivatives(fn, 8, "double_forward", outputs=["hessian_diag"])
    monkeypatch.setattr(_memory, "free_bytes", lambda: 3 * 10**7)
    monkeypatch.setattr(_memory, "_SMALL_BYTES", 10**6)
    with pytest.raises(MemoryError, match=r"2 points at once take 0\.\d GB of memory, and 0\.0 GB"):
        bundle(np.zeros((2, 8)))


def test_refused_call_is_made_once_there_is_memory(monkeypatch):
    bundle = derivatives(_wide, WIDE, "hyperdual", wrt=[0, 1], tile=1)
    monkeypatch.setattr(_memory, "_SMALL_BYTES", 0)
    with monkeypatch.context() as scarce:
        scarce.setattr(_memory, "free_bytes", lambda: 100)
        with pytest.raises(MemoryError):
            bundle(np.ones((2, WIDE)))
    assert bundle(np.ones((2, WIDE))).value.shape == (2, 2)


def test_tile_of_a_large_hessian_is_cut_whatever_is_free():
    small = shape_of(_wide, WIDE, 2, "float32", "cpu")
    large = shape_of(_wide, WIDE, WIDE, "float32", "cpu")
    assert fitting_tile(512, small.row_bytes, small, ["hessian"]) == 512
    assert fitting_tile(512, large.row_bytes, large, ["value", "hessian"]) == 1
    assert fitting_tile(512, large.row_bytes, large, ["hessian_diag"]) == 512  # was timed
    assert choose(_wide, WIDE, "hyperdual", tile=7, outputs=["hessian"]).tile == 7  # was asked for


def test_methods_of_jax_and_the_reference_take_large_rows_in_tiles():
    assert choose(_wide, WIDE, "double_forward", wrt=[0, 1]).tile is None
    assert choose(_wide, WIDE, "double_forward").tile == 1
    assert reference(_wide, WIDE).choice.tile == 1


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", ["hyperdual", "hyperdual_adjoint", "double_forward"])
def test_directions_in_chunks_give_what_they_give_at_once(method, monkeypatch):
    """Eleven directions, in chunks that do not divide them."""
    weights = np.random.default_rng(1).standard_normal((6, 11))
    fn = lambda x: jnp.sin(jnp.asarray(weights, x.dtype) @ x**2)[:3]
    x = np.random.default_rng(2).standard_normal((3, 11))
    asked = ["jacobian", "hessian_diag", "laplacian", "hessian"]
    dense = jax.vmap(jax.hessian(fn))
    with jax.enable_x64(True):
        wanted = np.asarray(dense(x))
    for limit, wrt in ((8 * 11 * 8, None), (8 * 11 * 8, [10, 3, 4, 7, 0])):
        monkeypatch.setattr(quantities_module, "_CHUNK_BYTES", limit)
        results = derivatives(fn, 11, method, wrt, "float64", tile=2, outputs=asked)(x)
        kept = wanted if wrt is None else wanted[:, :, wrt][:, :, :, wrt]
        diagonal = np.diagonal(kept, axis1=2, axis2=3)
        np.testing.assert_allclose(results.hessian, kept, rtol=0, atol=1e-12)
        np.testing.assert_allclose(results.hessian_diag, diagonal, rtol=0, atol=1e-12)
        np.testing.assert_allclose(results.laplacian, diagonal.sum(axis=2), rtol=0, atol=1e-12)
        alone = derivatives(fn, 11, method, wrt, "float64", tile=2, outputs=["laplacian"])(x)
        np.testing.assert_allclose(alone.laplacian, diagonal.sum(axis=2), rtol=0, atol=1e-12)


def _groups(root, line, limit, usage, statistics):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line)
    for path, text in (limit, usage, statistics):
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_limit_of_a_container_counts_and_caches_of_files_do_not(tmp_path):
    """Versions 1 and 2 of control groups."""
    _groups(
        tmp_path / "two",
        "0::/user.slice/job\n",
        ("user.slice/memory.max", "1000\n"),
        ("user.slice/memory.current", "700\n"),
        ("user.slice/memory.stat", "anon 300\ninactive_file 400\n"),
    )
    assert _memory._left_by_groups(tmp_path / "two") == [700]
    _groups(
        tmp_path / "first",
        "4:memory:/job\n2:cpu:/job\n",
        ("memory/memory.limit_in_bytes", "1000\n"),
        ("memory/memory.usage_in_bytes", "1100\n"),
        ("memory/memory.stat", "total_inactive_file 50\n"),
    )
    assert _memory._left_by_groups(tmp_path / "first") == [0]
    (tmp_path / "first/proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 3 kB\n")
    assert _memory._available(tmp_path / "first") == [3072]
    assert _memory._available(tmp_path / "nothing") == []


_FAULTS = """
import resource
import jax
import numpy as np
from hyperdiag.hyperdual import derivatives

weights = np.ones((4, 64), np.float32)
bundle = derivatives(lambda x: jax.numpy.tanh(x @ weights), 4, "hyperdual", tile=64, threads=1)
points = np.zeros((8192, 4), np.float32)
for call in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    jax.block_until_ready(bundle(points))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep other rules")
def test_results_of_repeated_calls_need_no_fresh_pages():
    """J and D are 4,096 pages, which were fresh in each call."""
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, check=True)
    faults = [int(line) for line in done.stdout.split()]
    assert len(faults) == 12
    assert median(faults[6:]) < 200

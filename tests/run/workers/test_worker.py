import time
from dataclasses import replace

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.hyperdual import _memory
from hyperdiag.messages.errors import HyperdiagError, InputError
from hyperdiag.run.plan.planner import make_plan
from hyperdiag.run.workers.worker import Worker

POLES = "tests.run.networks:poles"


@pytest.fixture
def worker(configure, tmp_path):
    """A worker over rows (a, b) of y1 = 1/a, y2 = sqrt(b), in files that the test writes."""

    def make(table, *overrides):
        pq.write_table(table, tmp_path / "rows.parquet")
        config, _ = configure(
            *("network=python", f"network.target={POLES}", "network.inputs=[a,b]"),
            *("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet"),
            *(f"output.path={tmp_path}/out", "derivatives.dtype=float64", *overrides),
        )
        plan = make_plan(config).plan
        for name in ("data", "quarantine", "run/scratch", "run/statistics"):
            (tmp_path / "out" / name).mkdir(parents=True)
        return Worker(plan, config.output.path)

    return make


@pytest.mark.slow
def test_derive_with_results_that_are_not_finite_quarantines_those_rows_alone(worker, tmp_path):
    table = pa.table({"a": [1.0, 0.0, 4.0, 1.0], "b": [4.0, 1.0, 0.0, 9.0], "key": list("pqrs")})
    made = worker(table)
    (shard,) = made.plan.shards()
    receipt = made.derive(shard)
    assert (receipt.tally.read, receipt.tally.derived) == (4, 2)
    assert receipt.tally.quarantined == {"non_finite_result": 2}
    data = pq.read_table(tmp_path / "out/data" / shard.file_name).to_pydict()
    assert data["key"] == ["p", "s"]
    np.testing.assert_allclose(data["y1"], [1, 1], rtol=1e-15)
    np.testing.assert_allclose(data["d2_y1__d2_a"], [2, 2], rtol=1e-15)
    np.testing.assert_allclose(data["d2_y2__d2_b"], [-1 / 32, -1 / 108], rtol=1e-15)
    assert data["d2_y1__d2_b"] == [0, 0]
    bad = pq.read_table(tmp_path / "out/quarantine" / shard.file_name).to_pydict()
    assert bad["key"] == ["q", "r"]
    assert bad["_row_index"] == [1, 2]
    assert bad["_error_detail"][0] == "value of 'y1' is inf"
    assert bad["_error_detail"][1].startswith("Jacobian of 'y2' by ")


def test_derive_with_every_row_bad_writes_an_empty_data_file(worker, tmp_path):
    made = worker(pa.table({"a": [None, float("nan")], "b": [1.0, 2.0]}))
    (shard,) = made.plan.shards()
    receipt = made.derive(shard)
    assert receipt.tally.quarantined == {"null": 1, "nan": 1}
    assert receipt.tally.ranges == {}
    assert pq.read_table(tmp_path / "out/data" / shard.file_name).num_rows == 0


def test_derive_twice_writes_the_same_bytes(worker, tmp_path):
    rng = np.random.default_rng(0)
    made = worker(pa.table({"a": rng.uniform(1, 2, 500), "b": rng.uniform(-0.1, 1, 500)}))
    (shard,) = made.plan.shards()
    places = [tmp_path / "out" / name / shard.file_name for name in ("data", "quarantine")]
    made.derive(shard)
    first = [place.read_bytes() for place in places]
    made.derive(shard)
    assert [place.read_bytes() for place in places] == first
    assert list((tmp_path / "out/run/scratch").iterdir()) == []


def test_rows_do_not_depend_on_bad_neighbours(worker, tmp_path):
    rng = np.random.default_rng(1)
    a, b = rng.uniform(1, 2, 100), rng.uniform(1, 2, 100)
    made = worker(pa.table({"a": a, "b": b}))
    good = [array.copy() for array in made.kernel(np.stack([a, b], axis=1))]
    bad = np.stack([a, b], axis=1)
    bad[::3] = [0.0, -1.0]
    computed = made.kernel(bad)
    kept = np.arange(100) % 3 != 0
    for one, other in zip(good, computed, strict=True):
        assert np.array_equal(one[kept], other[kept])


def test_batch_that_the_device_has_no_memory_for_is_halved_with_the_same_bits(worker, monkeypatch):
    rng = np.random.default_rng(2)
    points = rng.uniform(1, 2, (1000, 2))
    how = ("derivatives.method=hyperdual", "derivatives.tile=8", "derivatives.batch=1000")
    made = worker(pa.table({"a": points[:, 0], "b": points[:, 1]}), *how)
    wanted = made.kernel(points)
    kernel, seen = made.kernel.function, []

    def small(x):
        seen.append(x.shape[0])
        if x.shape[0] > 300:
            # As XLA words it; `test_faults.py` has its real one.
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
        return kernel(x)

    monkeypatch.setattr(made.kernel, "function", small)
    found = made.kernel(points)
    assert seen == [1000, 496, 248, 248, 248, 248, 248]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert made.derive(next(iter(made.plan.shards()))).batch == 248


@pytest.mark.slow
def test_batch_that_takes_more_than_is_free_is_halved_before_it_is_tried(worker, monkeypatch):
    points = np.random.default_rng(2).uniform(1, 2, (1000, 2))
    sizes = ("derivatives.method=hyperdual", "derivatives.tile=8", "derivatives.batch=1000")
    made = worker(pa.table({"a": points[:, 0], "b": points[:, 1]}), *sizes)
    wanted = made.kernel(points)
    monkeypatch.setattr(_memory, "_SMALL_BYTES", 0)
    monkeypatch.setattr(_memory, "free_bytes", lambda: 40_000)  # 80 bytes of results for a row
    for halved, whole in zip(made.kernel(points), wanted, strict=True):
        np.testing.assert_array_equal(halved, whole)
    assert made.kernel.at_once < 500
    monkeypatch.setattr(_memory, "free_bytes", lambda: 100)
    with pytest.raises(HyperdiagError, match=r"for 8 rows at once \(8 points at once take"):
        made.kernel(points)


@pytest.mark.parametrize("chosen", ["count", "quarantine"])
def test_rows_outside_the_ranges_are_counted_or_quarantined(worker, tmp_path, chosen):
    table = pa.table({"a": [0.5, 1.5, 1.0, 2.5], "b": [1.0, 1.0, 9.0, 1.0]})
    made = worker(table, "network.ranges={a: [1, 2]}", f"limits.out_of_range={chosen}")
    (shard,) = made.plan.shards()
    tally = made.derive(shard).tally
    assert tally.out_of_range == 2
    if chosen == "count":
        assert tally.derived == 4
    else:
        assert (tally.derived, tally.quarantined) == (2, {"out_of_range": 2})
        bad = pq.read_table(tmp_path / "out/quarantine" / shard.file_name).to_pydict()
        assert bad["a"] == [0.5, 2.5]
        assert bad["_error_detail"][0] == "input 'a' is 0.5, outside its trained range [1, 2]"


def test_worker_whose_first_call_hangs_says_so_with_the_mend(worker):
    made = worker(
        pa.table({"a": [1.0], "b": [1.0]}),
        *("network.target=tests.run.networks:asleep", "network.kwargs={seconds: 5.0}"),
        *("derivatives.method=double_forward", "derivatives.tile=1", "derivatives.batch=1"),
    )
    began = time.monotonic()
    sentence = r"'double_forward' in tiles of 1, .* within 0.5 s \(limits\.start_seconds\): it may"
    with pytest.raises(HyperdiagError, match=sentence):
        made.warm_up(0.5)
    assert time.monotonic() - began < 4


def test_error_of_a_first_call_is_itself(worker, monkeypatch):
    made = worker(pa.table({"a": [1.0], "b": [1.0]}))
    monkeypatch.setattr(_memory, "_SMALL_BYTES", 0)
    monkeypatch.setattr(_memory, "free_bytes", lambda: 10)
    with pytest.raises(HyperdiagError, match="the device has no memory for"):
        made.warm_up(60)


def test_worker_that_builds_another_network_refuses(worker):
    made = worker(pa.table({"a": [1.0], "b": [1.0]}))
    other = replace(made.plan.network, digest="0" * 16)
    with pytest.raises(HyperdiagError, match="give the workers the same code and weights"):
        Worker(replace(made.plan, network=other), "out")


def test_worker_with_other_packages_than_were_planned_with_refuses(worker):
    made = worker(pa.table({"a": [1.0], "b": [1.0]}))
    other = {**made.plan.versions, "jax": "0.99", "numpy": "9.0"}
    with pytest.raises(
        HyperdiagError, match=r"has jax \d.* instead of 0\.99, numpy \d.* of 9\.0, "
    ):
        Worker(replace(made.plan, versions=other), "out")


def test_worker_without_the_device_that_was_planned_refuses(worker):
    made = worker(pa.table({"a": [1.0], "b": [1.0]}))
    other = replace(made.plan.kernel, device="gpu")
    with pytest.raises(HyperdiagError, match=r"planned for a gpu, .* only a cpu here: install JAX"):
        Worker(replace(made.plan, kernel=other), "out")


def test_derive_of_a_file_that_changed_fails_by_name(worker, tmp_path):
    made = worker(pa.table({"a": [1.0], "b": [1.0]}))
    (shard,) = made.plan.shards()
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [1.0, 2.0]}), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=r"rows\.parquet has changed since the run was planned"):
        made.derive(shard)
    assert list((tmp_path / "out/data").iterdir()) == []


def test_wrt_of_all_inputs_in_another_order_labels_each_rightly(worker, tmp_path):
    made = worker(pa.table({"a": [2.0], "b": [4.0]}), "derivatives.wrt=[b,a]")
    (shard,) = made.plan.shards()
    made.derive(shard)
    found = pq.read_table(tmp_path / "out/data" / shard.file_name).to_pydict()
    assert found["d_y1__d_a"] == [-0.25]
    assert found["d_y1__d_b"] == [0]
    assert found["d_y2__d_b"] == [0.25]
    assert found["d2_y1__d2_a"] == [0.25]
    assert [name for name in found if name.startswith("d_y1")] == ["d_y1__d_b", "d_y1__d_a"]

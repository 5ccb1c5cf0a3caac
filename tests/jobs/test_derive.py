"""The main job from the command line, end to end, on real Ray."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .outcome import data_files, said


@pytest.mark.slow
def test_own_function_over_a_hive_tree_with_bad_rows_accounts_for_each(hyperdiag, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\n"
        "def build(power):\n"
        "    return lambda x: jnp.stack([jnp.sum(x ** power), x[0] * x[1] / (x[2] - 5.0)])\n"
    )
    rng = np.random.default_rng(3)
    kinds = {
        "null": lambda r: {"a": None},
        "nan": lambda r: {"b": float("nan")},
        "infinite": lambda r: {"b": float("-inf")},
        "overflow": lambda r: {"b": 1e300},
        "not_a_number": lambda r: {"c": "five"},
        "non_finite_result": lambda r: {"c": "5.0"},
    }
    expected, key = {}, 0
    for book in ("rates", "credit", "a b"):
        for part in range(2):
            rows = []
            for _ in range(1000):
                row = {"key": key, "a": int(rng.integers(-9, 9)), "b": float(rng.normal())}
                row["c"], row["tag"] = repr(float(rng.normal())), f"t{key % 7}"
                if rng.random() < 0.06:
                    code = list(kinds)[key % len(kinds)]
                    row |= kinds[code](row)
                    expected[key] = code
                rows.append(row)
                key += 1
            folder = tmp_path / f"tree/book={book}/day={part}"
            folder.mkdir(parents=True)
            schema = pa.schema(
                [
                    *(("key", pa.int64()), ("a", pa.int16()), ("b", pa.float64())),
                    *(("c", pa.string()), ("tag", pa.string())),
                ]
            )
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(table, folder / "rows.parquet", row_group_size=300)
    done = hyperdiag(
        *("derive", "network=python", "network.target=mine:build", "network.kwargs={power: 3}"),
        *("network.inputs=[a,b,c]", "dataset=parquet", "dataset.path=tree"),
        *("output.path=out", "cluster.workers=2", "output.provenance=true"),
    )
    text = said(done)
    good = pq.read_table(tmp_path / "out/data").to_pandas()
    bad = pq.read_table(tmp_path / "out/quarantine").to_pandas()
    assert f"{len(bad):,} quarantined" in text
    assert sorted([*good["key"], *bad["key"]]) == list(range(6000))
    assert dict(zip(bad["key"], bad["_error_code"], strict=True)) == expected
    assert set(good["book"]) == {"rates", "credit", "a b"}
    assert (good["day"] == (good["key"] // 1000) % 2).all()
    assert (good["tag"] == "t" + (good["key"] % 7).astype(str)).all()
    assert (good["_row_index"] == good["key"] % 1000).all()
    x = good[["a", "b"]].assign(c=good["c"].astype(float)).to_numpy(np.float32).astype(np.float64)
    np.testing.assert_allclose(good["y1"], (x**3).sum(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(good["d2_y1__d2_a"], 6 * x[:, 0], rtol=1e-5)
    np.testing.assert_allclose(
        good["d2_y2__d2_c"], 2 * x[:, 0] * x[:, 1] / (x[:, 2] - 5) ** 3, rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
def test_output_is_the_same_bit_for_bit_whoever_does_the_work(
    hyperdiag, invoke, tmp_path, ray_address
):
    run = ["derive", "dataset.rows=12000", "dataset.shard_rows=1600"]
    joined = ["cluster=existing", f"cluster.address={ray_address}", "cluster.workers=1"]
    said(invoke(*run, "output.path=here", "cluster=inline"))
    said(hyperdiag(*run, "output.path=one", *joined))
    said(hyperdiag(*run, "output.path=two", "cluster.workers=2"))
    here = data_files(tmp_path / "here")
    assert len(here) == 8
    assert data_files(tmp_path / "one") == here
    assert data_files(tmp_path / "two") == here


def test_piecewise_linear_network_is_said_to_have_no_curvature(invoke, tmp_path):
    (tmp_path / "rectified.py").write_text(
        "import jax\ndef build():\n    return lambda x: jax.nn.relu(x)\n"
    )
    done = invoke(
        *("derive", "network=python", "network.target=rectified:build", "network.inputs=[a,b]"),
        *("dataset.ranges={a: [-1, 1], b: [-1, 1]}", "dataset.rows=100", "cluster=inline"),
    )
    assert "the Hessian diagonal of y1, y2 is zero on every row" in said(done)

"""Whole runs with derived quantities: columns, quarantine, resume, updates, workers."""

import json
import shutil
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit

from ..derived import networks
from ..derived.networks import STRIKE, A, B
from ..derived.test_greeks import RATE, SPOT, TIME, VOL, closed_forms
from .inspection.audited import rewrite, set_entry

PROPAGATION = ("derived=[propagation]", "derived.propagation.deviations={a: sa, b: 0.5}")
EVERY = (
    "derived=[propagation,delta_gamma,elasticity,relative,standardised,greeks,top]",
    "derived.propagation.deviations={a: sa, b: 0.5, c: 1}",
    "derived.propagation.correlations={a: {b: 0.5}}",
    *("derived.delta_gamma.shocks={a: sa, c: 0.1}", "derived.delta_gamma.by_input=true"),
    *("derived.standardised.deviations={a: sa, c: 2}", "derived.greeks.spot=[a,b]"),
    *("derived.greeks.volatility=c", "derived.top.deviations={a: sa, b: 1, c: 2}"),
    *("derived.top.count=2", "derived.mine=tests.derived.networks:largest_move"),
)


def _table(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {name: rng.uniform(0.5, 1.5, rows) for name in "abc"}
    return pa.table({"key": np.arange(rows), **inputs, "sa": rng.uniform(0, 0.3, rows)})


@pytest.fixture
def run(configure, tmp_path):
    """Derive the files in `in` by `bowl`; return the manifest."""

    def once(*overrides, out="out", network="bowl"):
        inputs = "[a,b,c]" if network == "bowl" else "[a,b]"
        return derive(
            *configure(
                *("cluster=inline", "network=python", "derivatives.dtype=float64"),
                *(f"network.target=tests.derived.networks:{network}", f"network.inputs={inputs}"),
                *("network.outputs=[u,v]", "dataset=parquet", f"dataset.path={tmp_path}/in"),
                *("dataset.shard_rows=100", "derivatives.tile=8", "derivatives.method=hyperdual"),
                *("limits.max_bad_fraction=1", f"output.path={tmp_path}/{out}", *overrides),
            )
        )

    return once


@pytest.fixture
def write(tmp_path):
    def written(table, name="x"):
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / f"in/{name}.parquet", row_group_size=50)

    return written


def _data(folder):
    return pq.read_table(folder / "data").sort_by("key")


def _propagated(table):
    """Return mean shift and deviation of both outputs of `bowl`, by hand: (rows, 2) each."""
    x = np.stack([table[name].to_numpy() for name in "abc"], axis=1)
    s = np.stack([table["sa"].to_numpy(), np.full(len(x), 0.5), np.zeros(len(x))], axis=1)
    slopes = np.stack([x @ a + B for a in (A, np.diag(np.diag(A)))], axis=1)
    bend = np.diag(A)
    variance = ((slopes * s[:, None]) ** 2).sum(axis=2) + ((bend * s**2) ** 2).sum(1)[:, None] / 2
    shift = (bend * s**2).sum(axis=1) / 2
    return np.stack([shift, shift], axis=1), np.sqrt(variance)


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_value_alone_with_what_is_derived_is_all_that_is_written(layout, run, write, tmp_path):
    write(_table())
    manifest = run(*PROPAGATION, "derivatives.outputs=[value]", f"output.layout={layout}")
    data, (shift, std) = _data(tmp_path / "out"), _propagated(_table())
    own = data.column_names[5:]
    if layout == "wide":
        assert own == ["u", "v", "mean_shift_u", "mean_shift_v", "std_u", "std_v"]
        both = [np.stack([data[f"{n}_{o}"] for o in "uv"], axis=1) for n in ("mean_shift", "std")]
    else:
        assert own == ["value", "mean_shift", "std"]
        both = [np.array(data[name].to_pylist()) for name in ("mean_shift", "std")]
    np.testing.assert_allclose(both[0], shift, rtol=1e-13)
    np.testing.assert_allclose(both[1], std, rtol=1e-13)
    assert manifest.quantities == ("value",)
    assert manifest.derived == {"propagation": tuple(own[-4:] if layout == "wide" else own[-2:])}
    assert set(manifest.rows.ranges) == {"value", "jacobian", "hessian_diag"}
    assert manifest.rows.verified > 0
    assert all(not field.nullable for field in data.schema if field.name in own)


def test_columns_of_deviations_need_not_pass_through(run, write, tmp_path):
    write(_table())
    run(*PROPAGATION, "output.columns=[key]")
    data = _data(tmp_path / "out")
    assert "sa" not in data.column_names
    np.testing.assert_allclose(data["std_u"], _propagated(_table())[1][:, 0], rtol=1e-13)


def test_strongest_inputs_are_what_a_database_finds_in_the_derivatives(run, write, tmp_path):
    write(_table())
    run(*EVERY, "output.layout=wide")
    moves = {"a": "sa", "b": "1", "c": "2"}
    for output in "uv":
        sizes = " union all ".join(
            f"select key, '{i}' as name, d_{output}__d_{i} * {s} as move from data"
            for i, s in moves.items()
        )
        found = duckdb.sql(
            f"with data as (select * from '{tmp_path}/out/data/*.parquet'), moves as ({sizes}), "
            "ranked as (select *, row_number() over (partition by key order by abs(move) desc) r "
            f"from moves) select count(*) from ranked join data using (key) where r <= 2 and (name,"
            f" move) = (case r when 1 then top_{output}__rank_1 else top_{output}__rank_2 end, "
            f"case r when 1 then top_effect_{output}__rank_1 else top_effect_{output}__rank_2 end)"
        )
        assert found.fetchall() == [(600,)]


def test_greeks_of_a_book_in_float32_are_the_closed_forms(configure, tmp_path):
    book = {"spot": SPOT, "vol": VOL, "rate": RATE, "time": TIME}
    pq.write_table(pa.table({"key": np.arange(60), **book}), tmp_path / "book.parquet")
    derive(
        *configure(
            *("cluster=inline", "network=python", "network.outputs=[call]"),
            "network.target=tests.derived.networks:black_scholes",
            *(
                "network.inputs=[spot,vol,rate,time]",
                "derived=[greeks]",
                "derived.greeks.spot=spot",
            ),
            *("derived.greeks.volatility=vol", "derived.greeks.rate=rate"),
            *("derived.greeks.time=time", "derived.greeks.theta_per=calendar_day"),
            *("derived.greeks.vega_per=percentage_point", "derived.greeks.rho_per=basis_point"),
            *("dataset=parquet", f"dataset.path={tmp_path}/book.parquet"),
            *("derivatives.outputs=[value]", f"output.path={tmp_path}/out"),
            *("derivatives.method=hyperdual", "derivatives.tile=8"),
        )
    )
    data = _data(tmp_path / "out")
    units = {"vega": 0.01, "volga": 1e-4, "rho": 1e-4, "theta": 1 / 365}
    for name, wanted in closed_forms().items():
        wanted = wanted * units.get(name, 1.0)
        column = data[f"{name}_call"].to_numpy()
        assert column.dtype == np.float32
        np.testing.assert_allclose(column, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    assert STRIKE == 100


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_rows_that_cannot_be_derived_are_quarantined_with_the_column(layout, run, write, tmp_path):
    table = pa.table(
        {
            "key": np.arange(8),
            "a": [1.0, 0.0, 2.0, None, 1.0, 1.0, 1.0, 1.0],
            "b": np.ones(8),
            "sa": ["0.1", "0.1", "much", "0.2", None, "-1", "nan", "0.3"],
        }
    )
    write(table)
    manifest = run(
        *("derived=[propagation,elasticity]", "derived.propagation.deviations={a: sa}"),
        *(f"output.layout={layout}", "dataset.shard_rows=8"),
        network="lines",
    )
    assert manifest.rows.derived == 2
    bad = pq.read_table(tmp_path / "out/quarantine").to_pylist()
    assert {row["key"]: (row["_error_code"], row["_error_detail"]) for row in bad} == {
        1: ("non_finite_derived", "'elasticity_u__by_a' is nan"),
        2: ("not_a_number", "column 'sa' is the text 'much'"),
        3: ("null", "input 'a' is null"),
        4: ("null", "column 'sa' is null"),
        5: ("negative_deviation", "column 'sa', a standard deviation, is -1"),
        6: ("not_a_number", "column 'sa' is the text 'nan'"),
    }
    assert _data(tmp_path / "out")["key"].to_pylist() == [0, 7]


def test_resume_refuses_other_options_by_name_and_goes_on_with_the_same(run, write, tmp_path):
    write(_table())
    first = run(*PROPAGATION)
    assert run(*PROPAGATION) == first
    with pytest.raises(
        UsageError, match=r"derived\.propagation\.deviations\.b was 0\.5, now is 0\.6"
    ):
        run(PROPAGATION[0], "derived.propagation.deviations={a: sa, b: 0.6}")
    with pytest.raises(
        UsageError, match=r"derived\.propagation\.deviations\.b was 0\.5, now is null"
    ):
        run()
    with pytest.raises(UsageError, match=r"derivatives\.outputs was .*, now is \[\"value\"\]"):
        run(*PROPAGATION, "derivatives.outputs=[value]")
    with pytest.raises(UsageError, match=r"derived\.top\.count was null, now is 1"):
        run(
            "derived=[propagation,top]",
            *(PROPAGATION[1], "derived.top.deviations={a: 1}", "derived.top.count=1"),
        )


def test_update_derives_what_is_new_and_leaves_the_rest(run, write, tmp_path):
    write(_table(100))
    run(*EVERY)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/data").iterdir()}
    write(_table(100, seed=1), "y")
    run(*EVERY, "output.mode=update")
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/data").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 2
    both = pa.concat_tables([_table(100), _table(100, seed=1)]).sort_by("key")
    data = _data(tmp_path / "out")
    slopes = np.stack([both[name].to_numpy() for name in "abc"], axis=1) @ A + B
    np.testing.assert_allclose(data["relative_u__by_b"], slopes[:, 1] / data["u"], rtol=1e-12)


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_bytes_do_not_depend_on_what_is_under_way(layout, run, write, tmp_path):
    write(_table())
    run(*EVERY, f"output.layout={layout}")
    run(*EVERY, f"output.layout={layout}", "cluster.shards_in_flight=3", out="again")
    names = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert len(names) == 3
    for name in names:
        one, other = (tmp_path / f"{out}/data" / name for out in ("out", "again"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("layout", ["wide", "tensor"])
def test_verify_derives_again_what_follows_from_what_is_written(layout, run, write, tmp_path):
    write(_table())
    run(
        *EVERY,
        "derivatives.outputs=[value,jacobian,hessian_diag,hessian]",
        f"output.layout={layout}",
    )
    found = audit(str(tmp_path / "out"), None, 8, 16)
    assert (found.findings, found.notes) == ([], [])
    name = "std_u" if layout == "wide" else "std"
    change = set_entry(name, 0, (lambda old: old * 1.01) if layout == "wide" else [1.0, 2.0])
    rewrite(tmp_path / "out/data/part-0000001.parquet", change)
    found = audit(str(tmp_path / "out"), None, 8, 16)
    assert found.findings == [
        f"data/part-0000001.parquet: column '{name}' does not follow from the derivatives"
    ]


def test_verify_says_where_what_is_derived_cannot_be_derived_again(run, write, tmp_path):
    write(_table())
    run(*PROPAGATION, "derivatives.outputs=[value]")
    found = audit(str(tmp_path / "out"), None, 8, 16)
    assert found.findings == []
    assert found.notes == [
        "derived quantities were not derived again: derivatives.outputs did not write jacobian, "
        "hessian_diag"
    ]
    assert found.derived_again == 3 * 16


MINE = """
import numpy as np
import users_helper


def risk(x, y, J, D):
    return users_helper.factor() * np.abs(J).max(axis=2)[:, 0]


risk.columns = {"risk": "EUR"}
"""


def test_workers_of_a_cluster_write_the_bytes_of_one_process_with_a_users_module(
    run, write, tmp_path, ray_address, monkeypatch
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "users_risk.py").write_text(MINE)
    (folder / "users_helper.py").write_text("def factor():\n    return 3.0\n")
    shutil.copy(networks.__file__, folder / "users_networks.py")
    monkeypatch.chdir(folder)
    write(_table())
    modules = ("users_risk", "users_helper", "users_networks")
    overrides = [
        *EVERY[:-1],
        *("derived.mine=users_risk:risk", "network.target=users_networks:bowl"),
    ]
    try:
        run(*overrides)
        run(
            *(*overrides, "cluster=existing", f"cluster.address={ray_address}"),
            "cluster.workers=2",
            out="workers",
        )
    finally:
        for name in modules:
            sys.modules.pop(name, None)
    names = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    for name in names:
        one, other = (tmp_path / f"{out}/data" / name for out in ("out", "workers"))
        assert one.read_bytes() == other.read_bytes()
    data = _data(tmp_path / "workers")
    slopes = np.stack([data[f"d_u__d_{name}"] for name in "abc"], axis=1)
    np.testing.assert_allclose(data["risk"], 3 * np.abs(slopes).max(axis=1), rtol=1e-15)
    assert json.loads((tmp_path / "workers/run/manifest.json").read_text())["derived"]["mine"] == [
        "risk"
    ]

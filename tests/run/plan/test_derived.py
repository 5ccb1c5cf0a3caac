import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.plan.planner import check, make_plan
from hyperdiag.run.plan.spec import Settings

NETWORK = ("network=python", "network.target=tests.derived.networks:bowl", "network.inputs=[a,b,c]")
PLAIN = (*NETWORK, "cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=8")


@pytest.fixture
def planned(configure, tmp_path):
    """Plan a run over rows (a, b, c, s), s a deviation."""
    columns = {name: np.arange(4.0) for name in "abcs"} | {"tags": [["x"]] * 4}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    source = ("dataset=parquet", f"dataset.path={tmp_path}/rows.parquet")

    def make(*overrides):
        return make_plan(
            configure(*PLAIN, *source, f"output.path={tmp_path}/out", *overrides)[0]
        ).plan

    return make


def test_plan_without_derived_quantities_has_no_trace_of_them(planned):
    plan = planned("derivatives.outputs=[value,jacobian]")
    assert "derived" not in plan.to_json()
    assert "quantities" not in plan.to_json()["output"]
    assert plan.written == plan.kernel.quantities == ("value", "jacobian")


def test_plan_freezes_what_is_asked_for_and_is_read_back_the_same(planned, tmp_path):
    shocks = pa.table({"scenario": ["z", "y"], "c": [0.5, 0.25], "a": [1, 2]})
    pq.write_table(shocks, tmp_path / "shocks.parquet")
    plan = planned(
        "derived=[propagation,delta_gamma,greeks,top]",
        "derived.mine=tests.derived.networks:largest_move",
        *("derived.propagation.covariance={b: {b: 4, a: 1}, a: {a: 1}}", "derived.top.count=2"),
        *(f"derived.delta_gamma.scenarios={tmp_path}/shocks.parquet", "derived.greeks.rate=b"),
        *("derived.top.deviations={c: s, a: 1}", "derived.top.outputs=[y2,y1]"),
        "derivatives.outputs=[value]",
    )
    assert plan.written == ("value",)
    assert plan.kernel.quantities == ("value", "jacobian", "hessian", "hessian_diag")
    values = json.loads(json.dumps(plan.to_json()))
    derived = values["derived"]
    assert derived["propagation"]["deviations"] == {"a": 1.0, "b": 2.0}
    assert derived["propagation"]["correlations"] == {"b": {"a": 0.5}}
    assert derived["delta_gamma"]["scenarios"] == [
        {"name": "z", "shocks": {"a": 1.0, "c": 0.5}},
        {"name": "y", "shocks": {"a": 2.0, "c": 0.25}},
    ]
    assert derived["greeks"]["rate"] == ["b"]
    assert derived["top"]["outputs"] == ["y1", "y2"]
    assert len(derived["mine"]["digest"]) == 16
    again = Settings.from_json(json.loads(json.dumps(values, sort_keys=True)))
    assert again.settings_digest == plan.settings_digest
    assert again.derived.blocks(plan.names) == plan.derived.blocks(plan.names)


def test_scenarios_that_change_make_another_plan(planned, tmp_path):
    digests = set()
    for shock in (1.0, 1.0, 2.0):
        shocks = pa.table({"scenario": ["z"], "a": [shock]})
        pq.write_table(shocks, tmp_path / "shocks.parquet")
        plan = planned(
            "derived=[delta_gamma]", f"derived.delta_gamma.scenarios={tmp_path}/shocks.parquet"
        )
        digests.add(plan.digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("overrides", "problems"),
    [
        (
            [
                "derived=[propagation]",
                "derived.propagation.deviations={aa: 1, a: ss, b: -1, c: tags}",
            ],
            [
                "derived.propagation.deviations: network 'python' has no input 'aa' (closest: 'a')",
                "derived.propagation.deviations.a: the dataset has no column 'ss' (closest: 's')",
                "derived.propagation.deviations.b must be a finite number, not below zero; got -1",
                "derived.propagation.deviations.c: column 'tags' is list<element: string>; ",
            ],
        ),
        (["derived=[propagation]"], ["derived.propagation.deviations is required"]),
        (
            [
                *("derived=[propagation]", "derived.propagation.deviations={a: 1}"),
                "derived.propagation.covariance={a: {a: 1}}",
            ],
            ["derived.propagation: covariance stands for deviations and correlations"],
        ),
        (
            [
                *("derived=[propagation]", "derived.propagation.deviations={a: 1}"),
                "derived.propagation.correlations={a: {b: 0.5}}",
            ],
            ["derived.propagation.correlations: 'b' has no deviation"],
        ),
        (
            ["derived=[delta_gamma,greeks]", "derived.greeks.outputs=[y3,y1,y1]"],
            [
                "derived.delta_gamma needs shocks, ",
                "derived.greeks: name an input at least",
                "derived.greeks.outputs: network 'python' has no output 'y3' (there are: y1, y2)",
                "derived.greeks.outputs names an output twice",
            ],
        ),
        (
            ["derived=[delta_gamma]", "derived.delta_gamma.shocks={a: -inf, b: -1}"],
            ["derived.delta_gamma.shocks.a must be a finite number; got -inf"],
        ),
        (
            ["derived=[delta_gamma]", "derived.delta_gamma.scenarios=nowhere.parquet"],
            ["derived.delta_gamma.scenarios=nowhere.parquet cannot be read"],
        ),
        (
            ["derived=[greeks]", "derived.greeks.spot=[a,b]", "derived.greeks.rate=a"],
            ["derived.greeks names 'a' twice"],
        ),
        (
            ["derived=[greeks]", "derived.greeks.spot=c", "derivatives.wrt=[a,b]"],
            ["derived.greeks.spot: there is no derivative with respect to 'c' (derivatives.wrt"],
        ),
        (
            ["derived=[standardised,top]"],
            [
                "derived.standardised.deviations: network 'python' does not say how a, b, c spread",
                "derived.top.deviations: network 'python' does not say",
            ],
        ),
        (
            ["derived=[top]", "derived.top.deviations={a: 1}", "derived.top.count=2"],
            ["derived.top.count=2 is more than the inputs that are compared: a"],
        ),
        (["derived.mine=nowhere:f"], ["derived.mine: no module 'nowhere'"]),
        (
            [
                *("derived=[mine,top]", "derived.top.count=9", "derived.top.deviations={a: 1}"),
                "derived.mine.target=tests.derived.networks:discounted",
                "derived.mine.options={rte: 0.03}",
            ],
            [
                "derived.mine: tests.derived.networks:discounted is called with (x, y, J, D, "
                "rte=0.03)",
                "derived.top.count=9 is more",
            ],
        ),
    ],
)
def test_what_does_not_fit_is_said_all_at_once(overrides, problems, planned):
    with pytest.raises(UsageError) as raised:
        planned(*overrides)
    assert len(raised.value.problems) == len(problems)
    for problem, beginning in zip(raised.value.problems, problems, strict=True):
        assert problem.startswith(beginning)


def test_deviations_in_training_are_those_of_the_trained_ranges(planned):
    plan = planned("derived=[top]", "network.ranges={a: [0, 1], b: [0, 2], c: [-3, 3]}")
    spread = {
        name: np.random.default_rng(0).uniform(0, w, 10**6).std()
        for name, w in (("a", 1), ("b", 2), ("c", 6))
    }
    assert plan.derived.top.deviations == pytest.approx(spread, rel=1e-2)


def test_options_of_a_function_are_in_the_plan_where_there_are_any(planned):
    def digest_and_section(*overrides):
        plan = planned(*overrides)
        values = json.loads(json.dumps(plan.to_json()))
        again = Settings.from_json(values)
        assert again.settings_digest == plan.settings_digest
        assert again.derived.mine == plan.derived.mine
        return plan.digest, values["derived"]["mine"]

    target = "tests.derived.networks:discounted"
    plain, section = digest_and_section(f"derived.mine={target}")
    assert [*section] == ["outputs", "target", "columns", "digest"]
    chosen = ("derived=[mine]", f"derived.mine.target={target}")
    assert digest_and_section(*chosen) == (plain, section)
    options = "derived.mine.options={rate: 0.03, tags: [a, {b: null}], exact: true}"
    other, section = digest_and_section(*chosen, options)
    assert other != plain
    assert section["options"] == {"rate": 0.03, "tags": ["a", {"b": None}], "exact": True}
    assert digest_and_section(*chosen, options.replace("0.03", "0.04"))[0] != other


def test_column_of_a_derived_name_is_refused(planned, tmp_path):
    table = pq.read_table(tmp_path / "rows.parquet")
    pq.write_table(table.append_column("std_y1", table["a"]), tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="two columns named std_y1"):
        planned("derived=[propagation]", "derived.propagation.deviations={a: 1}")


def test_layout_of_many_derived_columns_is_that_of_tensors(planned, tmp_path):
    overrides = ("derived=[delta_gamma]", "derivatives.outputs=[value]")
    for count, layout in ((64, "wide"), (65, "tensor")):  # times two outputs, times two orders
        shocks = pa.table({"scenario": [f"s{at}" for at in range(count)], "a": [1.0] * count})
        pq.write_table(shocks, tmp_path / "shocks.parquet")
        plan = planned(*overrides, f"derived.delta_gamma.scenarios={tmp_path}/shocks.parquet")
        assert plan.output.layout == layout


def test_batches_have_fewer_rows_where_each_has_many_derived_numbers(planned, tmp_path):
    shocks = pa.table({"scenario": [f"s{at}" for at in range(1000)], "a": [1.0] * 1000})
    pq.write_table(shocks, tmp_path / "shocks.parquet")
    table = pa.table({name: np.arange(20_000.0) for name in "abc"})
    pq.write_table(table, tmp_path / "rows.parquet")
    plan = planned(
        "derived=[delta_gamma]", f"derived.delta_gamma.scenarios={tmp_path}/shocks.parquet"
    )
    assert plan.kernel.batch == 512  # 4,000 numbers of 8 bytes in 16 MiB
    assert planned().kernel.batch == 8192


def test_plan_with_a_key_of_a_later_release_is_refused_by_name(planned):
    plan = planned("derived=[elasticity]")
    values = json.loads(json.dumps(plan.to_json()))
    values["derived"] |= {"skew": {}, "elasticity": {"outputs": None, "colour": 1}}
    with pytest.raises(ValueError, match=r"derived\.elasticity\.colour is no.*derived\.skew is no"):
        Settings.from_json(values)


def test_check_without_files_asks_for_no_scenarios(configure):
    config, _ = configure(
        *(*PLAIN, "dataset=parquet", "dataset.path=s3://bucket/rows"),
        *("derived=[delta_gamma,top]", "derived.delta_gamma.scenarios=s3://bucket/shocks.parquet"),
        "derived.top.deviations={a: column, b: 1, c: 1}",
    )
    check(config, with_files=False)

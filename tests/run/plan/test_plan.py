from dataclasses import replace

import pytest

from hyperdiag.run.plan.planner import make_plan

CHAIN = (
    *("network=chain", "dataset.ranges={x1: [0,1], x2: [0,1], x3: [0,1], x4: [0,1], x5: [0,1]}"),
    *("derivatives.method=hyperdual", "derivatives.tile=8"),  # nothing is timed
)


@pytest.fixture
def planned(configure):
    def plan(*overrides):
        return make_plan(configure(*CHAIN, "dataset.rows=1000", *overrides)[0]).plan

    return plan


def test_plan_made_twice_is_the_same(planned):
    assert planned().digest == planned().digest


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "override",
    [
        "network.seed=1",
        "network.layers='Chain(Dense(5, 3, tanh), Dense(3, 3))'",
        "dataset.rows=999",
        "dataset.seed=1",
        "dataset.sampler=latin_hypercube",
        "dataset.limit=10",
        "dataset.shard_rows=100",
        "derivatives.method=taylor",
        "derivatives.wrt=[x1]",
        "derivatives.dtype=float64",
        "derivatives.tile=16",
        "derivatives.batch=512",
        "output.layout=tensor",
        "output.columns=none",
        "output.provenance=true",
        "limits.out_of_range=quarantine",
    ],
)
def test_what_decides_the_bits_changes_the_digest_and_is_named(planned, override):
    before, after = planned(), planned(override)
    assert before.digest != after.digest
    key = override.partition("=")[0].replace("derivatives.wrt", "derivatives.directions")
    section = {"network.layers": "network", "network.seed": "network"}.get(key, key)
    assert any(section in sentence for sentence in before.differences(after))


@pytest.mark.parametrize(
    "override",
    [
        "cluster=inline",
        "cluster.workers=2",
        "cluster.shards_in_flight=1",
        "cluster.cpus_per_worker=2",
        "output.path=elsewhere",
        "output.mode=overwrite",
        "limits.max_attempts=9",
        "limits.max_bad_fraction=0.5",
    ],
)
def test_what_does_not_decide_the_bits_leaves_the_digest(planned, override):
    assert planned().digest == planned(override).digest


@pytest.mark.parametrize(
    ("name", "jax", "said"),
    [("python", "0.99", True), ("python", None, False), ("chain", "0.99", False)],
)
def test_digest_that_another_jax_may_have_changed_is_said_to_be_one(planned, name, jax, said):
    before = planned()
    before = replace(before, network=replace(before.network, name=name))
    after = replace(
        before,
        network=replace(before.network, digest="0" * 16),
        versions={**before.versions, **({"jax": jax} if jax else {})},
    )
    (sentence,) = [each for each in before.differences(after) if "network.digest" in each]
    assert sentence.endswith(" (another JAX may trace the same function otherwise)") == said

import hashlib
import json

import pytest

from hyperdiag.run.plan.spec import DesignSpec, ParquetSpec, Settings

# As the first release wrote it.
VALUES = {
    "network": {
        **{"name": "qlknn", "digest": "a4b592b1f4ba6b03", "description": "a surrogate"},
        **{"inputs": ["b", "a"], "outputs": ["y"], "ranges": {"a": [0, 1], "b": [0.5, 2.0]}},
        "settings": {"name": "qlknn", "weights": "s3://***@models/w.npz", "layers": [1, [2]]},
    },
    "dataset": {
        **{"name": "parquet", "path": "s3://***@bucket/in", "schema": "", "base": "bucket/in"},
        **{"partition_keys": ["day"], "points": {"columns": ["v"], "vector": True}},
        **{"row_filter": None, "limit": None, "shard_rows": 8192},
    },
    "derivatives": {
        **{"method": "taylor", "tile": None, "dtype": "float32", "directions": ["b"]},
        **{"outputs": ["value", "hessian"], "device": "cpu", "verify_rows": 4},
        **{"tolerance": 0.01, "strict": False, "batch": 512},
    },
    "output": {"layout": "wide", "columns": ["key"], "provenance": True, "row_group_rows": 4096},
    "limits": {"out_of_range": "count"},
    "versions": {"hyperdiag": "0.1.0", "jax": "0.10.2"},
}
DESIGN = {
    **{"name": "design", "ranges": {"a": [0, 1], "b": [0.5, 2]}, "sampler": "grid", "rows": 6},
    **{"seed": 0, "levels": {"a": 2, "b": 3}, "limit": 5, "dtype": "float64", "shard_rows": 4},
}


def _changed(section, **changes):
    return {**VALUES, section: {**VALUES[section], **changes}}


@pytest.mark.parametrize("values", [VALUES, {**VALUES, "dataset": DESIGN}])
def test_settings_read_and_written_are_the_same_to_the_last_digit(values):
    settings = Settings.from_json(values)
    assert json.loads(json.dumps(settings.to_json())) == values
    # 0 is no 0.0 here, which == does not tell.
    text = json.dumps(values, sort_keys=True)
    assert json.dumps(settings.to_json(), sort_keys=True) == text
    assert settings.settings_digest == hashlib.sha256(f"{text}\n".encode()).hexdigest()[:16]


def test_sections_have_names_of_their_own():
    settings = Settings.from_json(VALUES)
    assert settings.kernel.quantities == ("value", "hessian")
    assert settings.network.ranges["b"] == (0.5, 2.0)
    assert isinstance(settings.dataset, ParquetSpec)
    assert settings.dataset.points.columns == ("v",)
    assert isinstance(Settings.from_json({**VALUES, "dataset": DESIGN}).dataset, DesignSpec)


def test_design_has_its_columns_in_the_order_of_the_inputs():
    dataset = Settings.from_json({**VALUES, "dataset": DESIGN}).dataset
    assert dataset.source(["b", "a"]).schema.names == ["b", "a"]
    assert dataset.source(["a", "b"]).schema.names == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "network is required; dataset is required; derivatives is required"),
        ([], "must be a dictionary"),
        (None, "must be a dictionary"),
        ({**VALUES, "colour": 1}, "colour is no key here"),
        (_changed("derivatives", colour=1), r"derivatives\.colour is no key here"),
        (_changed("derivatives", quantities=["value"]), "quantities is no key here"),
        (_changed("dataset", ranges={}), r"dataset\.ranges is no key here"),
        (_changed("dataset", name="quarantine"), "'quarantine'.* does not match"),
        (_changed("output", row_group_rows="many"), r"output\.row_group_rows must be an integer"),
        (_changed("network", ranges={"a": [0]}), r"network\.ranges\.a\.1 is required"),
        ({**VALUES, "limits": 5}, "limits must be a dictionary"),
        ({**VALUES, "dataset": {**DESIGN, "points": {}}}, r"dataset\.points is no key here"),
        (
            {**VALUES, "output": {k: v for k, v in VALUES["output"].items() if k != "layout"}},
            r"output\.layout is required",
        ),
    ],
)
def test_settings_that_are_not_these_are_refused_with_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings.from_json(values)

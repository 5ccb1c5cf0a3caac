import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive


@pytest.fixture
def overrides(tmp_path):
    rng = np.random.default_rng(5)
    table = {name: rng.normal(size=100) for name in ("a", "b", "c")}
    pq.write_table(pa.table(table | {"desk": ["fx", "rates"] * 50}), tmp_path / "rows.parquet")
    return (
        *("network=python", "network.target=tests.run.networks:wavy", "dataset=parquet"),
        *("network.inputs=[a,b,c]", "network.outputs=[u,v,w]", "cluster=inline"),
        *(f"dataset.path={tmp_path}/rows.parquet", f"output.path={tmp_path}/out"),
        *("derivatives.method=hyperdual", "derivatives.tile=64", "derivatives.verify_rows=0"),
    )


DONE = r"Statistics of rows that are done stay as they were gathered: go on with "


@pytest.mark.parametrize(
    ("before", "after", "said", "mend"),
    [
        ("summary.enabled=false", "summary.enabled=true", "was false, now is true", ""),
        ("summary.enabled=true", "summary.enabled=false", "was true, now is false", ""),
        ("summary.by=desk", "summary.by=null", 'was "desk", now is null', ""),
        ("summary.only=true", "summary.only=false", "was true, now is false", ""),
        ("summary.bins=7", "summary.bins=9", "was 7, now is 9", ""),
        ("summary.extreme_rows=3", "summary.extreme_rows=10", "was 3, now is 10", ""),
        (
            "summary.enabled=false",
            "summary.by=desk",
            "summary.by=desk needs statistics, and the run in output.path",
            "Give another output.path, or leave it out",
        ),
        (
            "summary.enabled=false",
            "summary.only=true",
            "summary.only=true needs statistics, and the run in output.path",
            "Give another output.path, or leave it out",
        ),
    ],
)
def test_change_of_statistics_is_refused_in_the_words_of_its_options(
    overrides, configure, before, after, said, mend
):
    derive(*configure(*overrides, before))
    with pytest.raises(UsageError) as caught:
        derive(*configure(*overrides, after))
    (sentence,) = caught.value.problems
    key = before.partition("=")[0]
    assert said in sentence
    if mend:
        assert mend in sentence
        return
    assert f"holds a run with another plan: {key} {said}. {DONE}{before}, give another" in sentence
    assert sentence.count("summary.") == 2  # nothing of what follows from the options
    assert derive(*configure(*overrides, before)).rows.derived == 100  # the mend
    assert derive(*configure(*overrides, after, "output.mode=overwrite")).rows.derived == 100


def test_other_changes_come_with_that_of_statistics(overrides, configure):
    derive(*configure(*overrides))
    with pytest.raises(UsageError) as caught:
        derive(*configure(*overrides, "summary.by=desk", "derivatives.dtype=float64"))
    said = str(caught.value)
    assert 'derivatives.dtype was "float32", now is "float64"; ' in said
    assert 'summary.by was null, now is "desk". ' in said
    assert "stay as they were gathered: give another output.path" in said


def test_groups_without_statistics_are_refused_before_any_work(overrides, configure, tmp_path):
    with pytest.raises(UsageError) as caught:
        derive(*configure(*overrides, "summary.by=desk", "summary.enabled=false"))
    assert str(caught.value).endswith("leave out the one or the other")
    assert not (tmp_path / "out").exists()

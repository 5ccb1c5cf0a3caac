import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.derived.delta_gamma import Scenario
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.plan.scenarios import read_scenarios


@pytest.fixture
def read(tmp_path):
    def written(**columns):
        pq.write_table(pa.table(columns), tmp_path / "shocks.parquet")
        return read_scenarios(str(tmp_path / "shocks.parquet"), ["spot", "vol", "rate"])

    return written


def test_scenarios_are_rows_in_their_order_with_inputs_in_that_of_the_network(read):
    rows = {"vol": [0.01, -0.02], "scenario": ["up", "crash"], "spot": [5, -20]}
    assert read(**rows) == (
        Scenario("up", {"spot": 5.0, "vol": 0.01}),
        Scenario("crash", {"spot": -20.0, "vol": -0.02}),
    )


@pytest.mark.parametrize(
    ("columns", "sentences"),
    [
        ({"spot": [1.0]}, ["has no column 'scenario'"]),
        (
            {"scenario": ["a"], "spott": [1.0], "x": [1.0]},
            ["column 'spott' is no input with a derivative .closest: 'spot'", "column 'x' is no"],
        ),
        ({"scenario": ["a"]}, ["1 rows and 0 columns of shocks"]),
        ({"scenario": pa.array([], pa.string()), "spot": pa.array([], pa.float64())}, ["0 rows"]),
        ({"scenario": ["a", "a"], "spot": [1.0, 2.0]}, ["names scenario 'a' twice"]),
        ({"scenario": [None, ""], "spot": [1.0, 2.0]}, ["scenario is None", "scenario is ''"]),
        (
            {"scenario": ["a", "b"], "spot": [None, 1.0], "vol": [float("nan"), float("inf")]},
            ["scenario 'a' has no finite number for spot, vol", "scenario 'b' .* for vol"],
        ),
        ({"scenario": ["a"], "spot": ["1.5"]}, ["scenario 'a' has no finite number for spot"]),
        ({"scenario": list(map(str, range(1001))), "spot": [1] * 1001}, ["has 1,001 rows"]),
    ],
)
def test_what_makes_no_scenarios_is_refused_with_all_that_is_wrong(columns, sentences, read):
    with pytest.raises(UsageError) as raised:
        read(**columns)
    for sentence in sentences:
        assert raised.match(sentence)


def test_file_that_is_no_parquet_is_refused_by_name(tmp_path):
    for name, content in (("none", None), ("text", b"scenario,spot")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"scenarios=.*/{name} cannot be read: "):
            read_scenarios(str(tmp_path / name), ["spot"])

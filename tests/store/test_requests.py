"""How many requests a run makes to a store: what bounds a run of a hundred thousand shards."""

import pytest

from hyperdiag.run.derive import derive

from .request_kinds import kinds
from .test_run import BOX, QUICK, _to

FEW, MANY = 10, 60


@pytest.fixture
def run(configure, store, proxy):
    """Derive a design of so many shards; return the requests that this took, by kind."""

    def derived(shards, *overrides):
        proxy.requests.clear()
        out = store.uri(f"out{shards}")
        derive(*configure(*QUICK, BOX, f"dataset.rows={100 * shards}", _to(out), *overrides))
        return kinds(proxy)

    return derived


def _for_each(few, many):
    """Return {kind: requests for each shard}, of what grows with their number."""
    each = {kind: (many[kind] - few[kind]) / (MANY - FEW) for kind in few.keys() | many.keys()}
    return {kind: more for kind, more in each.items() if more}


@pytest.mark.parametrize("statistics", [True, False])
def test_shard_of_a_design_takes_three_requests_and_two_for_its_statistics(run, statistics):
    # The first asks whether the run still holds the output; the last when the file was taken in,
    # which is part of what the journal knows it by.
    right = {"GET run": 1, "PUT data": 1, "HEAD data": 1}
    if statistics:
        right |= {"GET run": 2, "PUT run": 1}
    option = f"summary.enabled={str(statistics).lower()}"
    assert _for_each(run(FEW, option), run(MANY, option)) == right


@pytest.mark.slow
def test_resume_and_rerun_of_a_whole_output_take_no_request_for_each_shard(run):
    for shards in (FEW, MANY):
        run(shards)
    again = [run(shards) for shards in (FEW, MANY)]
    assert _for_each(*again) == {}
    assert sum(again[1].values()) < 60


@pytest.mark.slow
def test_shard_of_a_parquet_file_takes_eleven_requests_and_one_for_each_column(
    configure, store, proxy, table
):
    counts = []
    for files in (FEW, MANY):
        for number in range(files):
            store.put(f"in{files}/{number}.parquet", table)
        proxy.requests.clear()
        source = "dataset=parquet", f"dataset.path='{store.uri(f'in{files}')}'"
        derive(*configure(*QUICK, *source, _to(store.uri(f"out{files}"))))
        counts.append(kinds(proxy))
    # Planning and deriving each ask for the file's size and read its footer; before deriving it and
    # after it, its time is asked for.
    columns = {"HEAD other": 4, "GET other": 2 + table.num_columns}
    written = {"GET run": 2, "PUT run": 1, "PUT data": 1, "HEAD data": 1}
    assert _for_each(*counts) == {**written, **columns}


@pytest.mark.chaos
@pytest.mark.parametrize("shards", [1000, 10_000])
def test_requests_of_many_shards_are_five_for_each_and_few_besides(run, shards):
    first, again = run(shards), run(shards)
    print(f"{shards} shards: {first}, {sum(first.values())}; again {again}")
    for kind in ("GET run", "PUT data", "HEAD data"):
        assert first[kind] >= shards
    # Heartbeat and lease are renewed every few seconds, the journal is written now and then; a page
    # of a list has a thousand names.
    assert sum(first.values()) < 5.05 * shards + 150
    assert sum(again.values()) < 60 + shards / 50

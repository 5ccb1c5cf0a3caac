import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.run.derive import derive
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.plan.planner import make_plan

ONES = {f"x{i}": [1.0] * 10 for i in range(1, 6)}

# Methods are not timed when such a run is planned.
UNTIMED = ("derivatives.method=hyperdual", "derivatives.tile=8")


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        pq.write_table(pa.table(ONES), tmp_path / f"in/{number}.parquet")
    (tmp_path / "in/bad.parquet").write_bytes(b"nothing")
    return [
        *("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/in"),
        *("cluster=inline", f"output.path={tmp_path}/out", *UNTIMED),
    ]


def test_bad_file_is_refused_by_name_or_skipped_with_a_record(configure, tree, tmp_path):
    with pytest.raises(UsageError, match=r"in/bad\.parquet: .*dataset\.on_bad_file=skip"):
        make_plan(configure(*tree)[0])
    manifest = derive(*configure(*tree, "dataset.on_bad_file=skip"))
    assert manifest.rows.derived == 30
    (bad,) = manifest.bad_files
    assert bad.path == f"{tmp_path}/in/bad.parquet"
    assert any("left out" in warning for warning in manifest.warnings)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("pattern", "output", "matches"),
    [
        ("**/*.parquet", "out", True),
        ("**/part-*", "in/out", True),
        ("*/quarantine/*", "out", True),
        ("link/**/*.parquet", "link/out", True),
        ("link/../**/*.parquet", "out", True),
        ("*/*.parquet", "out", False),
        ("in/*.parquet", "in/out", False),
        ("**/*.parquet", "_out", False),
    ],
)
def test_output_that_the_datasets_glob_would_find_is_refused_before_it_is_there(
    configure, tree, tmp_path, pattern, output, matches
):
    (tmp_path / "in/bad.parquet").unlink()
    pq.write_table(pa.table(ONES), tmp_path / "in/part-1.parquet")
    (tmp_path / "of/quarantine").mkdir(parents=True)
    pq.write_table(pa.table(ONES), tmp_path / "of/quarantine/1.parquet")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    paths = (f"dataset.path={tmp_path}/{pattern}", f"output.path={tmp_path}/{output}")
    config, _ = configure(*tree, *paths)
    if matches:
        with pytest.raises(UsageError, match=r"also matches what is written to output\.path"):
            make_plan(config)
        return
    wanted = make_plan(config).plan.files
    derive(config, "")
    assert make_plan(config).plan.files == wanted  # what is there now is none of it


@pytest.mark.slow
def test_credentials_of_a_network_reach_its_builder_and_are_no_part_of_the_plan(
    configure, tree, tmp_path
):
    def planned(user, token):
        kwargs = f"{{weights: 's3://{user}@models/w.npz', api_token: {token}}}"
        overrides = ("network=python", "network.target=tests.run.networks:trusted")
        columns = ("network.inputs=[x1,x2]", "dataset.on_bad_file=skip", f"network.kwargs={kwargs}")
        quickly = ("cluster=inline", "derivatives.method=hyperdual", "derivatives.tile=1")
        return configure(*tree, *overrides, *columns, *quickly)

    plan = make_plan(planned("AKZQ:SECRET", "zqTOKENzq")[0]).plan
    assert plan.network_options["kwargs"] == {
        "weights": "s3://AKZQ:SECRET@models/w.npz",
        "api_token": "zqTOKENzq",
    }
    kept = plan.network.settings["kwargs"]
    assert kept == {"weights": "s3://***@models/w.npz", "api_token": "***"}
    # So a run goes on with others.
    derive(*planned("AKZQ:SECRET", "zqTOKENzq"))
    (tmp_path / "out/data/part-0000001.parquet").unlink()
    assert derive(*planned("ALZQ:OTHER", "zqNEWzq")).plan == plan.digest
    text = "".join(path.read_text() for path in (tmp_path / "out/run").glob("*.[jy]*"))
    assert not any(secret in text for secret in ("AKZQ", "ALZQ", "zqTOKENzq", "zqNEWzq"))


def test_sizes_follow_from_the_derivatives_of_a_row(configure):
    plan = make_plan(configure("dataset.rows=1000000", *UNTIMED)[0]).plan
    batch = plan.kernel.batch
    bytes_of_row = (8 + 2 * 8 * 10) * 4
    assert batch == 8192
    assert batch * bytes_of_row <= 16 << 20
    assert plan.output.row_group_rows * bytes_of_row <= 32 << 20


@pytest.mark.slow
def test_sizes_count_the_inputs_of_a_row_and_what_is_verified_of_it(configure, tmp_path):
    """3,000 inputs, of which two are differentiated; then the Hessian with respect to all."""
    wide = (
        *("network=python", "network.target=tests.run.networks:norm", "network.n_inputs=3000"),
        *("network.outputs=[y]", "dataset.rows=100000", f"output.path={tmp_path}/out"),
        *("derivatives.method=hyperdual", "derivatives.tile=1", "cluster=inline"),
        "dataset.ranges={" + ", ".join(f"x{i}: [0, 1]" for i in range(1, 3001)) + "}",
    )
    few = make_plan(configure(*wide, "derivatives.wrt=[0,1]")[0]).plan.kernel
    assert few.batch == 1024  # 12 kB each; it was 8,192, 98 MB
    assert few.verify_rows == 4
    whole = make_plan(configure(*wide, "derivatives.outputs=[hessian]")[0]).plan.kernel
    assert whole.batch == 1
    assert whole.verify_rows == 3  # of 72 MB


@pytest.mark.parametrize(("tile", "batch"), [(8, 32), (24, 48), (100, 100)])
def test_small_dataset_has_a_small_batch_of_whole_tiles(tile, batch, configure, tmp_path):
    named = ["derivatives.method=hyperdual", f"derivatives.tile={tile}", f"output.path={tmp_path}"]
    plan = make_plan(configure("dataset.rows=25", *named)[0]).plan
    assert plan.kernel.batch == batch


def test_wrt_by_name_and_by_index_are_the_same_plan(configure):
    named = make_plan(configure(*UNTIMED, "derivatives.wrt=[q,Ati]")[0]).plan
    counted = make_plan(configure(*UNTIMED, "derivatives.wrt=[4,0]")[0]).plan
    assert named.kernel.directions == ("q", "Ati")
    assert named.digest == counted.digest


@pytest.mark.slow
def test_shards_hold_every_row_once(configure):
    planned = make_plan(configure("dataset.rows=1000003", "dataset.limit=999983")[0])
    shards = list(planned.plan.shards())
    assert planned.rows == 999_983
    assert [shard.first_row for shard in shards[1:]] == [
        shard.first_row + shard.rows for shard in shards[:-1]
    ]
    assert sum(shard.rows for shard in shards) == 999_983


@pytest.mark.slow
def test_files_that_differ_in_nullability_are_one_dataset(configure, tmp_path):
    (tmp_path / "in").mkdir()
    strict = pa.schema([pa.field("tag", pa.string(), nullable=False)])
    for name, tag in (("a", pa.table({"tag": ["x"]}, strict)), ("b", pa.table({"tag": ["y"]}))):
        table = pa.table({**{f"x{i}": [1.0] for i in range(1, 6)}})
        if name == "b":
            tag = pa.table({"tag": pa.array([None], pa.string())})
        field = tag.schema.field("tag")
        pq.write_table(table.append_column(field, tag["tag"]), tmp_path / f"in/{name}.parquet")
    manifest = derive(
        *configure(
            *("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/in"),
            *("cluster=inline", f"output.path={tmp_path}/out"),
        )
    )
    assert manifest.rows.derived == 2
    assert pq.read_table(tmp_path / "out/data")["tag"].to_pylist() == ["x", None]


@pytest.mark.parametrize("columns", ["all", "none"])
def test_files_that_hold_their_columns_in_other_types_are_one_dataset(configure, tmp_path, columns):
    (tmp_path / "in").mkdir()
    tags = {"a": ["s", "t"], "b": pa.nulls(2), "c": pa.array([None, "u"], pa.large_string())}
    for name, tag in tags.items():
        inputs = {f"x{i}": [1.0, 2.0] for i in range(2, 6)}
        table = pa.table({"x1": [1, 2] if name == "b" else [0.5, None], **inputs, "tag": tag})
        pq.write_table(table, tmp_path / f"in/{name}.parquet")
    where = ("dataset=parquet", f"dataset.path={tmp_path}/in", f"output.path={tmp_path}/out")
    loose = ("limits.max_bad_fraction=1", f"output.columns={columns}", "cluster=inline")
    manifest = derive(*configure("network=chain", *where, *loose))
    assert (manifest.rows.derived, manifest.rows.quarantined) == (4, {"null": 2})
    data = pq.read_table(tmp_path / "out/data")
    if columns == "all":
        assert data["tag"].to_pylist() == ["s", None, None, None]
        assert data["x1"].to_pylist() == [0.5, 1.0, 2.0, 0.5]
    quarantine = pq.read_table(tmp_path / "out/quarantine")
    assert quarantine["tag"].to_pylist() == ["t", "u"]
    assert audit(str(tmp_path / "out"), None, shards=3, rows=4).findings == []


def test_file_whose_input_is_no_number_is_told_from_one_that_differs_in_another_column(
    configure, tmp_path
):
    (tmp_path / "in").mkdir()
    for name, odd in (("a", {}), ("b", {}), ("c", {"x2": ["one"]}), ("d", {"note": [[1]]})):
        table = pa.table({f"x{i}": [1.0] for i in range(1, 6)} | {"note": ["n"]} | odd)
        pq.write_table(table, tmp_path / f"in/{name}.parquet")
    where = ("network=chain", "dataset=parquet", f"dataset.path={tmp_path}/in", "cluster=inline")
    with pytest.raises(UsageError) as refused:
        make_plan(configure(*where)[0])
    inputs, note = refused.value.problems
    assert "c.parquet: column 'x2' is string, not double, unlike" in inputs
    assert "output.columns" not in inputs
    assert "d.parquet: column 'note' is list<element: int64>, not string, unlike" in note
    assert "output.columns can leave it out" in note
    with pytest.raises(UsageError) as refused:
        make_plan(configure(*where, "output.columns=[x1]")[0])
    assert [*refused.value.problems] == [inputs]
    with pytest.raises(UsageError, match="column 'note' is"):  # which the filter reads
        make_plan(configure(*where, "output.columns=none", "dataset.filter=\"note != 'm'\"")[0])


def _with_texts(configure, folder, texts, *overrides):
    """Plan a dataset of which a column is text, 1,500 rows in a file."""
    (folder / "in").mkdir()
    columns = {f"x{i}": np.ones(len(texts)) for i in range(1, 5)} | {"x5": texts}
    for start in range(0, len(texts), 1500):
        table = pa.table(columns).slice(start, 1500)
        pq.write_table(table, folder / f"in/{start:04d}.parquet", row_group_size=500)
    where = ("dataset=parquet", f"dataset.path={folder}/in", f"output.path={folder}/out")
    return make_plan(configure("network=chain", "cluster=inline", *where, *overrides)[0])


def test_column_of_words_is_refused_before_any_row_is_derived(configure, tmp_path):
    texts = pa.array([f"word {i}" for i in range(3000)]).dictionary_encode()
    with pytest.raises(
        UsageError, match=r"none of .* values .* is the text 'word 0'.*x5: <column>"
    ):
        _with_texts(configure, tmp_path, texts)


@pytest.mark.parametrize(
    ("texts", "overrides"),
    [
        (["n/a"] * 2900 + ["1.5"] * 100, []),  # numbers written as text, where they are at all
        ([None] * 10, []),  # of which nothing is known
        (["n/a"] * 10, ["limits.max_bad_fraction=1"]),  # asked for
        (["n/a"] * 500 + ["1"] * 10, ["dataset.filter=\"x5 != 'n/a'\""]),
    ],
)
def test_column_of_text_that_may_hold_numbers_is_planned(texts, overrides, configure, tmp_path):
    planned = _with_texts(configure, tmp_path, pa.array(texts, pa.string()), *overrides)
    assert planned.rows == len(texts)

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.messages.errors import UsageError

TABLE = pa.table({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]})


@pytest.fixture
def put(tmp_path):
    def written(name, table=TABLE, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
        return path

    return written


def _names(listing, folder):
    return [file.path.removeprefix(f"{folder}/") for file in listing.files]


def test_list_file_gives_size_time_and_row_groups(put):
    path = put("rows.parquet", row_group_size=2)
    listing = list_parquet(str(path))
    (file,) = listing.files
    status = path.stat()
    assert file[:4] == (str(path), status.st_size, status.st_mtime_ns, (2, 1))
    assert listing.schema == TABLE.schema
    assert (listing.bad_files, listing.partition_keys) == ((), ())


@pytest.mark.parametrize("name", ["rows.dat", "_rows.parquet", "rows"])
def test_list_file_of_any_name_is_read(put, name):
    path = put(name)
    assert len(list_parquet(str(path)).files) == 1


def test_list_folder_goes_into_folders_in_order_and_leaves_what_is_no_data(put, tmp_path):
    for name in ("b.parquet", "a/z.pq", "a/deep/c.parquet", "c.parq"):
        put(name)
    for name in ("_x.parquet", ".x.parquet", "_tmp/a.parquet", ".git/a.parquet", "a/_t/b.parquet"):
        put(name)
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / "_SUCCESS").touch()
    listing = list_parquet(str(tmp_path))
    assert _names(listing, tmp_path) == ["a/deep/c.parquet", "a/z.pq", "b.parquet", "c.parq"]
    assert listing.bad_files == ()


def test_list_folder_inside_a_hidden_one_is_read(put, tmp_path):
    put(".cache/_data/a.parquet")
    assert len(list_parquet(str(tmp_path / ".cache/_data")).files) == 1


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.parquet", ["a1.parquet", "a2.parquet", "b[1].parquet"]),
        ("a?.parquet", ["a1.parquet", "a2.parquet"]),
        ("a[2-9].*", ["a2.parquet"]),
        ("*/*.parquet", ["in/a3.parquet"]),
        ("**/a*.parquet", ["a1.parquet", "a2.parquet", "in/a3.parquet", "in/on/a4.parquet"]),
        ("in/**", ["in/a3.parquet", "in/on/a4.parquet"]),
        ("*/on/*", ["in/on/a4.parquet"]),
        ("b[1].parquet", ["b[1].parquet"]),
    ],
)
def test_list_glob_gives_the_files_that_match(put, tmp_path, pattern, names):
    for name in ("a1", "a2", "b[1]", "in/a3", "in/on/a4", "_hidden/a5", "in/.hidden"):
        put(f"{name}.parquet")
    assert _names(list_parquet(f"{tmp_path}/{pattern}"), tmp_path) == names


@pytest.mark.parametrize("keys", [("year", "site"), ("y", "s"), ("a b", "site%3D")])
def test_list_hive_tree_agrees_with_pyarrows_own_reader(tmp_path, keys):
    table = pa.table(
        {
            "v": [1.0, 2.0, 3.0],
            keys[0]: pa.array([2023, 2024, 2024], pa.int32()),
            keys[1]: ["a/b", "ü =&%", "x"],
        }
    )
    pq.write_to_dataset(table, tmp_path, partition_cols=list(keys))
    reference = ds.dataset(tmp_path, partitioning="hive")
    listing = list_parquet(str(tmp_path))
    assert [file.path for file in listing.files] == sorted(reference.files)
    assert set(listing.partition_keys) == set(reference.schema.names) - {"v"}
    assert {f.name: f.type for f in listing.schema} == {f.name: f.type for f in reference.schema}


def test_list_hive_key_that_the_files_hold_is_the_files_column(put, tmp_path):
    put("a=7/rows.parquet")
    listing = list_parquet(str(tmp_path))
    assert listing.partition_keys == ()
    assert listing.schema.field("a").type == pa.float64()


def test_list_hive_key_that_one_odd_file_holds_stays_a_key_of_the_others(put, tmp_path):
    put("year=1/rows.parquet", TABLE.append_column("year", pa.array([1, 1, 1])))
    for year in (2, 3):
        put(f"year={year}/rows.parquet")
    listing = list_parquet(str(tmp_path))
    assert listing.partition_keys == ("year",)
    assert listing.schema.names == ["a", "b", "year"]
    assert [file.path for file in listing.bad_files] == [f"{tmp_path}/year=1/rows.parquet"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["01234", "90210"], pa.string()),
        (["1", "02"], pa.string()),
        (["+1", "2"], pa.string()),
        (["1_0", "2"], pa.string()),
        (["12", "-3", "0"], pa.int32()),
        (["12", "__HIVE_DEFAULT_PARTITION__"], pa.int32()),
    ],
)
def test_list_hive_key_is_a_number_where_all_values_are_written_as_numbers_are(
    put, tmp_path, values, kind
):
    for value in values:
        put(f"zip={value}/rows.parquet")
    listing = list_parquet(str(tmp_path))
    assert listing.schema.field("zip").type == kind
    # What was text in an earlier run stays text, and is no other plan.
    before = listing.schema.set(2, pa.field("zip", pa.string()))
    assert list_parquet(str(tmp_path), before=before).schema.equals(before)


def test_list_equals_sign_above_the_dataset_is_no_key(put, tmp_path):
    put("run=3/data/rows.parquet")
    assert list_parquet(str(tmp_path / "run=3/data")).partition_keys == ()


def test_list_one_file_of_a_hive_tree_has_no_keys_from_above_the_path(put):
    assert list_parquet(str(put("year=2024/rows.parquet"))).schema.names == ["a", "b"]


def test_list_hive_tree_by_glob_has_its_keys(put, tmp_path):
    for year in (2023, 2024):
        put(f"year={year}/rows.parquet")
    listing = list_parquet(f"{tmp_path}/year=*/*.parquet")
    assert listing.partition_keys == ("year",)
    assert listing.schema.field("year").type == pa.int32()


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "no Parquet file"), ("gone", "nothing at"), ("*.parquet", "no file matches")],
)
def test_list_path_without_data_is_refused(tmp_path, name, message):
    (tmp_path / "notes.txt").write_text("no data")
    with pytest.raises(UsageError, match=message) as caught:
        list_parquet(f"{tmp_path}/{name}".rstrip("/"))
    assert str(tmp_path) in str(caught.value)


def test_list_glob_below_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"dataset\.path: cannot list .*/gone/\*\.parquet"):
        list_parquet(f"{tmp_path}/gone/*.parquet")


def test_list_broken_files_are_bad_files_with_a_reason_of_one_line(put, tmp_path):
    whole = put("b_good.parquet").read_bytes()
    (tmp_path / "a_zero.parquet").touch()
    (tmp_path / "c_cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "d_text.parquet").write_bytes(b"not Parquet at all " * 50)
    spoiled = bytearray(whole)
    spoiled[-60:-8] = b"\xff" * 52
    (tmp_path / "e_footer.parquet").write_bytes(spoiled)
    listing = list_parquet(str(tmp_path))
    assert _names(listing, tmp_path) == ["b_good.parquet"]
    bad = {file.path.removeprefix(f"{tmp_path}/")[0]: file.reason for file in listing.bad_files}
    assert list(bad) == ["a", "c", "d", "e"]
    assert all(reason and "\n" not in reason for reason in bad.values())


def test_list_nothing_but_broken_files_is_refused_with_the_reason(tmp_path):
    (tmp_path / "zero.parquet").touch()
    with pytest.raises(UsageError, match=r"no file can be read: .*zero\.parquet: .*0"):
        list_parquet(str(tmp_path))


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (pa.table({"a": [1.0]}), "has no column 'b', unlike"),
        (pa.table({"a": ["1"], "b": ["x"]}), "column 'a' is string, not double, unlike"),
        (TABLE.append_column("c", pa.array([1, 2, 3])), "has an extra column 'c', unlike"),
        (TABLE.append_column("a", pa.array([1.0] * 3)), "a"),
    ],
)
@pytest.mark.parametrize("place", ["0_first", "9_last"])
def test_list_file_unlike_most_is_a_bad_file_with_the_difference(put, tmp_path, odd, reason, place):
    put(f"{place}.parquet", odd)
    put("1.parquet")
    put("2.parquet", TABLE.select(["b", "a"]))
    listing = list_parquet(str(tmp_path))
    assert _names(listing, tmp_path) == ["1.parquet", "2.parquet"]
    (bad,) = listing.bad_files
    assert bad.path.endswith(f"{place}.parquet")
    assert reason in bad.reason


def test_list_duplicate_column_names_everywhere_are_refused(put, tmp_path):
    put("1.parquet", pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], ["a", "a"]))
    try:
        reason = list_parquet(str(tmp_path)).bad_files[0].reason
    except UsageError as error:
        reason = str(error)
    assert "same name" in reason


def test_list_hive_key_that_begins_with_an_underscore_is_a_key(put, tmp_path):
    for year in (2024, 2025):
        put(f"_year={year}/rows.PARQUET")
    (tmp_path / "latest").symlink_to("_year=2025")
    listing = list_parquet(str(tmp_path))
    assert _names(listing, tmp_path) == ["_year=2024/rows.PARQUET", "_year=2025/rows.PARQUET"]
    assert listing.partition_keys == ("_year",)
    assert listing.schema.field("_year").type == pa.int32()

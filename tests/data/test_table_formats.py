import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.messages.errors import UsageError

# What a writer leaves in the folder of a table, beside the data.
METADATA = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Iceberg": "metadata/00000-5f8f.metadata.json",
    "Hudi": ".hoodie/hoodie.properties",
    "Paimon": "snapshot/snapshot-1",
}


def _put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"a": [1.0]}), path)


@pytest.fixture(params=METADATA)
def table(tmp_path, request):
    """A partitioned table of a format in a folder beside plain files."""
    for name in ("lake/rows/day=1/part-0.parquet", "lake/plain/b.parquet"):
        _put(tmp_path / name)
    place = tmp_path / "lake/rows" / METADATA[request.param]
    place.parent.mkdir()
    place.write_text("{}")
    return tmp_path / "lake/rows", request.param


@pytest.mark.parametrize(
    "below", ["", "/day=1", "/day=1/part-0.parquet", "/*/*.parquet", "/..", "/../**/*.parquet"]
)
def test_table_or_a_part_of_it_is_refused_by_name_and_with_what_to_do(table, below):
    folder, name = table
    with pytest.raises(UsageError, match=rf"rows is an? {name} table.*live rows to plain"):
        list_parquet(f"{folder}{below}")


def test_table_that_a_link_leads_into_is_refused(table, tmp_path):
    folder, name = table
    (tmp_path / "link").symlink_to(folder / "day=1")
    with pytest.raises(UsageError, match=f"{name} table"):
        list_parquet(str(tmp_path / "link"))


@pytest.mark.parametrize("linked", ["day=1", "day=1/part-0.parquet"])
def test_dataset_with_a_link_into_a_table_is_refused(table, tmp_path, linked):
    folder, name = table
    _put(tmp_path / "in/a.parquet")
    (tmp_path / "in/b.parquet").symlink_to(folder / linked)
    with pytest.raises(UsageError, match=f"rows is an? {name} table"):
        list_parquet(str(tmp_path / "in"))


@pytest.mark.parametrize("below", ["/../plain", "/../pla*/*.parquet", "/../*/b.parquet"])
def test_plain_files_beside_a_table_are_read(table, below):
    (file,) = list_parquet(f"{table[0]}{below}").files
    assert file.path.endswith("plain/b.parquet")


@pytest.mark.parametrize(
    "name", ["metadata/notes.json", "metadata/b.parquet", "snapshot/old.parquet", "_delta/0.json"]
)
def test_folder_that_is_called_like_a_tables_is_read(tmp_path, name):
    _put(tmp_path / "a.parquet")
    _put(tmp_path / name)
    assert list_parquet(str(tmp_path)).files

import json

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import hyperdiag
from hyperdiag.data.filesystem import Place, resolve
from hyperdiag.messages.errors import InputError, UsageError
from hyperdiag.run.output import reader
from tests.run.book import Book


@pytest.fixture
def book(tmp_path, configure):
    book = Book(tmp_path, configure)
    for name in "ab":
        book.write(name, 4, bad=1)
    return book


def _numbers(book, **options):
    return sorted(hyperdiag.read(str(book.out), **options)["number"].to_pylist())


def test_rows_columns_and_filter_are_those_of_the_files(book):
    book.derive()
    whole = hyperdiag.read(str(book.out))
    assert whole.sort_by("number") == pq.read_table(book.out / "data").sort_by("number")
    assert _numbers(book) == [1, 2, 3, 5, 6, 7]
    assert _numbers(book, columns=["number"], filter=pc.field("number") > 4) == [5, 6, 7]
    assert [path.rpartition("/")[2] for path in hyperdiag.files(str(book.out))] == sorted(
        path.name for path in (book.out / "data").iterdir()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"columns": ["a", "nothing"]},
            r"^no column 'nothing' \(there are: number, a, b, u, v, .*",
        ),
        ({"columns": ["d_u__d_aa"]}, r"^no column 'd_u__d_aa' \(closest: 'd_u__d_a'\)$"),
        ({"filter": pc.field("numbr") > 4}, r"\(numbr > 4\): no column 'numbr' .*'number'\)$"),
        ({"filter": pc.field("number") > "x"}, r"^filter \(number > \"x\"\): .*int64"),
        ({"filter": "number > 4"}, r"^filter number > 4: .*Expression"),
        ({"filter": pc.field("number")}, r"^filter number: .*must evaluate to bool"),
    ],
)
def test_columns_and_filters_that_cannot_be_are_said_with_their_names(book, options, said):
    book.derive()
    with pytest.raises(UsageError, match=said):
        hyperdiag.read(str(book.out), **options)
    if "filter" in options:
        with pytest.raises(UsageError, match=said):
            next(hyperdiag.Output(book.out).batches(**options))
        with pytest.raises(UsageError, match=said):
            hyperdiag.Output(book.out).arrays("value", **options)


def test_what_is_not_published_is_not_read(book, tmp_path):
    with pytest.raises(UsageError, match="nothing is published in"):
        hyperdiag.read(f"{tmp_path}/none")
    book.derive()
    (book.out / "data/part-0000000.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="part-0000000"):
        hyperdiag.read(str(book.out))


def test_output_of_an_earlier_release_is_its_folder_of_data(book):
    book.derive()
    for path in (book.out / "run/current").iterdir():
        path.unlink()
    assert _numbers(book) == [1, 2, 3, 5, 6, 7]
    book.write("c", 2)
    book.update()
    assert _numbers(book) == [1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.slow
def test_output_that_changes_while_it_is_read_is_read_again(book, monkeypatch):
    book.derive()
    table = reader._table
    times = []

    def updated_meanwhile(*arguments):
        if len(times) < 2:
            times.append(book.write("a", 2 + len(times)))
            book.update()
        return table(*arguments)

    monkeypatch.setattr(reader, "_table", updated_meanwhile)
    assert _numbers(book) == [5, 6, 7, 10, 11, 12]

    def always(*arguments):
        book.write("a", 3)
        book.update()
        return table(*arguments)

    monkeypatch.setattr(reader, "_table", always)
    monkeypatch.setattr(reader, "_TRIES", 2)
    with pytest.raises(InputError, match="changed 2 times while it was read"):
        hyperdiag.read(str(book.out))


@pytest.mark.parametrize(
    "output",
    [
        "abfs://book@account.dfs.core.windows.net/out?sv=1&sig=a",
        "abfs://account@127.0.0.1:10000/book/out?enable_tls=false&sig=a",
        "gs://anonymous@book/out",
    ],
)
def test_uri_of_a_file_in_a_store_is_of_the_same_account_and_bucket_without_credentials(output):
    place = resolve(output)
    uri = reader._uri_of_bucket(place, "book") + "/out/data/x"
    assert resolve(uri).path == "book/out/data/x"
    assert place.contains(resolve(uri))
    assert "sig" not in uri


def test_output_whose_success_goes_while_it_is_looked_at_is_looked_at_again(book, monkeypatch):
    book.derive()
    read_bytes, left = Place.read_bytes, [2]

    def goes(place):
        if place.path.endswith("/_SUCCESS") and left[0]:
            left[0] -= 1
            place = place._replace(path=f"{place.path}.gone")
        return read_bytes(place)

    monkeypatch.setattr(Place, "read_bytes", goes)
    monkeypatch.setattr(reader, "_PAUSES", (0.0, 0.0))
    assert _numbers(book) == [1, 2, 3, 5, 6, 7]
    left[0] = 3
    with pytest.raises(UsageError, match=r"cannot read .*_SUCCESS"):
        _numbers(book)


def test_listing_is_a_table_that_any_reader_takes(book):
    manifest = book.derive()
    listing = pq.read_table(book.out / f"run/listing-{manifest.plan}.parquet")
    assert listing.schema.names == ["shard", "data", "bytes", "quarantine"]
    sizes = [(book.out / path).stat().st_size for path in listing["data"].to_pylist()]
    assert listing["bytes"].to_pylist() == sizes
    quarantine = [path for path in listing["quarantine"].to_pylist() if path]
    names = sorted(path.name for path in (book.out / "quarantine").iterdir())
    assert quarantine == [f"quarantine/{name}" for name in names]
    newest = max((book.out / "run/current").iterdir())
    assert json.loads(newest.read_text())["published"]["plan"] == manifest.plan

"""What a place in a store answers, through a network that fails."""

import threading
import time

import pytest

from hyperdiag.data.filesystem import resolve
from hyperdiag.data.object_store.tries import is_passing, patience, without_tries
from hyperdiag.data.parquet_listing import list_parquet
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .conftest import KEY, SECRET

FAULTS = [
    ("answer", {}),
    ("answer", {"status": 500}),
    ("reset", {}),
    ("hang", {}),
    ("cut_answer", {"after": 100_000}),
]
NAMES = ["503", "500", "reset", "hang", "cut answer"]


@pytest.mark.parametrize(("kind", "how"), FAULTS, ids=NAMES)
def test_read_through_a_passing_fault_is_whole(store, proxy, kind, how):
    content = bytes(range(256)) * 1000
    store.put("a", content)
    times = 1 if kind == "hang" else 3
    with proxy.fault(kind, method="GET", times=times, **how):
        assert resolve(store.uri("a")).read_bytes() == content
    assert proxy.count(kind) == times


def test_refused_connections_are_tried_for_a_while_and_then_said(store, proxy):
    store.put("a", b"content")
    with proxy.refusing():
        mend = threading.Timer(0.5, proxy.up)
        mend.start()
        assert resolve(store.uri("a")).exists()
        mend.join()
    began = time.monotonic()
    with (
        proxy.refusing(),
        pytest.raises(UsageError, match=f"cannot look at s3://{store.bucket}/a: .*NETWORK_CONN"),
    ):
        resolve(store.uri("a", max_attempts=4)).info()
    assert time.monotonic() - began < 5


def test_retries_do_not_run_out_over_a_long_run(store, proxy):
    store.put("a", b"content")
    place = resolve(store.uri("a"))
    for _ in range(120):  # the SDK's standard strategy has tokens for a hundred in all
        with proxy.fault("answer", times=1):
            assert place.info().size == 7


@pytest.mark.parametrize("where", ["environment", "URI"])
def test_credentials_from_environment_or_uri_sign_the_requests(store, proxy, monkeypatch, where):
    if where == "URI":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    proxy.access_keys = (f"Credential={KEY}/",)
    store.put("a", b"content")
    assert resolve(store.uri("a", user=f"{KEY}:{SECRET}@" if where == "URI" else "")).exists()
    proxy.access_keys = ("another",)
    with pytest.raises(UsageError, match="ACCESS_DENIED"):
        resolve(store.uri("a")).exists()


@pytest.mark.parametrize("name", ["max_attempts", "connect_timeout", "request_timeout"])
@pytest.mark.parametrize("value", ["many", "0", "-1", "nan", "inf", ""])
def test_option_that_is_no_number_is_refused_by_name(store, name, value):
    with pytest.raises(UsageError, match=f"{name} in an s3:// URI must be a positive number"):
        resolve(store.uri("a", **{name: value}))


@pytest.mark.parametrize("path", ["a", "a b", "a[0]"])
def test_uri_that_cannot_be_opened_is_refused_without_its_secret(store, path):
    with pytest.raises(UsageError, match="cannot open") as caught:
        resolve(store.uri(path, user=f"{KEY}:{SECRET}@", regoin="x"))
    assert SECRET not in str(caught.value)
    assert SECRET not in masked(store.uri(path, user=f"{KEY}:{SECRET}@"))


def test_option_that_pyarrow_takes_from_a_uri_alone_excludes_ours(store):
    store.put("a", b"content")
    plain = store.uri("a").replace("&max_attempts=6&request_timeout=1", "")
    assert resolve(f"{plain}&tls_verify_certificates=false").exists()
    with pytest.raises(UsageError, match="max_attempts or tls_verify_certificates, not both"):
        resolve(store.uri("a", tls_verify_certificates="false"))


def test_path_with_a_space_and_a_percent_is_quoted_in_the_uri(store):
    store.put("a b/100%", b"content")
    assert resolve(store.uri("a%20b/100%25")).exists()


def test_errors_that_may_pass_are_told_from_those_that_stay(store, proxy):
    store.put("a", b"content")
    place = resolve(store.uri("a", max_attempts=1))

    def error():
        with pytest.raises(OSError) as caught:
            place.filesystem.open_input_file(place.path)
        return caught.value

    for kind, how in (("answer", {}), ("reset", {}), ("hang", {})):
        with proxy.fault(kind, **how):
            assert is_passing(error())
    with proxy.fault("answer", status=403):
        assert not is_passing(error())
    store.client.delete_object(Bucket=store.bucket, Key="a")
    assert not is_passing(error())


@pytest.mark.parametrize(
    ("message", "passing"),
    [
        ("GetProperties failed for 'u'. Azure Error: [ServerBusy] 503 Service Unavailable", True),
        ("ListBlobs failed. Azure Error: [] 500 Internal Server Error", True),
        ("Azure Error: [BlobNotFound] 404 The specified blob does not exist", False),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted", True),
        ("google::cloud::Status(NOT_FOUND: Permanent error", False),
    ],
)
def test_errors_of_other_stores_are_passing_as_their_clients_word_them(message, passing):
    assert is_passing(OSError(message)) == passing


def test_listing_of_many_pages_has_every_file(store, proxy, table):
    proxy.page = 2
    names = [f"{number}.parquet" for number in range(7)]
    for name in names:
        store.put(f"in/{name}", table)
    files = list_parquet(store.uri("in")).files
    assert [file.path for file in files] == [f"{store.bucket}/in/{name}" for name in names]
    assert sum("continuation-token" in path for _, path, _ in proxy.requests) == 3


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in", ["book=a/1", "book=b/1", "book=b/2"]),
        ("in/*/1.parquet", ["book=a/1", "book=b/1"]),
        ("in/book=b/*", ["book=b/1", "book=b/2"]),
        ("in/**/2.parquet", ["book=b/2"]),
        ("in/book=b/2.parquet", ["book=b/2"]),
    ],
)
def test_folder_glob_and_file_are_listed_as_on_a_local_disk(store, table, pattern, expected):
    for name in ("book=a/1", "book=b/1", "book=b/2", "_hidden/3"):
        store.put(f"in/{name}.parquet", table)
    listing = list_parquet(store.uri(pattern))
    paths = [file.path.removeprefix(f"{store.bucket}/in/") for file in listing.files]
    assert paths == [f"{name}.parquet" for name in expected]
    partitioned = pattern in ("in", "in/*/1.parquet", "in/**/2.parquet")
    assert list(listing.partition_keys) == (["book"] if partitioned else [])


@pytest.mark.parametrize("path", ["gone", "gone/x.parquet", "gone/*.parquet"])
def test_dataset_that_is_not_there_is_said_at_once(store, path):
    store.put("other", b"")
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"dataset\.path") as caught:
        list_parquet(store.uri(path, user=f"{KEY}:{SECRET}@"))
    assert SECRET not in str(caught.value)
    assert time.monotonic() - began < 5


def test_footers_that_the_store_does_not_give_are_no_bad_files(store, proxy, table):
    for name in "ab":
        store.put(f"in/{name}.parquet", table)
    with (
        proxy.fault("answer", method="HEAD", path=r"in/b\."),
        pytest.raises(UsageError, match=r"cannot read .*in/b\.parquet: .*HTTP status 503"),
    ):
        list_parquet(store.uri("in", max_attempts=1))
    store.put("in/b.parquet", b"PAR1 torn PAR1")
    listing = list_parquet(store.uri("in"))
    assert [file.path[-9:] for file in listing.bad_files] == ["b.parquet"]


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("s3://b/in?max_attempts=3&region=x&request_timeout=9", "s3://b/in?region=x"),
        ("s3://b/in?connect_timeout=3", "s3://b/in"),
        ("s3://b/in", "s3://b/in"),
        ("/local/what?.parquet", "/local/what?.parquet"),
    ],
)
def test_how_long_a_store_is_tried_is_no_part_of_where_it_is(uri, wanted):
    assert without_tries(uri) == wanted


def test_patience_with_a_store_is_what_its_tries_may_take(store):
    assert patience("/out") == patience("gs://bucket/out") == 0
    # Ten tries of five seconds to connect and twenty to answer, and half a minute between them.
    assert patience("s3://bucket/out?region=x") == pytest.approx(250 + 25.55)
    tries = "max_attempts=2&connect_timeout=1&request_timeout=0.5"
    assert patience(f"s3://bucket/out?{tries}") == pytest.approx(2 * 1.5 + 0.05)
    assert patience("s3://bucket/out?max_attempts=5000") > 1e9

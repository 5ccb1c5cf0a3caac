"""Uploads appear whole or not at all, whatever goes wrong on the way."""

import gc
import io
import os
import signal
import subprocess
import sys
import time

import pytest

from hyperdiag.data.filesystem import resolve, write_whole
from hyperdiag.data.object_store.upload import upload
from hyperdiag.data.output_folder import write_file
from hyperdiag.messages.errors import OutputError

LARGE = os.urandom(25 << 20)  # three parts
SMALL = LARGE[:100_000]


def _upload(uri, content):
    place = resolve(uri)
    upload(place.filesystem, place.path, io.BytesIO(content))


def _requests(proxy, method):
    return [path for found, path, _ in proxy.requests if found == method]


def test_upload_of_a_small_file_is_one_request(store, proxy):
    _upload(store.uri("a/b"), SMALL)
    assert [(method, path) for method, path, _ in proxy.requests] == [
        ("PUT", f"/{store.bucket}/a/b")
    ]
    assert store.objects() == {"a/b": SMALL}


def test_upload_of_a_large_file_is_completed_last(store, proxy):
    _upload(store.uri("a"), LARGE)
    assert len(_requests(proxy, "PUT")) == 3
    assert proxy.requests[-1][0] == "POST"
    assert store.objects() == {"a": LARGE}


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_write_whole_replaces_and_leaves_no_scratch(store, content):
    place = resolve(store.uri("a"))
    for each in (b"before", content):
        write_whole(place, each, resolve(store.uri("scratch")))
    assert store.objects() == {"a": content}
    assert place.read_bytes() == content


@pytest.mark.one_in(4)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("answer", {"status": 503}),
        ("answer", {"status": 500}),
        ("reset", {}),
        ("cut_request", {"after": 70_000}),
    ],
    ids=["503", "500", "reset", "cut request"],
)
def test_upload_through_a_passing_fault_is_whole(store, proxy, content, kind, how):
    with proxy.fault(kind, method="PUT", times=3, **how):
        _upload(store.uri("a"), content)
    assert proxy.count(kind) == 3
    assert store.objects() == {"a": content}


def test_upload_whose_answer_is_lost_is_done_again(store, proxy):
    with proxy.fault("lose_answer", method="PUT", times=2):
        _upload(store.uri("a"), SMALL)
    assert [kind for _, _, kind in proxy.requests] == ["lose_answer", "lose_answer", None]
    assert store.objects() == {"a": SMALL}


@pytest.mark.slow
def test_upload_without_an_answer_is_tried_again(store, proxy):
    with proxy.fault("hang", method="PUT", times=1):
        _upload(store.uri("a"), SMALL)
    assert store.objects() == {"a": SMALL}


@pytest.mark.one_in(8)
@pytest.mark.parametrize("path", ["uploads", "partNumber=2", "partNumber=3", r"\?uploadId="])
def test_upload_that_fails_is_never_completed(store, proxy, path):
    store.put("a", b"before")
    with proxy.fault("answer", method="P.*", path=path), pytest.raises(OSError, match="AWS Error"):
        _upload(store.uri("a", max_attempts=1), LARGE)
    gc.collect()  # streams that nobody holds are closed, which completes them
    _upload(store.uri("b"), b"the store is well again")
    assert store.get("a") == b"before"


class _Failing(io.BytesIO):
    """A file whose second piece cannot be read."""

    def read(self, size=-1):
        if self.tell():
            raise OSError("the disk is broken")
        return super().read(size)


def test_upload_of_a_file_that_cannot_be_read_to_its_end_is_never_completed(store):
    place = resolve(store.uri("a"))
    with pytest.raises(OSError, match="disk is broken"):
        upload(place.filesystem, place.path, _Failing(LARGE))
    gc.collect()
    assert store.objects() == {}


@pytest.mark.one_in(9)
@pytest.mark.parametrize("step", ["uploads", "partNumber=2", None])
def test_upload_given_up_is_not_completed_by_the_end_of_the_process(store, proxy, step):
    script = (
        "import sys, io\n"
        "from hyperdiag.data.filesystem import resolve\n"
        "from hyperdiag.data.object_store.upload import upload\n"
        "from tests.store.test_upload import LARGE, _Failing\n"
        "place = resolve(sys.argv[1])\n"
        f"upload(place.filesystem, place.path, {'io.BytesIO' if step else '_Failing'}(LARGE))\n"
    )
    if step:
        proxy.add("answer", method="P.*", path=step, times=2)
    done = subprocess.run(
        [sys.executable, "-c", script, store.uri("a", max_attempts=1)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1, done.stderr
    assert ("AWS Error" if step else "disk is broken") in done.stderr
    assert store.objects() == {}


def test_process_killed_in_an_upload_leaves_nothing_to_see(store, proxy):
    script = (
        "import sys\n"
        "from tests.store.test_upload import LARGE, _upload\n"
        "_upload(sys.argv[1], LARGE)\n"
    )
    with proxy.fault("hang", path="partNumber=3"):
        process = subprocess.Popen([sys.executable, "-c", script, store.uri("a")])
        _wait_until(lambda: proxy.count("hang"))
        process.kill()
        process.wait(10)
    assert store.objects() == {}


def _wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


class _Interrupted(BaseException):
    pass


def test_signal_in_an_upload_leaves_it_whole_or_absent(store, proxy):
    def interrupt(number, frame):
        raise _Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with proxy.fault("delay", path="partNumber=2", seconds=0.5) as fault:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(_Interrupted):
                _upload(store.uri("a"), LARGE)
            assert store.objects() == {}
            proxy.mend(fault)
            _wait_until(store.objects)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert store.objects() == {"a": LARGE}


def test_file_that_is_refused_is_an_output_error_that_names_the_object_and_the_mend(store, proxy):
    proxy.access_keys = ("another",)
    said = f"cannot write s3://{store.bucket}/a/b: .*INVALID_ACC.*Mend the credentials"
    with pytest.raises(OutputError, match=said):
        write_file(resolve(store.uri("a")), "b", b"content")

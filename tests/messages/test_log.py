import datetime
import io
import json
import logging

import pytest

from hyperdiag.messages.log import LogConfig, about, is_json, name_run, set_up

LOG = logging.getLogger("hyperdiag")


@pytest.fixture
def logged(monkeypatch):
    """Set logging up, and return what reads back what was logged."""
    before = LOG.handlers, LOG.level, LOG.propagate

    def start(**config):
        set_up(LogConfig(**config))
        stream = io.StringIO()
        (handler,) = LOG.handlers
        handler.setStream(stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    LOG.handlers, LOG.propagate = before[0], before[2]
    LOG.setLevel(before[1])


def test_json_line_says_when_what_and_about_which_run_and_shard(logged, monkeypatch):
    read = logged(format="json")
    assert is_json()
    name_run("0123456789abcdef")
    LOG.warning("shard %d failed", 3, extra=about(shard=3, node="ab", quarantined={"nan": 2}))
    (line,) = map(json.loads, read())
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(line.pop("time"))
    assert abs(age.total_seconds()) < 10
    assert line == {
        "level": "warning",
        "message": "shard 3 failed",
        "run": "0123456789abcdef",
        "shard": 3,
        "node": "ab",
        "quarantined": {"nan": 2},
    }


def test_json_line_holds_a_whole_traceback_and_no_credentials(logged):
    read = logged(format="json")
    try:
        raise OSError("cannot open s3://AK:SE@bucket/x")
    except OSError:
        LOG.exception("a fault with\nlines", extra=about(uri="s3://AK:SE@b/x?secret_key=T"))
    (line,) = map(json.loads, read())
    assert "OSError" in line["traceback"]
    assert line["uri"] == "s3://***@b/x?secret_key=***"
    assert "AK" not in json.dumps(line)


def test_text_has_the_time_but_for_last_words_and_no_credentials(logged):
    read = logged(format="text")
    assert not is_json()
    LOG.debug("of each shard")
    LOG.info("to s3://AK:SE@bucket/x", extra=about(shard=3))
    LOG.error("stopped")
    first, last = read()
    assert first[2] + first[5] == "::"
    assert first[8:] == " to s3://***@bucket/x"
    assert last == "hyperdiag: stopped"


@pytest.mark.parametrize(("config", "lines"), [({"format": "json"}, 3), ({"level": "warning"}, 1)])
def test_level_is_as_configured_or_suits_the_reader(logged, config, lines):
    read = logged(**config)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        LOG.log(level, "x")
    assert len(read()) == lines

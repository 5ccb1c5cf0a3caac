import json
import sys
from datetime import UTC, datetime

import pytest

from hyperdiag.data.object_store.amazon_keys import amazon_keys

KEYS = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Amazon's two files, none of them there yet."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def _given():
    keys = amazon_keys()()
    return keys["access_key_id"], keys["secret_access_key"], keys["token"]


def test_keys_are_those_of_the_profile_unless_the_environment_has_some(files, monkeypatch):
    assert amazon_keys() is None
    (files / "credentials").write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n"
    )
    (files / "config").write_text(
        "[default]\nregion = x\naws_session_token = of another pair\n"
        "[profile other]\naws_access_key_id = d\n"
        "aws_secret_access_key = e\naws_session_token = f\n"
    )
    assert _given() == ("a", "b%c", None)
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert _given() == ("d", "e", "f")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "g")
    assert amazon_keys() is None


@pytest.mark.parametrize("expiration", ["2026-12-01T10:00:00Z", "2026-12-01T10:00:00"])
def test_command_of_a_profile_is_asked_for_keys(files, monkeypatch, expiration):
    answer = {**KEYS, "Expiration": expiration}
    (files / "answer.json").write_text(json.dumps(answer))
    program = f"print(open({str(files / 'answer.json')!r}).read())"
    (files / "config").write_text(
        f'[profile mine]\ncredential_process = {sys.executable} -c "{program}"\n'
    )
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert amazon_keys()() == {
        "access_key_id": "a",
        "secret_access_key": "b",
        "token": "c",
        "expires_at": datetime(2026, 12, 1, 10, tzinfo=UTC),
    }


def test_profile_that_people_sign_in_for_is_asked_for_by_amazons_own_command(files, monkeypatch):
    (files / "config").write_text("[default]\nsso_session = s\n")
    command = files / "aws"
    command.write_text(f"#!/bin/sh\necho \"$@\" > {files}/asked\necho '{json.dumps(KEYS)}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(files))
    keys = amazon_keys()()
    assert (keys["access_key_id"], keys["expires_at"]) == ("a", None)
    wanted = "configure export-credentials --format process --profile default\n"
    assert (files / "asked").read_text() == wanted


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("/nowhere/keys", "No such file"),
        ("sh -c 'echo expired >&2; exit 3'", "expired"),
        ("sh -c 'echo usage: >&2; echo what is wrong >&2; exit 2'", "what is wrong"),
        ("echo {}", "not what Amazon defines"),
        ("echo null", "not what Amazon defines"),
        ("echo hello", "not what Amazon defines"),
        ("echo 'hello", "No closing quotation"),
    ],
)
def test_command_that_gives_no_keys_is_named_with_the_mend(files, command, cause):
    (files / "config").write_text(f"[default]\ncredential_process = {command}\n")
    with pytest.raises(OSError, match=f"AWS profile default: .*{cause}.*sign in again, or set AWS"):
        amazon_keys()()

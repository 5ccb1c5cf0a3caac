import time

import pytest

from hyperdiag.messages.masking import (
    is_secret,
    masked,
    masked_errors,
    masked_text,
    masked_values,
    register_credentials,
)
from hyperdiag.messages.secrets import register_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open s3://AK:SE/C+R=@bucket/x: no", "cannot open s3://***@bucket/x: no"),
        ("from s3://AK:S@b/x to s3://AL:T@c/y", "from s3://***@b/x to s3://***@c/y"),
        ("'s3://b/x?region=r&secret_key=SE%2F&x=1'", "'s3://b/x?region=r&secret_key=***&x=1'"),
        ("output.path=s3://TOKEN@b/x", "output.path=s3://***@b/x"),
        ("at abfs://book@a.dfs.core.windows.net/x", "at abfs://book@a.dfs.core.windows.net/x"),
        ("at abfss://a:KEY@h/book/x", "at abfss://***@h/book/x"),
        ("at gs://anonymous@b/x, gs://TOKEN@b/x", "at gs://anonymous@b/x, gs://***@b/x"),
        ("kwargs={'api_token': 'abc', 'n': 3}", "kwargs={'api_token': ***, 'n': 3}"),
        ("network.kwargs={db_password: abc,n: 3}", "network.kwargs={db_password: ***,n: 3}"),
        ('{"secret_key": "a b", "n": 3}', '{"secret_key": ***, "n": 3}'),
        ("RAY_AUTH_TOKEN=abcdef ray", "RAY_AUTH_TOKEN=*** ray"),
        ("s3://bucket/user@host/x?region=r", "s3://bucket/user@host/x?region=r"),
        ("at 12:30 a@b said x=1, y: 2 {z: 3}", "at 12:30 a@b said x=1, y: 2 {z: 3}"),
        ("a tokenizer: {tokenizer: bpe}", "a tokenizer: {tokenizer: bpe}"),
        ("{tokens: [abc, def], n: 3}", "{tokens: ***, n: 3}"),
        ("{credentials: {user: abc, value: def}, n: 3}", "{credentials: ***, n: 3}"),
        (r"{token: 'a\' b', n: 3}", "{token: ***, n: 3}"),
        ("{token: [[a, b], c], n: 3}", "{token: ***, n: 3}"),
        ("api_token='a b' password=\"c d\" n=3", "api_token=*** password=*** n=3"),
        ("token='never closed", "token=***"),
        ("password: hunter 2\nn: 3", "password: ***\nn: 3"),
        ("- db_password: hunter2", "- db_password: ***"),
        ("https://h/x?sv=1&sig=a%2Fb&se=2", "https://h/x?sv=1&sig=***&se=2"),
        ("s3://b/x?X-Amz-Signature=ab&X-Amz-Date=1", "s3://b/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("AccountName=me;AccountKey=ab==;Suffix=x", "AccountName=me;AccountKey=***"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': ***}"),
        ("sent Bearer abcdefgh1.x to h", "sent Bearer *** to h"),
        ("`notify.url=https://h/T0/B1?x=y`", "`notify.url=***"),
        ("notify={url: https://h/T0/B1}", "notify=***"),
        ("from s3://a:b://c@d/x", "from s3://***@d/x"),
    ],
)
def test_text_is_masked_where_it_looks_like_a_credential(text, shown):
    assert masked_text(text) == shown


def test_text_is_masked_where_it_is_a_credential_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert masked_text("got wJalrXUtnFEMI from somebody") == "got *** from somebody"


# A piece that is repeated to 64 kB, as an error of another library may hold.
_PIECES = [
    *("?a", "://", "://a:", "://a@", "://a:b@", "a@", "{", "{a:", "{token:[", "{'a'", "[{(", "a :"),
    *(
        "token='",
        "token=",
        "token='\\",
        "a",
        "a.",
        "a=",
        "aA",
        "?key",
        "&key=",
        "Bearer ",
        "Basic 1",
    ),
    *("\n", "\n- ", " ", ", ", "'", '{"password": "', "password: [{("),
]


def test_uri_with_azures_signature_is_the_same_with_another_one():
    uris = [
        f"abfs://book@a.dfs.core.windows.net/x?se=2026-12-0{day}&sp=rw&sv=2026-10-06&sig=a%2F{day}"
        for day in (1, 2)
    ]
    shown = "abfs://book@a.dfs.core.windows.net/x?se=***&sp=***&sv=***&sig=***"
    assert [masked(uri) for uri in uris] == [shown, shown]
    assert masked("s3://b/x?sv=1&se=2") == "s3://b/x?sv=1&se=2"


@pytest.mark.parametrize("function", [masked_text, masked, is_secret])
def test_time_is_in_proportion_to_the_text(function):
    seconds = {}
    for piece in _PIECES:
        text = piece * (2**16 // len(piece))
        began = time.process_time()
        function(text)
        seconds[piece] = time.process_time() - began
    # Some milliseconds; in proportion to the square it was a minute.
    assert {piece: each for piece, each in seconds.items() if each > 1} == {}


def test_text_is_masked_where_it_is_what_was_registered():
    register_secrets(['s3cr/t+x "y', "abcd", "true", "12345", "ab"])
    shown = "got *** as *** or ***, abcde, *** true 12345 ab"
    assert shown == masked_text(
        r'got s3cr/t+x "y as s3cr%2Ft%2Bx%20%22y or s3cr/t+x \"y, abcde, abcd true 12345 ab'
    )


def test_credentials_of_settings_are_masked_wherever_they_turn_up():
    register_credentials(
        {
            "path": "s3://AKIDEXAMPLE:pa%2Fss@b/x?X-Amz-Signature=abcdef&region=r-eu",
            "kwargs": {"api_token": "tok1-tok2", "n": 3, "scale": "linear"},
            "user": "hdfs://alice@namenode/x",
        }
    )
    text = "AKIDEXAMPLE pa%2Fss pa/ss abcdef tok1-tok2 r-eu linear alice b"
    assert masked_text(text) == "*** *** *** *** *** r-eu linear alice b"


def test_values_are_masked_by_their_keys_and_as_uris():
    values = {
        "weights": "s3://AK:SE@b/w.npz?secret_key=x",
        "options": {"hf_token": "abc", "tokens": 8, "tokenizer": "bpe", "password": None},
        "layers": ["https://u:p@h/x", "Dense(5, 3)"],
        "question": "what? token=abc",
        "tokens": ["abc", {"inside": "def"}],
        "credentials": {"value": "hunter2", "n": 2},
    }
    assert masked_values(values) == {
        "weights": "s3://***@b/w.npz?secret_key=***",
        "options": {"hf_token": "***", "tokens": 8, "tokenizer": "bpe", "password": None},
        "layers": ["https://***@h/x", "Dense(5, 3)"],
        "question": "what? token=abc",
        "tokens": ["***", {"inside": "***"}],
        "credentials": {"value": "***", "n": 2},
    }


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "apiKey", "token"),
        *("dbPassword", "accessToken", "apitoken", "tokens", "db_pwd", "AccountKey"),
        *("Authorization", "x_signature", "sharedAccessKey"),
    ],
)
def test_names_of_credentials(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["keys", "tokenizer", "monkey", "sort_key", "PATH", "secretary", "PWD", "OLDPWD"]
)
def test_names_of_other_things(name):
    assert not is_secret(name)


def test_error_is_masked_with_all_that_led_to_it():
    def fail():
        try:
            raise OSError(5, "no s3://AK:SE@b/x")
        except OSError as error:
            raise ValueError("at s3://AK:SE@b/y") from error

    with pytest.raises(ValueError, match=r"at s3://\*\*\*@b/y") as raised, masked_errors():
        fail()
    assert "AK:SE" not in str(raised.value.__cause__.args)

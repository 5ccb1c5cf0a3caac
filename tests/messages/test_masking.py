import pytest

from hyperdiag.messages.masking import is_secret, masked_errors, masked_text, masked_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open s3://AK:SE/C+R=@bucket/x: no", "cannot open s3://***@bucket/x: no"),
        ("from s3://AK:S@b/x to s3://AL:T@c/y", "from s3://***@b/x to s3://***@c/y"),
        ("'s3://b/x?region=r&secret_key=SE%2F&x=1'", "'s3://b/x?region=r&secret_key=***&x=1'"),
        ("output.path=s3://TOKEN@b/x", "output.path=s3://***@b/x"),
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
    ],
)
def test_text_is_masked_where_it_looks_like_a_credential(text, shown):
    assert masked_text(text) == shown


def test_text_is_masked_where_it_is_a_credential_of_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("LOGNAME", "somebody")
    assert masked_text("got wJalrXUtnFEMI from somebody") == "got *** from somebody"


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
        *("dbPassword", "accessToken", "apitoken", "tokens"),
    ],
)
def test_names_of_credentials(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["keys", "tokenizer", "monkey", "sort_key", "PATH", "secretary"])
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

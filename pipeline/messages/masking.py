"""Credentials taken out of what people and other programs get to read.

What is known to be a URI or a setting is masked where it is written. Free text (logs, errors of
other libraries) goes through `masked_text` as well: a second line of defence, which masks what
looks like a credential and errs on the side of masking too much.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

HIDDEN = "***"

_SECRET = "secret|token|passw(?:or)?d|passphrase|credentials?"
# Of a URI's option: anything with such a word in its name.
_OPTION = re.compile(r"([^=&]*(?:secret|key|token|password)[^=&]*)=[^&]*", re.I)
# Of a setting or a variable: such a word, or such a pair of words, as a part of its name.
_NAME = re.compile(
    rf"(?:{_SECRET})s?(?:$|[^a-z])|(?:access|api|private|secret|auth)[_.-]?key", re.I
)
_IN_TEXT = (
    # As in `masked`, but of a URI that stands somewhere in a sentence.
    (re.compile(r"://[^\s/@:?]*:[^\s?]*@"), f"://{HIDDEN}@"),
    (re.compile(r"://[^\s/@]+@"), f"://{HIDDEN}@"),
    (
        re.compile(r"([?&][^=&\s]*(?:secret|key|token|password)[^=&\s]*)=[^&\s'\"]*", re.I),
        rf"\1={HIDDEN}",
    ),
    (
        re.compile(
            rf"(?<![?&\w.-])([\w.-]*(?:{_SECRET}|(?:access|api|private)_key)[\w-]*)=(?!=)[^\s'\"]+",
            re.I,
        ),
        rf"\1={HIDDEN}",
    ),
)
# As Python, JSON, YAML and Hydra's overrides write one.
_IN_MAPPING = re.compile(
    r"([{,]\s*)(['\"]?)([\w.-]+)\2(\s*:\s*)"
    r"(\[[^\]]*\]|\{[^}]*\}|(['\"])(?:\\.|(?!\6)[^\\])*\6|[^,}\s]+)"
)
_LEAST_LENGTH = 8  # of a variable's value that is worth looking for: shorter ones are in every text


def masked(uri: str) -> str:
    """Return a path or URI without the credentials that it may carry."""
    place, query, options = uri.partition("?")
    # As far as the last @: a secret that nobody quoted may hold a slash or another @.
    place = re.sub(r"://[^/@:]*:.*@", f"://{HIDDEN}@", place)
    place = re.sub(r"://[^/@]+@", f"://{HIDDEN}@", place)
    return place + query + _OPTION.sub(rf"\1={HIDDEN}", options)


def masked_values(values: Any, secret: bool = False) -> Any:
    """Return settings, plain values of any depth, without the credentials in them.

    URIs are masked, and so is any text whose key says what it is (`token`, `dbPassword`), or that
    of what it is in.

    Args:
        values: the settings.
        secret: whether every text among them is a credential.
    """
    if isinstance(values, Mapping):
        return {
            key: masked_values(value, secret or is_secret(str(key)))
            for key, value in values.items()
        }
    if isinstance(values, list | tuple):
        return [masked_values(value, secret) for value in values]
    if not isinstance(values, str):
        return values
    if secret:
        return HIDDEN
    return masked(values) if "://" in values else values


def is_secret(name: str) -> bool:
    """Return whether a setting or variable of this name is taken to hold a credential."""
    # `dbPassword` is `db_Password`.
    return _NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) is not None


def masked_text(text: str) -> str:
    """Return free text without what looks like a credential, or is one in the environment."""
    for secret in _of_environment():
        text = text.replace(secret, HIDDEN)
    for pattern, put in _IN_TEXT:
        text = pattern.sub(put, text)
    return _IN_MAPPING.sub(_masked_entry, text)


def _masked_entry(entry: re.Match[str]) -> str:
    before, quote, key, colon, *_ = entry.groups()
    return f"{before}{quote}{key}{quote}{colon}{HIDDEN}" if is_secret(key) else entry[0]


def _of_environment() -> list[str]:
    return [
        value
        for name, value in os.environ.items()
        if len(value) >= _LEAST_LENGTH and is_secret(name)
    ]


@contextmanager
def masked_errors() -> Iterator[None]:
    """Mask what is raised in a block: Ray keeps it, as text, for whoever lists its tasks."""
    try:
        yield
    except Exception as error:
        _mask_error(error)
        raise


def _mask_error(error: BaseException) -> None:
    """Mask the texts of an exception, and of those that it came from, in place."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(_masked_argument(argument) for argument in error.args)
        if isinstance(getattr(error, "problems", None), tuple):
            error.problems = tuple(map(masked_text, error.problems))  # type: ignore[attr-defined]
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _masked_argument(argument: Any) -> Any:
    return masked_text(argument) if isinstance(argument, str) else argument

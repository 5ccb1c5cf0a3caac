"""Credentials taken out of what people and other programs get to read.

What is known to be a URI or a setting is masked where it is written. Free text (logs, errors of
other libraries) goes through `masked_text` as well, which takes out what was registered as a
credential, and as a second line of defence whatever looks like one; it errs on the side of masking
too much. Every function here takes time in proportion to the text: an error may hold a whole file.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .secrets import HIDDEN, register_secrets, without_secrets

# PWD and OLDPWD are folders.
_SECRET = (
    "secret|token|passw(?:or)?d|passphrase|(?<=.)(?<!old)pwd|credentials?|signature|authorization"
)
# Of a URI's option: anything with such a word in its name, or one of these names.
_OPTION = re.compile(
    r"secret|key|token|passw|pwd|signature|credential|auth|^(?:x-amz-|x-goog-)?sig$", re.I
)
# Azure's signature (`sig`) is of these, which change with it whenever it is renewed.
_SIGNED = re.compile("s[etrpivs]|spr|srt|sip|sdd|ske|skoid|sks|skt|sktid|skv")
_CONTAINER_BEFORE = ("abfs://", "abfss://")  # in the place of a user
_NO_USER = ("gs://", "gcs://"), "anonymous"
# Of a setting or a variable: such a word, or such a pair of words, as a part of its name.
_NAME = re.compile(
    rf"(?:{_SECRET})s?(?:$|[^a-z])|"
    r"(?:access|account|api|private|secret|shared|storage|signing|auth)[_.-]?key",
    re.I,
)
# Settings of which the whole value lets one in, or says what is run: a webhook's path is its key.
_WHOLE = re.compile(r"(?:^|\.)notify(?:\.url|\.command)?$", re.I)

# A part of a text without blanks and question marks: user and password of a URI have neither.
_PART = re.compile(r"[^\s?]+")
_HEAD = re.compile(r"[^/@:]*+")
_URI_OPTION = re.compile(r"(?<=[?&])([^=&?\s'\"]++)=([^&\s'\"]*+)")
_SETTING = re.compile(r"(?<![?&\w.-])([\w.-]++)=(?!=)")
# As Python, JSON, YAML and Hydra's overrides write one; also at the beginning of a line.
_ENTRY = re.compile(r"(?:(?<=[{,])|^)(?:[ \t]|- )*+(['\"]?)([\w.-]++)\1\s*+:\s*+", re.M)
_BEARER = re.compile(r"(?<!\w)(Bearer|Basic)\s++(?=[\w+/=.~-]*\d)[\w+/=.~-]{8,}", re.I)
_WORD, _ENTRY_WORD = re.compile(r"[^\s'\"]*+"), re.compile(r"[^,}\]\n]*+")
_LEAST_LENGTH_OF_USER = 8  # who is called less is a person, and named in other places
_BRACKETS = {"[": "]", "{": "}", "(": ")"}


def masked(uri: str) -> str:
    """Return a path or URI without the credentials that it may carry."""
    place, query, options = uri.partition("?")
    pairs = [option.partition("=") for option in options.split("&")]
    signed = any(name == "sig" for name, _, _ in pairs)
    parts = [
        f"{name}={HIDDEN}"
        if equals and (_OPTION.search(name) or (signed and _SIGNED.fullmatch(name)))
        else name + equals + value
        for name, equals, value in pairs
    ]
    return _without_userinfo(place) + query + "&".join(parts)


def _without_userinfo(part: str) -> str:
    """Return a text without blanks whose URIs have no user and password any more."""
    pieces, start = [], 0
    last = part.rfind("@")
    while (begin := part.find("://", start) + 3) >= 3 and begin <= last:
        matched = _HEAD.match(part, begin)
        assert matched is not None
        end = matched.end()
        pieces.append(part[start:begin])
        start = begin
        if part[end : end + 1] == ":":
            # As far as the last @: a secret that nobody quoted may hold a slash or another @.
            pieces.append(HIDDEN)
            start = last
            break
        if part[end : end + 1] == "@" and end > begin:
            head = part[start:end]
            pieces.append(HIDDEN if _is_user(part[max(begin - 8, 0) : begin], head) else head)
            start = end
    return "".join([*pieces, part[start:]])


def _is_user(scheme: str, name: str) -> bool:
    """Return whether what stands before the @ of a URI lets somebody in.

    Args:
        scheme: the text up to it, that ends in `://`.
        name: what stands there.
    """
    if ":" in name:
        return True
    anonymous = scheme.endswith(_NO_USER[0]) and name == _NO_USER[1]
    return not (scheme.endswith(_CONTAINER_BEFORE) or anonymous)


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


def unregistered_values(values: Any) -> Any:
    """Return plain values of any depth without what was registered as a credential."""
    if isinstance(values, Mapping):
        return {key: unregistered_values(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [unregistered_values(value) for value in values]
    return without_secrets(values) if isinstance(values, str) else values


def register_credentials(values: Any) -> None:
    """Register every credential in settings, plain values of any depth, as `masked_values` sees it.

    Of a URI these are its user, its password and the values of its options.
    """
    register_secrets(_credentials(values, secret=False))


def _credentials(values: Any, secret: bool) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _credentials(value, secret or is_secret(str(key)))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _credentials(value, secret)
    elif isinstance(values, str) and secret:
        yield values
    elif isinstance(values, str) and "://" in values:
        place, _, options = values.partition("?")
        userinfo, _, _ = place.partition("://")[2].rpartition("@")
        if not _is_user(place.partition("://")[0] + "://", userinfo):
            userinfo = ""
        user, _, password = userinfo.partition(":")
        if password or len(user) >= _LEAST_LENGTH_OF_USER:
            yield from (userinfo, password, *([user] if len(user) >= _LEAST_LENGTH_OF_USER else []))
        for name, _, value in (option.partition("=") for option in options.split("&")):
            if _OPTION.search(name):
                yield value


def is_secret(name: str) -> bool:
    """Return whether a setting or variable of this name is taken to hold a credential."""
    # `dbPassword` is `db_Password`.
    return _NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) is not None


def masked_text(text: str) -> str:
    """Return free text without what was registered, or looks like a credential."""
    text = without_secrets(text, is_secret)
    text = _PART.sub(lambda part: _without_userinfo(part[0]), text)
    text = _URI_OPTION.sub(
        lambda option: f"{option[1]}={HIDDEN}" if _OPTION.search(option[1]) else option[0], text
    )
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _without_values(text, _SETTING, 1, _end_of_setting)
    return _without_values(text, _ENTRY, 2, _end_of_entry)


def _without_values(text: str, pattern: re.Pattern[str], group: int, end_of: Any) -> str:
    """Return a text without the values that stand after the names of secrets.

    Args:
        text: any.
        pattern: of a name and what parts it from its value.
        group: of the name in the pattern.
        end_of: from the text and where a value begins to where it ends.
    """
    pieces, start, here = [], 0, 0
    while (match := pattern.search(text, here)) is not None:
        name, begin = match[group], match.end()
        here = begin
        if _WHOLE.search(name) or is_secret(name):
            end = end_of(text, begin)
            if end > begin:
                pieces += [text[start:begin], HIDDEN]
                start = here = end
    return "".join([*pieces, text[start:]])


def _end_of_setting(text: str, begin: int) -> int:
    if text[begin : begin + 1] in _BRACKETS:
        return _end_of_brackets(text, begin)
    return _end_of_text(text, begin, _WORD)


def _end_of_entry(text: str, begin: int) -> int:
    if text[begin : begin + 1] in _BRACKETS:
        return _end_of_brackets(text, begin)
    if text.startswith("None", begin) or text.startswith("null", begin):
        return begin
    return _end_of_text(text, begin, _ENTRY_WORD)


def _end_of_text(text: str, begin: int, word: re.Pattern[str]) -> int:
    """Return where a value ends: at its closing quote, or where a word would."""
    quote = text[begin : begin + 1]
    if quote in ("'", '"') and quote:
        here = begin + 1
        while here < len(text) and text[here] != quote:
            here += 2 if text[here] == "\\" else 1
        return min(here + 1, len(text))
    match = word.match(text, begin)
    assert match is not None
    return begin + len(match[0].rstrip())


def _end_of_brackets(text: str, begin: int) -> int:
    """Return where the bracket at a place is closed; the end of the text if it is not."""
    depth = 0
    for here in range(begin, len(text)):
        if text[here] in _BRACKETS:
            depth += 1
        elif text[here] in _BRACKETS.values():
            depth -= 1
            if not depth:
                return here + 1
    return len(text)


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

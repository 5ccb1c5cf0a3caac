"""The credentials that this process was given: wherever one of them turns up, it is masked.

A text may hold a credential without saying so: an error of a library, the message of a user's
function. So each is registered by its value, where the configuration is read.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

HIDDEN = "***"

_LEAST_LENGTH = 4  # of a value that is looked for: shorter ones are in every text
_LEAST_WITHIN = 8  # of one that is looked for within words, too
_PLAIN = re.compile(r"true|false|null|none|\d{1,7}(?:\.\d*)?", re.I)  # are no credentials
_LEAST_OF_VARIABLE = 8

_registered: set[str] = set()


def register_secrets(values: Iterable[str]) -> None:
    """Mask these values from now on, in whatever this process says.

    Those that are too short, or a number or truth value as any text may hold, are left out.
    """
    for value in values:
        if len(value) >= _LEAST_LENGTH and not _PLAIN.fullmatch(value):
            _registered.add(value)


def registered_secrets() -> list[str]:
    """Return the values that were registered: for another process that is to mask them, too."""
    return sorted(_registered)


def without_secrets(text: str, is_secret: Callable[[str], bool] = lambda name: False) -> str:
    """Return a text without the registered values, nor those of variables that hold a credential.

    Args:
        text: any.
        is_secret: whether a variable of this name holds a credential.
    """
    variables = {
        value
        for name, value in os.environ.items()
        if len(value) >= _LEAST_OF_VARIABLE and is_secret(name)
    }
    # Longest first: one may be a part of another.
    for value in sorted(_registered | variables, key=len, reverse=True):
        for form in _forms(value):
            if len(form) >= _LEAST_WITHIN:
                text = text.replace(form, HIDDEN)
            elif form in text:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", HIDDEN, text)
    return text


def _forms(value: str) -> set[str]:
    """Return a value as it is, as a URI has it or means it, and as JSON and Python write it."""
    forms = {value, quote(value), quote(value, safe=""), unquote(value)}
    return forms | {json.dumps(value)[1:-1], repr(value)[1:-1]}

"""Texts in the grammar of Hydra's overrides."""

import re
from typing import Any


def quoted(value: str) -> str:
    """Return a text in Hydra's grammar, as a value that is read back as it is."""
    # Of backslashes only those before a quote or at the end count; and `${` would interpolate.
    escaped = re.sub(r"(\\*)(\${|'|$)", _escaped, value)
    return f"'{escaped}'"


def in_grammar(value: Any) -> str:
    """Return a plain value in Hydra's grammar; interpolations in its texts stay what they are.

    Args:
        value: a text, a number, a truth value, None, or a list or mapping of such.
    """
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(in_grammar, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_key(key)}: {in_grammar(part)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    # As `quoted`, but for `${`.
    return "'" + re.sub(r"(\\*)('|$)", _escaped, value) + "'"


def _key(key: object) -> str:
    """Return the key of a mapping: it has no quotes, so that other signs are escaped."""
    return re.sub(r"[^\w.$%*@?|/+-]", r"\\\g<0>", str(key))


def _escaped(match: re.Match[str]) -> str:
    slashes, what = match.groups()
    return slashes * 2 + (f"\\{what}" if what else "")

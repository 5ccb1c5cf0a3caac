"""Texts in the grammar of Hydra's overrides."""

import re


def quoted(value: str) -> str:
    """Return a text in Hydra's grammar, as a value that is read back as it is."""
    # Of backslashes only those before a quote or at the end count; and `${` would interpolate.
    escaped = re.sub(r"(\\*)(\${|'|$)", _escaped, value)
    return f"'{escaped}'"


def _escaped(match: re.Match[str]) -> str:
    slashes, what = match.groups()
    return slashes * 2 + (f"\\{what}" if what else "")

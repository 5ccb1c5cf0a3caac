"""The page: one HTML file that holds its script, its style, its numbers and the plotting library.

Its policy lets it run the scripts that are written in it, by their digests, and reach no network; a
name that breaks out of its place would still run nothing.

To run the plotting library takes a browser most of a second. So it stands there as text, and
`page.js` makes it a script once there is something to read: its digest is the same.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BROWSER = Path(__file__).with_name("browser")
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_SCRIPTS = ("templates.js", "tables.js", "page.js")


def make_page(parts: Mapping[str, str], data: Mapping[str, Any], library: str) -> bytes:
    """Return the page.

    Args:
        parts: what stands at the places of `page.html`, as HTML.
        data: the numbers, for the scripts.
        library: Plotly's script.
    """
    scripts = [library, *(_file(name) for name in _SCRIPTS)]
    places = {
        **parts,
        "policy": _policy(scripts),
        "style": _file("page.css"),
        "data": json_in_html(data),
        "library": _script(library, ' type="text/plain" id="library"'),
        "scripts": "\n".join(map(_script, scripts[1:])),
    }
    return _PLACE.sub(lambda place: places[place[1]], _file("page.html")).encode()


def json_in_html(value: Any) -> str:
    """Return a value as JSON that a page may hold: no sign in it ends its element.

    Raises:
        ValueError: if a number is not finite.
    """
    encoded = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _script(source: str, attributes: str = "") -> str:
    if re.search(r"</script|<!--", source, re.IGNORECASE):
        raise ValueError("a script that ends its own element")
    return f"<script{attributes}>{source}</script>"


def _file(name: str) -> str:
    return (_BROWSER / name).read_text(encoding="utf-8")

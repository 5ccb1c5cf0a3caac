"""Names as figures write them."""

from collections.abc import Sequence
from html import escape

from hyperdiag.messages.printable import printable_name

_LETTERS = 32


def shortened(name: str, letters: int = _LETTERS) -> str:
    """Return a name without its middle, if it is long: what tells names apart is at either end."""
    half = letters // 2
    return name if len(name) <= letters else f"{name[:half]}…{name[-half:]}"


def labels_of(names: Sequence[str]) -> list[str]:
    """Return names as Plotly shows them, which takes some HTML for markup; no two are the same.

    Long ones are shortened. A dollar is written as HTML, since Plotly takes what stands between two
    of them for mathematics.
    """
    labels: dict[str, None] = {}
    for at, name in enumerate(names):
        label = escape(printable_name(shortened(name)), quote=False).replace("$", "&#36;")
        free, number = label, at
        while free in labels:  # another may be called so itself
            free, number = f"{label} [{number}]", number + 1
        labels[free] = None
    return list(labels)

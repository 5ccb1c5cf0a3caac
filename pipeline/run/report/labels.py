"""Names as figures write them."""

from collections.abc import Sequence
from html import escape

from hyperdiag.messages.printable import printable_name

_LETTERS = 32


def labels_of(names: Sequence[str]) -> list[str]:
    """Return names as Plotly shows them, which takes some HTML for markup; no two are the same.

    Of long ones the middle is left out: what tells names apart stands at either end. A dollar is
    written as HTML, since Plotly takes what stands between two of them for mathematics.
    """
    half = _LETTERS // 2
    labels: dict[str, None] = {}
    for at, name in enumerate(names):
        label = name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}"
        label = escape(printable_name(label), quote=False).replace("$", "&#36;")
        free, number = label, at
        while free in labels:  # another may be called so itself
            free, number = f"{label} [{number}]", number + 1
        labels[free] = None
    return list(labels)

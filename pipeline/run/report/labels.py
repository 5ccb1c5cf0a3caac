"""Names as figures write them."""

from collections.abc import Sequence
from html import escape

from hyperdiag.messages.printable import printable_name

_LETTERS = 32


def labels_of(names: Sequence[str]) -> list[str]:
    """Return names as Plotly shows them, which takes some HTML for markup; no two are the same.

    Of long ones the middle is left out: what tells names apart stands at either end.
    """
    half = _LETTERS // 2
    labels: dict[str, None] = {}
    for at, name in enumerate(names):
        label = name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}"
        label = escape(printable_name(label), quote=False)
        labels[f"{label} [{at}]" if label in labels else label] = None
    return list(labels)

"""The plotting library: Plotly, of the extra `report`."""

from importlib.util import find_spec
from typing import Any

from hyperdiag.messages.errors import UsageError


def check_plotly(why: str) -> None:
    """Check that Plotly is installed.

    Args:
        why: the key that asks for it, or the command.

    Raises:
        UsageError: if it is not, saying what to install.
    """
    if find_spec("plotly") is None:
        raise UsageError(f"{why} needs the package plotly: pip install 'hyperdiag[report]'")


def plotly_script() -> str:
    """Return Plotly's script for browsers."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def plotly_figure(content: dict[str, Any]) -> Any:
    """Return a figure of Plotly's, of what it takes as `data` and `layout`."""
    check_plotly("a figure")
    from plotly.graph_objects import Figure

    return Figure(content)

"""hyperdiag: value, Jacobian and Hessian diagonal of a network for every row of a dataset.

from hyperdiag import derivatives, verify      in a notebook
from hyperdiag import Output, files, read      of what a run has published
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "hyperdiag":  # a clone's folder, found by its own name
    raise ImportError(
        f"install the project (pip install -e .) and import hyperdiag, not {__name__}"
    )

if TYPE_CHECKING:
    from .hyperdual import Derivatives, derivatives, verify
    from .run.output.reader import files, read
    from .run.output.reading.output import Output

__all__ = ["Derivatives", "Output", "derivatives", "files", "read", "verify"]

_PLACES = {
    "Output": "hyperdiag.run.output.reading.output",
    "files": "hyperdiag.run.output.reader",
    "read": "hyperdiag.run.output.reader",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are asked for: a command that needs no JAX waits for none."""
    if name in __all__:
        return getattr(import_module(_PLACES.get(name, "hyperdiag.hyperdual")), name)
    raise AttributeError(f"module 'hyperdiag' has no attribute {name!r}")

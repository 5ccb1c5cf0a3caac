"""Value, Jacobian and Hessian diagonal of a JAX function, for a batch of points.

This package knows JAX and nothing else of the project, so it can be used from a notebook:

    from pipeline.hyperdual import derivatives

    bundle = derivatives(fn, n_inputs=5)
    y, jacobian, hessian_diag = bundle(x)  # x: (rows, 5)
"""

from ._derivatives import Derivatives, derivatives
from ._methods import AUTO, METHODS, MethodError, choose
from ._numerics import DTYPES, numerics

__all__ = [
    "AUTO",
    "DTYPES",
    "METHODS",
    "Derivatives",
    "MethodError",
    "choose",
    "derivatives",
    "numerics",
]

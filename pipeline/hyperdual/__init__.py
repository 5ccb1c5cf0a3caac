"""Value, Jacobian and Hessian diagonal of a JAX function, for a batch of points.

This package knows JAX and nothing else of the project, so it can be used from a notebook:

    from hyperdiag.hyperdual import derivatives

    bundle = derivatives(fn, n_inputs=5)
    y, jacobian, hessian_diag = bundle(x)  # x: (rows, 5)
"""

from ._derivatives import AUTO, Bundle, Derivatives, choose, derivatives
from ._equation import RuleError
from ._methods import METHODS, OWN_METHODS, MethodError
from ._numerics import DTYPES, numerics
from ._outputs import OUTPUTS
from ._tuner import Choice
from ._verify import Verification, reference, relative_error, verify

__all__ = [
    "AUTO",
    "DTYPES",
    "METHODS",
    "OUTPUTS",
    "OWN_METHODS",
    "Bundle",
    "Choice",
    "Derivatives",
    "MethodError",
    "RuleError",
    "Verification",
    "choose",
    "derivatives",
    "numerics",
    "reference",
    "relative_error",
    "verify",
]

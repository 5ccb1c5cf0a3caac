"""Value, Jacobian and Hessian diagonal of a JAX function, for a batch of points.

This package knows JAX and nothing else of the project, so it can be used from a notebook:

    from hyperdiag import derivatives

    bundle = derivatives(fn, n_inputs=5)
    y, jacobian, hessian_diag = bundle(x)  # x: (rows, 5)
"""

from ._choice import Choice
from ._constants import dtype_difference
from ._derivatives import AUTO, Bundle, Derivatives, choose, derivatives
from ._equation import RuleError
from ._float32_function import Float32Function
from ._jaxpr import equations, multiply_adds, widest
from ._jitted import Hanging, within
from ._memory import lacking
from ._methods import DEFAULT_METHOD, METHODS, OWN_METHODS, Method, MethodError
from ._numerics import DTYPES, numerics
from ._precision import HIGHEST, PRECISIONS, device_precisions
from ._precision_choice import choose_precision
from ._quantities import QUANTITIES
from ._reason import reason
from ._verify import Verification, reference, relative_error, verify

__all__ = [
    "AUTO",
    "DEFAULT_METHOD",
    "DTYPES",
    "HIGHEST",
    "METHODS",
    "OWN_METHODS",
    "PRECISIONS",
    "QUANTITIES",
    "Bundle",
    "Choice",
    "Derivatives",
    "Float32Function",
    "Hanging",
    "Method",
    "MethodError",
    "RuleError",
    "Verification",
    "choose",
    "choose_precision",
    "derivatives",
    "device_precisions",
    "dtype_difference",
    "equations",
    "lacking",
    "multiply_adds",
    "numerics",
    "reason",
    "reference",
    "relative_error",
    "verify",
    "widest",
    "within",
]

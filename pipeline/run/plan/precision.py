"""The precision of matrix products: what is known of it before a worker starts."""

import jax

from hyperdiag.config.schema import DerivativesConfig
from hyperdiag.hyperdual import AUTO, HIGHEST, device_precisions
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster.device import lacking_precision


def planned_precision(configured: DerivativesConfig, device: str) -> str:
    """Return the precision as configured, or "highest" where nothing else can come of "auto".

    Args:
        configured: what is computed, and how.
        device: the kind that computes. Of one that this process does not see the worker that times
            the kernel, or else the first one, says what it can do.

    Raises:
        UsageError: if the dtype or the device does not have the precision.
    """
    precision, dtype = configured.precision, configured.dtype
    if precision == HIGHEST or (precision == AUTO and dtype != "float32"):
        return HIGHEST
    if dtype != "float32":
        raise UsageError(
            f"derivatives.precision={precision} is of float32 products, and derivatives.dtype is "
            f"{dtype}: take derivatives.precision={HIGHEST}"
        )
    if device != jax.default_backend():
        return precision
    if precision == AUTO:
        return HIGHEST if device_precisions() == (HIGHEST,) else AUTO
    lacking = lacking_precision(precision)
    if lacking:
        raise UsageError(lacking)
    return precision

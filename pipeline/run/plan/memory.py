"""What a worker will hold in memory at least, counted before there is one."""

import jax

from hyperdiag.config.schema import Config
from hyperdiag.hyperdual import (
    Bundle,
    Hanging,
    derivatives,
    lacking,
    numerics,
    reference,
    widest,
)
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import Network, float64_function

from .spec import KernelSpec

# Where so many numbers, about, are held at a time, nothing is counted: an eighth of what is little.
_FEW = 1 << 22


def least_bytes(config: Config, network: Network, kernel: KernelSpec) -> int:
    """Return the bytes that the fewest rows which a worker takes at once hold, by XLA's account.

    These are the rows of a tile, or of a batch without tiles, or the verified ones, whichever takes
    more. It is 0 where that is little, and for GPUs, which this process does not see.

    Args:
        config: of the run.
        network: that is derived.
        kernel: the plan's section on the kernel.

    Raises:
        UsageError: if workers will run on this machine, and it has less memory free.
    """
    if kernel.device != "cpu" or _numbers(network, kernel) <= _FEW:
        return 0
    arguments = (network.function, network.n_inputs)
    wrt = network.wrt(kernel.directions)
    bundle = derivatives(
        *arguments,
        kernel.method,
        wrt,
        kernel.dtype,
        kernel.tile,
        kernel.quantities,
        precision=kernel.precision,
    )
    rows = kernel.tile or kernel.batch
    what = f"{rows} rows at once" if rows > 1 else "a single row"
    tile = f"a smaller derivatives.tile than {rows}, " if rows > 1 else ""
    largest = _counted(config, network, bundle, rows, what, tile)
    if kernel.verify_rows:
        single = kernel.dtype == "float32"
        double = float64_function(config.network.model_dump()) if single else None
        quantities = list(dict.fromkeys([*kernel.quantities, "value"]))
        bundle = reference(*arguments, wrt, quantities, kernel.dtype, double)
        rows = kernel.verify_rows
        what, fewer = (
            f"verifying {rows} of each shard's rows",
            "a smaller derivatives.verify_rows, ",
        )
        largest = max(largest, _counted(config, network, bundle, rows, what, fewer))
    return largest


def _numbers(network: Network, kernel: KernelSpec) -> int:
    """Return how many numbers the largest J of an intermediate has, or of the results."""
    with numerics(kernel.dtype):
        point = jax.ShapeDtypeStruct((network.n_inputs,), kernel.dtype)
        width = max(widest(jax.make_jaxpr(network.function)(point)), network.n_inputs)
    directions = len(kernel.directions)
    if "hessian" in kernel.quantities:  # J of J, forwards or backwards
        width = max(width * min(directions, network.n_outputs), network.n_outputs * directions)
    return max(kernel.tile or kernel.batch, kernel.verify_rows) * width * directions


def _counted(
    config: Config, network: Network, bundle: Bundle, rows: int, what: str, fewer: str
) -> int:
    try:
        counted = bundle.counted_bytes(rows, config.limits.start_seconds)
    except Hanging:
        return 0  # a worker will say so
    shortage = lacking(counted) if config.cluster.name != "existing" else None
    if shortage:
        raise UsageError(
            f"network '{network.name}', method '{bundle.choice.method}': {what} would take "
            f"{shortage}, so that no worker could do it. Take {fewer}fewer of derivatives.outputs, "
            "or fewer inputs (derivatives.wrt)"
        )
    return counted

"""The part of a plan that says what is computed of a row, checked against the network."""

from collections import Counter

import jax
import numpy as np

from hyperdiag.config.schema import Config
from hyperdiag.data.quantities import row_bytes
from hyperdiag.derived.derived import Derived
from hyperdiag.derived.rows import Names
from hyperdiag.hyperdual import AUTO, DEFAULT_METHOD, MethodError, RuleError, derivatives, reference
from hyperdiag.messages.errors import Problems, UsageError, closest, first_line, listed
from hyperdiag.networks import Network, float64_function

from .precision import planned_precision
from .spec import KernelSpec, Settings
from .tuning import chosen_method

# The most of a batch's derivatives, and its most rows: large enough to hide the cost of a call,
# small beside the memory of a core, or of the cores beside a GPU. A GPU needs many rows to keep all
# its own cores busy, and is copied from fast only if much is copied at a time.
_BATCH_BYTES = {"cpu": 16 << 20, "gpu": 128 << 20}
_BATCH_ROWS = {"cpu": 8192, "gpu": 1 << 18}
_DERIVED_BYTES = np.dtype(np.float64).itemsize  # of a derived number while it is computed
# Of a shard's verified rows.
_VERIFIED_BYTES = 256 << 20
# Of verified rows: far above rounding, far below a wrong derivative.
_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}


def check_kernel(config: Config, network: Network) -> None:
    """Trace the kernel, which finds what its method cannot do.

    Raises:
        UsageError: naming the network and what stops the method, or an option that does not fit.
    """
    configured = config.derivatives
    directions = network.wrt(directions_of(config, network))
    planned_precision(configured, _device(config))
    quantities = config.derived.computed(configured.outputs)
    for name, count in Counter(configured.outputs).items():
        if count > 1:
            raise UsageError(f"derivatives.outputs names '{name}' twice")
    # Any tile will do: it is not run.
    method = DEFAULT_METHOD if configured.method == AUTO else configured.method
    try:
        kernel = derivatives(
            network.function,
            network.n_inputs,
            method,
            directions,
            configured.dtype,
            configured.tile or 1,
            ["value", *(name for name in quantities if name != "value")],
        )
        shapes = jax.eval_shape(kernel, jax.ShapeDtypeStruct((2, network.n_inputs), np.float32))
    except (MethodError, RuleError) as error:
        raise UsageError(f"network '{network.name}': {error}") from error
    except Exception as error:  # the user's function and JAX raise what they like
        raise UsageError(
            f"network '{network.name}': method '{method}' fails on it: {first_line(error)}"
        ) from error
    if configured.verify_rows:
        _check_reference(config, network, directions)
    if shapes.value.shape[1] != network.n_outputs:
        raise UsageError(
            f"network '{network.name}' names {network.n_outputs} outputs, but its function returns "
            f"{shapes.value.shape[1]}"
        )


def _check_reference(config: Config, network: Network, directions: list[int] | None) -> None:
    """Trace what verified rows are compared with."""
    configured = config.derivatives
    single = configured.dtype == "float32"
    try:
        reference(
            network.function,
            network.n_inputs,
            directions,
            config.derived.computed(configured.outputs),
            configured.dtype,
            float64_function(config.network.model_dump()) if single else None,
        )
    except Exception as error:  # as above
        raise UsageError(
            f"network '{network.name}': {first_line(error)}; derivatives.verify_rows=0 does without"
        ) from error


def plan_kernel(
    config: Config,
    network: Network,
    rows: int,
    most_rows: int,
    previous: Settings | None,
    derived: Derived,
) -> KernelSpec:
    """Return the plan's section on the kernel; its method may have to be timed for that.

    Args:
        config: of the run.
        network: that is derived.
        rows: of the dataset.
        most_rows: of a shard.
        previous: settings that this run goes on from.
        derived: what is derived of the kernel's quantities.

    Raises:
        UsageError: if an option does not fit the network, or that cannot be timed.
    """
    configured = config.derivatives
    directions = directions_of(config, network)
    device = _device(config)
    quantities = config.derived.computed(configured.outputs)
    tolerance = configured.tolerance or _TOLERANCE[configured.dtype]
    frozen = chosen_method(
        config, network, directions, device, rows, most_rows, tolerance, previous
    )
    batch = configured.batch or (previous.kernel.batch if previous else None)
    if batch is None:
        bytes_of_row = row_bytes(quantities, network.n_outputs, len(directions), configured.dtype)
        bytes_of_row += network.n_inputs * np.dtype(configured.dtype).itemsize
        names = Names(tuple(network.inputs), directions, tuple(network.outputs))
        bytes_of_row += sum(block.size for block in derived.blocks(names)) * _DERIVED_BYTES
        batch = _batch(bytes_of_row, most_rows, frozen.tile or 1, device)
    return KernelSpec(
        method=frozen.method,
        tile=frozen.tile,
        dtype=configured.dtype,
        directions=directions,
        quantities=quantities,
        device=device,
        verify_rows=min(configured.verify_rows, _verifiable_rows(config, network, directions)),
        tolerance=tolerance,
        strict=configured.tolerance is not None,
        batch=batch,
        precision=frozen.precision,
    )


def _batch(bytes_of_row: int, most_rows: int, tile: int, device: str) -> int:
    """Return how many rows go through one call: a power of two, filled up to whole tiles."""
    kind = "cpu" if device == "cpu" else "gpu"
    fits = max(_BATCH_BYTES[kind] // bytes_of_row, 1)
    batch = min(_BATCH_ROWS[kind], 1 << (fits.bit_length() - 1), 1 << (most_rows - 1).bit_length())
    return -(-batch // tile) * tile  # the kernel would fill up the last one anyway


def _verifiable_rows(config: Config, network: Network, directions: tuple[str, ...]) -> int:
    """Return how many rows of a shard can be verified: all of them are held at once, in float64."""
    quantities = config.derived.computed(config.derivatives.outputs)
    bytes_of_row = row_bytes(quantities, network.n_outputs, len(directions), "float64")
    return max(_VERIFIED_BYTES // bytes_of_row, 1)


def directions_of(config: Config, network: Network) -> tuple[str, ...]:
    """Return the names of the inputs to differentiate with respect to.

    Raises:
        UsageError: naming every one that is none, or that is named twice.
    """
    if config.derivatives.wrt is None:
        return tuple(
            name for name in network.inputs if name not in network.not_differentiated
        ) or tuple(network.inputs)
    problems = Problems()
    names: list[str] = []
    for configured in config.derivatives.wrt:
        name = configured
        if isinstance(configured, int) and 0 <= configured < network.n_inputs:
            name = network.inputs[configured]
        if name not in network.inputs:
            problems.add(
                f"derivatives.wrt: '{name}' is no input of network '{network.name}'"
                f"{closest(str(name), network.inputs)}; its inputs are {listed(network.inputs)}"
            )
        elif name in names:
            problems.add(f"derivatives.wrt names '{name}' twice")
        names.append(str(name))
    if not names:
        problems.add("derivatives.wrt is empty; null means all inputs")
    problems.check()
    return tuple(names)


def _device(config: Config) -> str:
    """Return the kind of device that computes: another kind has other last bits."""
    if config.cluster.name == "inline":
        return jax.default_backend()
    return "gpu" if config.cluster.gpus_per_worker else "cpu"

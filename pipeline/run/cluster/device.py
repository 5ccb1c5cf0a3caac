"""JAX and the device that it computes on: threads, platform, memory; whether it is as planned."""

import os
import warnings

import jax

from hyperdiag.config.schema import Config
from hyperdiag.hyperdual import AUTO, HIGHEST, device_precisions
from hyperdiag.messages.errors import HyperdiagError

# A worker computes on one thread: its batches are too small to share, and the number of threads
# would decide the last bits of a matrix product. To be set before JAX starts.
SINGLE_THREADED = {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1"}
_GPU_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"
# The part of a worker's share of a GPU that JAX takes: CUDA itself needs some of it.
_JAX_PART = 0.9


def prepare_jax(config: Config) -> None:
    """Keep the driver off the devices that belong to the workers, which may be itself."""
    os.environ.update(SINGLE_THREADED)
    if config.cluster.name == "inline":
        for option, value in _cache(config.cluster.compile_cache).items():
            jax.config.update(option, value)
    else:
        jax.config.update("jax_platforms", "cpu")
        # Ray forks to start its processes, each of which runs another program at once: what JAX's
        # threads hold does not matter there. A network may well have started JAX before.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)


def _cache(folder: str | None) -> dict[str, str | int]:
    """Return JAX's options that keep in a folder all that is compiled, however small it is."""
    if folder is None:
        return {}
    return {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }


def worker_environment(gpus: float, compile_cache: str | None = None) -> dict[str, str]:
    """Return the variables that JAX has to find in a worker's process when it starts there.

    Args:
        gpus: of the worker. Those that share a GPU share its memory, unless the user's environment
            says how: JAX takes three quarters of it otherwise, for the first one that comes.
        compile_cache: folder for what is compiled; None: no other than the user's environment says.
    """
    cache = {option.upper(): str(value) for option, value in _cache(compile_cache).items()}
    platforms = {"JAX_PLATFORMS": "cuda,cpu" if gpus else "cpu"}
    memory = {}
    if 0 < gpus < 1 and _GPU_SHARE not in os.environ:
        memory = {_GPU_SHARE: f"{_JAX_PART * gpus:.4g}"}
    return platforms | memory | cache | SINGLE_THREADED


def check_device(planned: str, precision: str = HIGHEST) -> None:
    """Check that JAX computes here on the kind of device that was planned.

    Args:
        planned: "cpu" or "gpu".
        precision: of matrix products, that it must have.

    Raises:
        HyperdiagError: if not: without CUDA it takes the CPU, and says nothing.
    """
    here = jax.default_backend()
    if here != planned:
        raise HyperdiagError(
            f"the run is planned for a {planned}, but JAX has only a {here} here: install JAX with "
            "CUDA where the workers run, or take cluster.gpus_per_worker=0"
        )
    lacking = lacking_precision(precision)
    if lacking:
        raise HyperdiagError(lacking)


def lacking_precision(precision: str) -> str | None:
    """Return what to say if JAX's device here does not have a precision; None if it has."""
    if precision == HIGHEST or precision in (available := device_precisions()):
        return None
    return (
        f"derivatives.precision={precision} is not available on this {jax.default_backend()}, "
        f"which has no such products: take {', '.join(available)} or {AUTO}"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether a call failed since the device, or this process, has no memory for it."""
    # XLA's code for it is lost where another program was to take the results.
    words = "RESOURCE_EXHAUSTED", "Out of memory"
    of_jax = isinstance(error, jax.errors.JaxRuntimeError) and any(w in str(error) for w in words)
    return of_jax or isinstance(error, MemoryError)

"""JAX and the device that it computes on: threads, platform, memory; whether it is as planned, and
whether it is what fails.
"""

import os
import re
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
# With this, GPUs have the numbers that nvidia-smi shows; without it the fastest one is the first.
_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

# What XLA's errors are raised as: the second from the second call of a jitted function on (JAX 0.10
# to 0.12).
_RAISED = jax.errors.JaxRuntimeError, ValueError
# Codes of absl::Status that say nothing of what was asked for: the arguments of a call, or the
# memory that they take, have codes of their own.
# https://abseil.io/docs/cpp/guides/status-codes
_OF_DEVICE = re.compile(r"(INTERNAL|UNKNOWN|UNAVAILABLE|ABORTED|DATA_LOSS|FAILED_PRECONDITION): ")
# What CUDA and its libraries call their errors.
_CUDA = re.compile(r"\bCU[A-Z]+_(ERROR|STATUS)_|\bCUDA error\b")


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
    order = _ORDER if gpus else {}
    return platforms | memory | order | cache | SINGLE_THREADED


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
    raised = isinstance(error, _RAISED) and any(word in str(error) for word in words)
    return raised or isinstance(error, MemoryError)


def device_trouble(error: BaseException) -> str:
    """Return in a line what the device says where it is the device that failed; else nothing.

    A function of the network's own that raises, called back by JAX, has the code of a device, too:
    it is the device only where CUDA is named.
    """
    text = str(error)
    if not isinstance(error, _RAISED) or not _OF_DEVICE.match(text):
        return ""
    lines = text.splitlines()
    named = [line for line in lines if _CUDA.search(line)]
    if named:
        return named[-1].strip()
    return "" if "callback" in lines[0].lower() else lines[0]

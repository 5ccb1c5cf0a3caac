"""JAX and the device that it computes on: threads, platform, and whether it is the one planned."""

import os

import jax

from hyperdiag.config.schema import Config
from hyperdiag.messages.errors import HyperdiagError


def prepare_jax(config: Config) -> None:
    """Keep the driver off the devices that belong to the workers, which may be itself."""
    os.environ.update(SINGLE_THREADED)
    if config.cluster.name != "inline":
        jax.config.update("jax_platforms", "cpu")


# A worker computes on one thread: its batches are too small to share, and the number of threads
# would decide the last bits of a matrix product. To be set before JAX starts.
SINGLE_THREADED = {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1"}


def check_device(planned: str) -> None:
    """Check that JAX computes here on the kind of device that was planned.

    Raises:
        HyperdiagError: if not: without CUDA it takes the CPU, and says nothing.
    """
    here = jax.default_backend()
    if here != planned:
        raise HyperdiagError(
            f"the run is planned for a {planned}, but JAX has only a {here} here: install JAX with "
            "CUDA where the workers run, or take cluster.gpus_per_worker=0"
        )

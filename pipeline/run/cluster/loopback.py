"""A Ray of our own that nobody else can talk to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ray._private import ray_constants

# Ray's own names: on macOS and Windows it listens on loopback alone unless this says otherwise; on
# Linux on every interface, and turns a `_node_ip_address` of 127.0.0.1 into the machine's address.
_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_CONSTANT = "ENABLE_RAY_CLUSTER"


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that is started in this block listen on 127.0.0.1 alone, with all its processes.

    The variable is for these; this process has read it when it imported Ray.
    """
    variable, constant = os.environ.get(_VARIABLE), getattr(ray_constants, _CONSTANT)
    os.environ[_VARIABLE] = "0"
    setattr(ray_constants, _CONSTANT, False)
    try:
        yield
    finally:
        setattr(ray_constants, _CONSTANT, constant)
        os.environ.pop(_VARIABLE)
        if variable is not None:
            os.environ[_VARIABLE] = variable

"""How fast results come from the device to the host, and points go there."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.messages.errors import first_line

# Of one array, in bytes: a batch of a run, and eight of them.
_BYTES = (16 << 20, 128 << 20)
_CALLS = 5


def copies(rows_scale: float) -> dict[str, Any]:
    """Return the best rates in bytes/s, by the bytes of an array.

    Args:
        rows_scale: times the bytes.

    Returns:
        `shared` (whether arrays of the device are the host's own, so that nothing is copied) and
        `rates`: for each size its `bytes`, `to_host` (into pageable memory, as a run copies),
        `to_pinned_host` (into memory of the device's runtime that lies on the host; None where it
        has none, with the reason in `no_pinned_host`) and `to_device`.
    """
    shared = jax.local_devices()[0].platform == "cpu"
    rates, no_pinned_host = [], None
    for size in _BYTES:
        length = max(1, round(size * rows_scale / 4))
        host = np.random.default_rng(0).random(length, np.float32)
        result = {
            "bytes": host.nbytes,
            "to_host": _rate(length, np.array if shared else np.asarray),
            "to_pinned_host": None,
            "to_device": max(_seconds_rate(host.nbytes, _put, host) for _ in range(_CALLS)),
        }
        try:
            result["to_pinned_host"] = _rate(length, _to_pinned_host)
        except Exception as error:  # a backend says in its own way that it has no such memory
            no_pinned_host = first_line(error)
        rates.append(result)
    return {"shared": shared, "rates": rates, "no_pinned_host": no_pinned_host}


def _rate(length: int, copy: Callable[[jax.Array], Any]) -> float:
    """Return the best rate of copying fresh arrays: JAX keeps what it has copied of one."""
    fill = jax.jit(lambda number: jnp.full(length, number, jnp.float32))
    rates = []
    for number in range(_CALLS):
        array = jax.block_until_ready(fill(jnp.float32(number)))
        rates.append(_seconds_rate(array.nbytes, copy, array))
    return max(rates)


def _seconds_rate(size: int, copy: Callable[[Any], Any], array: Any) -> float:
    began = time.perf_counter()
    copy(array)
    return size / (time.perf_counter() - began)


def _put(array: np.ndarray) -> None:
    jax.block_until_ready(jax.device_put(array))


def _to_pinned_host(array: jax.Array) -> None:
    pinned = array.sharding.with_memory_kind("pinned_host")
    jax.block_until_ready(jax.device_put(array, pinned))

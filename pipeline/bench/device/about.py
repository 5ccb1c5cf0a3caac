"""Which device this is, with which driver and versions, and what memory was taken of it."""

import os
import platform
import subprocess
from importlib import metadata
from typing import Any

import jax

from hyperdiag.process.limits import cores
from hyperdiag.process.proc import peak_bytes

_PACKAGES = ("hyperdiag", "jax", "jaxlib", "numpy", "scipy", "pyarrow")
# Of CUDA, by whichever of these JAX came with it.
_PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin")
_STATISTICS = ("bytes_in_use", "peak_bytes_in_use", "bytes_limit")
_DRIVER_SECONDS = 20.0


def about_device() -> dict[str, Any]:
    """Return the names of device, driver, processor and versions, as plain values."""
    device = jax.local_devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "devices": jax.local_device_count(),
        "runtime": " ".join(device.client.platform_version.split()),
        "driver": _driver() if device.platform == "gpu" else None,
        "cores": cores(),
        "threads": os.environ.get("PJRT_NPROC"),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def memory() -> dict[str, int | None]:
    """Return the bytes that JAX has, had at most and may have of the device, and the process had.

    Those of the device are None where the backend keeps no account, as on a CPU. What it had at
    most counts from the start of the process.
    """
    account = jax.local_devices()[0].memory_stats() or {}
    return {**{name: account.get(name) for name in _STATISTICS}, "process_peak": peak_bytes()}


def _versions() -> dict[str, str]:
    versions = {}
    for name in (*_PACKAGES, *_PLUGINS):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from its source, or of the other CUDA
            continue
    return versions


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None where its own program does not say."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n") if done.returncode == 0 else []
    return lines[0].strip() or None if lines else None

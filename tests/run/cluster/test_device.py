"""JAX in the driver and in workers: its words when Ray starts processes, caches, and errors."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster.device import device_trouble, worker_environment

# A function to call first makes Python fork by itself, as Ray's own calls do, and tell JAX.
_STARTS = """
import subprocess, sys
from hydra import compose, initialize_config_dir
import jax
from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.run.cluster.device import prepare_jax

with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
    prepare_jax(load_config(compose("derive", ["network=chain", sys.argv[1]])))
jax.devices()
subprocess.run([sys.executable, "-c", ""], preexec_fn=lambda: None, check=True)
"""


def _said(cluster):
    command = [sys.executable, "-c", _STARTS, f"cluster={cluster}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_jax_does_not_warn_of_processes_that_ray_starts():
    assert "os.fork() was called" in _said("inline")  # where there is no Ray, JAX says it
    assert _said("local") == ""


# Compiles something, and prints how much was not loaded from a folder, and how much was.
_COMPILES = """
import sys
import jax
from hydra import compose, initialize_config_dir
from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import CONFIG_DIR
from hyperdiag.run.cluster.device import prepare_jax

counts = {"cache_misses": 0, "cache_hits": 0}
def count(event, **_):
    name = event.rpartition("/")[2]
    if name in counts:
        counts[name] += 1
jax.monitoring.register_event_listener(count)
if sys.argv[1:]:
    with initialize_config_dir(str(CONFIG_DIR.resolve()), version_base="1.3"):
        prepare_jax(load_config(compose("derive", ["network=chain", *sys.argv[1:]])))
jax.jit(lambda x: x * 3)(2.0)
print(*counts.values())
"""


def _compiled(*overrides, **environment):
    command = [sys.executable, "-c", _COMPILES, *overrides]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    misses, hits = map(int, done.stdout.split())
    return misses > 0, hits > 0


def test_what_is_compiled_is_loaded_the_next_time_here_and_in_workers(tmp_path):
    folder = tmp_path / "compiled"
    inline = ("cluster=inline", f"cluster.compile_cache={folder}")
    assert _compiled(*inline) == (True, False)
    kept = sorted(folder.iterdir())
    assert kept
    assert _compiled(*inline) == (False, True)
    assert _compiled(**worker_environment(0, str(folder))) == (False, True)
    assert sorted(folder.iterdir()) == kept


def test_nothing_that_is_compiled_is_kept_unless_asked_for():
    assert not [name for name in worker_environment(0) if "CACHE" in name]
    assert _compiled("cluster=inline") == (False, False)


def test_folder_for_what_is_compiled_is_an_absolute_path(configure):
    assert ClusterConfig(name="local", compile_cache="/tmp/x").compile_cache == "/tmp/x"
    with pytest.raises(UsageError, match=r"cluster\.compile_cache must be an absolute path, such"):
        configure("network=chain", "cluster.compile_cache=here")


def _raised_by_jax(error, call):
    """Return what JAX makes of an exception in a call-back, at the first or the second call."""
    calls = []

    def look(x):
        calls.append(x)
        if len(calls) == call:
            raise error
        return x

    @jax.jit
    def function(x):
        return jax.pure_callback(look, jax.ShapeDtypeStruct((), jnp.float32), x) + 1

    with pytest.raises(Exception, match="INTERNAL: ") as raised:  # noqa: PT012
        for _ in range(call):
            np.asarray(function(np.float32(1)))
    return raised.value


@pytest.mark.parametrize("call", [1, 2])  # of which JAX makes exceptions of two types
def test_error_of_cuda_is_the_trouble_of_a_device(call):
    text = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered"
    error = _raised_by_jax(RuntimeError(text), call)
    assert device_trouble(error) == f"RuntimeError: {text}"


@pytest.mark.parametrize("call", [1, 2])
def test_error_of_a_function_that_jax_calls_back_is_none(call):
    error = _raised_by_jax(ValueError("cannot read w.npz"), call)
    assert "cannot read w.npz" in str(error)
    assert device_trouble(error) == ""


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("INTERNAL: stream did not end in order\nmore", "INTERNAL: stream did not end in order"),
        (
            "UNKNOWN: at the third kernel\n  CUDNN_STATUS_EXECUTION_FAILED in a call\nmore",
            "CUDNN_STATUS_EXECUTION_FAILED in a call",
        ),
        ("RESOURCE_EXHAUSTED: CUDA_ERROR_OUT_OF_MEMORY: out of memory", ""),
        ("INVALID_ARGUMENT: executable expected 2 arguments", ""),
        ("the third row: INTERNAL: quoted", ""),
    ],
)
def test_trouble_of_a_device_is_told_by_the_code_of_the_error(text, trouble):
    assert device_trouble(jax.errors.JaxRuntimeError(text)) == trouble
    assert device_trouble(ValueError(text)) == trouble
    assert device_trouble(OSError(text)) == ""


def test_gpus_of_workers_have_the_numbers_of_the_pci_bus():
    assert worker_environment(1)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "CUDA_DEVICE_ORDER" not in worker_environment(0)

"""What JAX says in the driver when Ray starts its processes."""

import subprocess
import sys

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

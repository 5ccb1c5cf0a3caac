"""JAX in the driver and in workers: what it says when Ray starts processes, what it compiles."""

import os
import subprocess
import sys

import pytest

from hyperdiag.config.schema import ClusterConfig
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.cluster.device import worker_environment

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

"""A run that takes its time as long as a file is there, so that it can be met at work."""

import time

_SOURCE = """
import time
from pathlib import Path
import jax, jax.numpy as jnp

def build(marker):
    def wait(x):
        if Path(marker).exists():
            time.sleep(0.2)
        return x
    @jax.custom_jvp
    def slow(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(wait, shape, x, vmap_method="expand_dims")
    slow.defjvp(lambda primals, tangents: (slow(*primals), *tangents))
    return lambda x: jnp.tanh(slow(x))
"""


def slow_run(folder, shards):
    """Make a run slow, until `marker` in the folder is removed; return its overrides.

    Args:
        folder: from which it is run.
        shards: of eight rows each, and some tenths of a second.
    """
    (folder / "slow.py").write_text(_SOURCE)
    (folder / "marker").touch()
    return [
        *("network=python", "network.target=slow:build", "network.inputs=[a,b]"),
        *(
            f"network.kwargs={{marker: '{folder}/marker'}}",
            "dataset.ranges={a: [-1, 1], b: [-1, 1]}",
        ),
        *(f"dataset.rows={8 * shards}", "dataset.shard_rows=8", "derivatives.batch=8"),
        *("derivatives.method=hyperdual", "derivatives.tile=8", "derivatives.verify_rows=0"),
        "output.path=out",
    ]


def wait_for_data(process, output, least):
    """Wait until a run has written so many data files."""
    deadline = time.monotonic() + 90
    while not (output / "data").exists() or len(list((output / "data").iterdir())) < least:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no shard was finished"
        time.sleep(0.05)

"""The whole job as one would write it without us: Ray Data around a jitted jvp of a jvp.

It does what a user who knows both libraries would: each actor compiles once, sees one shape and has
one thread; actors leave the scheduler room for tasks that read and write. Matrices are written as
flat lists, which Ray Data handles with less work than m * n columns.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import ray.data

from hyperdiag.networks import build_network

from .contestants import jvp_of_jvp

# Of 256 to 2048 the one with the least processor time for each row, all told, on QLKNN: what is
# between its layers stays in cache, and what Ray Data does for each batch is still small.
BATCH = 256
# Ray 2.60.0 reads up to 128 MiB as one block, which keeps one actor busy, however many blocks
# `read_parquet` is asked for.
_BLOCK_ROWS = 16_384
Columns = dict[str, np.ndarray]


class Derive:
    """Adds value (m,), jacobian (m * n,) and hessian_diag (m * n,) to a batch of rows, float32."""

    def __init__(self, settings: Mapping[str, Any]):
        jax.config.update("jax_default_matmul_precision", "highest")
        network = build_network(settings)
        self._inputs = network.inputs
        self._derive = jvp_of_jvp(network.function, network.n_inputs)
        self._derive(np.zeros((BATCH, network.n_inputs), np.float32))

    def __call__(self, columns: Columns) -> Columns:
        """Derive up to a batch."""
        x = np.stack([columns[name] for name in self._inputs], axis=1).astype(np.float32)
        rows = x.shape[0]
        padded = np.pad(x, ((0, BATCH - rows), (0, 0)), mode="edge")
        value, jacobian, hessian_diag = (np.asarray(a)[:rows] for a in self._derive(padded))
        return columns | {
            "value": value,
            "jacobian": jacobian.reshape(rows, -1),
            "hessian_diag": hessian_diag.reshape(rows, -1),
        }


def derive_folder(
    source: str, target: str, workers: int, actor: type = Derive, *arguments: Any
) -> None:
    """Derive the Parquet files in a folder into another.

    Args:
        source, target: the folders.
        workers: actors.
        actor, arguments: the class that derives, and what it is made with.
    """
    rows = ray.data.read_parquet(source).repartition(target_num_rows_per_block=_BLOCK_ROWS)
    derived = rows.map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_size=BATCH,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0.5,  # of each, so that reading and writing have one
        runtime_env={"env_vars": {"PJRT_NPROC": "1"}},
    )
    derived.write_parquet(target)

"""The plain alternative to a run, `hyperdiag.bench.plain_ray_data`, timed on the same rows.

It has a process and a Ray session of its own. As of the job, only work is timed: a first file goes
through the session before, which starts the processes that read and write; Ray Data is told to
begin when all of its actors are there, and the clock starts with the last of them, compiled.
"""

import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hyperdiag.config.schema import Config, DerivativesConfig, OutputConfig, ParquetConfig
from hyperdiag.messages.errors import HyperdiagError
from hyperdiag.process.ask import NoAnswer, answer, ask

_MOST_SECONDS = 3600.0
_ACTORS_START_SECONDS = 300


def why_no_plain(config: Config) -> str | None:
    """Return why the plain alternative would not do the work of this run here; None if it does."""
    if find_spec("pandas") is None or find_spec("fsspec") is None:
        return "Ray Data needs pandas and fsspec (pip install 'hyperdiag[bench]')"
    usual = DerivativesConfig()
    derivatives, dataset, output = config.derivatives, config.dataset, config.output
    whole = derivatives.wrt is None and (derivatives.outputs, derivatives.dtype) == (
        usual.outputs,
        usual.dtype,
    )
    if isinstance(dataset, ParquetConfig):
        plain = ParquetConfig(name="parquet", path=dataset.path, shard_rows=dataset.shard_rows)
        whole &= dataset == plain and Path(dataset.path).is_dir()
    whole &= output == OutputConfig(path=output.path, layout=output.layout, mode=output.mode)
    if not whole:
        return "it derives all rows of a local folder by all inputs, in float32, and nothing else"
    if config.cluster.name == "existing" or config.cluster.gpus_per_worker:
        return "it is timed on cores of this machine"
    return None


def time_plain(config: Config, workers: int, scratch: Path) -> float:
    """Return the seconds that the plain alternative needs for a dataset, its start left out.

    Args:
        config: with a Parquet dataset.
        workers: actors, each with a core.
        scratch: a folder for what it writes, which is removed again.

    Raises:
        HyperdiagError: if it fails, with the last line that it printed.
    """
    assert isinstance(config.dataset, ParquetConfig)
    job = {
        "network": config.network.model_dump(),
        "source": config.dataset.path,
        "target": str(scratch),
        "workers": workers,
    }
    environment = {"JAX_PLATFORMS": "cpu", "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        return ask(__name__, job, environment, _MOST_SECONDS)
    except NoAnswer as error:
        raise HyperdiagError(f"plain Ray Data failed: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _measure(job: Mapping[str, Any]) -> float:
    """Return the seconds from compiled actors to the last file."""
    import ray  # late: most runs of the benchmark's own process do without

    from hyperdiag.bench.plain_ray_data import Derive, derive_folder

    class Noted(Derive):
        """Leaves a file when it is ready."""

        def __init__(self, settings: Mapping[str, Any], folder: str):
            super().__init__(settings)
            (Path(folder) / uuid.uuid4().hex).touch()

    cores = sorted(os.sched_getaffinity(0))[: job["workers"]]  # those that our workers have
    os.sched_setaffinity(0, cores)
    # Short, since it holds sockets.
    session = tempfile.mkdtemp(prefix="hd-")
    ray.init(
        address="local",
        num_cpus=max(job["workers"], 2),  # half of one for each actor, one to read and write
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _temp_dir=f"{session}/r",  # Ray opens it to everybody
    )
    try:
        context = ray.data.DataContext.get_current()
        context.wait_for_min_actors_s = _ACTORS_START_SECONDS
        context.enable_progress_bars = False
        target = Path(job["target"])
        for number, source in enumerate((_first_file(job["source"]), job["source"])):
            ready = target / f"ready-{number}"
            ready.mkdir(parents=True)
            derive_folder(
                source,
                str(target / f"rows-{number}"),
                job["workers"],
                Noted,
                job["network"],
                str(ready),
            )
            ended = time.time()
        return ended - max(mark.stat().st_mtime for mark in ready.iterdir())
    finally:
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


def _first_file(folder: str) -> str:
    return str(min(Path(folder).rglob("*.parquet")))


if __name__ == "__main__":
    answer(_measure)

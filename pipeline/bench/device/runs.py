"""Whole runs on the device: the job with its stages, and its pipeline without the kernel."""

import tempfile
from pathlib import Path
from typing import Any

from hyperdiag.bench import pipeline, whole_job
from hyperdiag.config.schema import ClusterConfig, Config, DesignConfig

# What `conf/cluster/inline.yaml` says, where it matters: one worker, in this process, on all cores.
_INLINE = ClusterConfig(name="inline", workers=1, pin=False)


def inline(config: Config, rows_scale: float) -> Config:
    """Return the same run in this process, of so many times a design's rows.

    Args:
        config: of a run.
        rows_scale: at least one row is left; Parquet files keep theirs.
    """
    dataset = config.dataset
    if isinstance(dataset, DesignConfig):
        rows = max(1, round(dataset.rows * rows_scale))
        dataset = dataset.model_copy(update={"rows": rows})
    return config.model_copy(update={"cluster": _INLINE, "dataset": dataset})


def time_job(config: Config, config_yaml: str, folder: Path) -> dict[str, Any]:
    """Return what `whole_job.measure` says of one turn of kernel and job.

    Args:
        config: of a run in this process.
        config_yaml: the same as text.
        folder: for a folder of rows and output, which is removed again.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        return whole_job.measure(_below(config, scratch), config_yaml, 1, None)


def time_pipeline(config: Config, config_yaml: str, folder: Path) -> dict[str, Any]:
    """Return what `pipeline.measure` says of one turn, as above."""
    derivatives = config.derivatives.model_copy(update={"verify_rows": 0})
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as scratch:
        without = config.model_copy(update={"derivatives": derivatives})
        return pipeline.measure(_below(without, scratch), config_yaml, 1)


def _below(config: Config, scratch: str) -> Config:
    output = config.output.model_copy(update={"path": f"{scratch}/job"})
    config = config.model_copy(update={"output": output})
    return whole_job.reading_parquet(config, Path(scratch, "rows"))

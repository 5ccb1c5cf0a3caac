"""Rates: of our kernels, of the whole job, of what a worker does beside its kernel, of a device."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from hyperdiag.bench.options import BenchConfig, check_heeded
from hyperdiag.config.schema import load_section
from hyperdiag.jobs._command import run


def task(composed: DictConfig) -> None:
    """Time what `bench.subject` says."""
    with open_dict(composed):
        options = load_section(BenchConfig, composed.pop("bench"), "bench.")
        if composed.dataset.name == "parquet":
            composed.dataset.pop("rows", None)  # those of the design that is derived otherwise
    hydra = HydraConfig.get()
    check_heeded(options.subject, hydra.overrides.task, sweep=hydra.mode == RunMode.MULTIRUN)
    # Late: neither needs what the other imports.
    if options.subject == "job":
        from hyperdiag.bench.whole_job import bench_job

        bench_job(composed, options.repeats, options.plain_ray_data)
    elif options.subject == "pipeline":
        from hyperdiag.bench.pipeline import bench_pipeline

        bench_pipeline(composed, options.repeats)
    elif options.subject == "device":
        from hyperdiag.bench.device.measure import bench_device

        bench_device(composed, options)
    else:
        from hyperdiag.bench.kernels import bench_kernels

        bench_kernels(options, composed.output.path)


def main() -> None:
    """Run from the command line."""
    run("bench", task)


if __name__ == "__main__":
    main()

"""Value, Jacobian and Hessian diagonal for every row of a dataset: the main job."""

from omegaconf import DictConfig

from pipeline.config import load_config
from pipeline.run.job import derive
from pipeline.run.summary import print_summary

from ._command import run
from ._kept import as_yaml


def task(composed: DictConfig) -> None:
    """Derive a dataset and say where the result is."""
    config = load_config(composed)
    print_summary(derive(config, as_yaml(composed)))


def main() -> None:
    """Run from the command line."""
    run("derive", task)


if __name__ == "__main__":
    main()

"""Value, Jacobian and Hessian diagonal for every row of a dataset: the main job."""

from omegaconf import DictConfig

from hyperdiag.config.redacted import redacted_yaml
from hyperdiag.config.schema import load_config
from hyperdiag.jobs._command import run
from hyperdiag.run.derive import derive
from hyperdiag.run.summary import print_summary


def task(composed: DictConfig) -> None:
    """Derive a dataset and say where the result is."""
    config = load_config(composed)
    print_summary(derive(config, redacted_yaml(composed)), config.output.path)


def main() -> None:
    """Run from the command line."""
    run("derive", task)


if __name__ == "__main__":
    main()

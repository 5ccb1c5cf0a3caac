"""The registered networks; with network=..., that one's inputs, outputs and derivatives."""

from typing import Any

import jax
from omegaconf import DictConfig, OmegaConf

from hyperdiag.hyperdual import DTYPES
from hyperdiag.jobs._command import run
from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.networks.table import print_network, print_networks


def task(composed: DictConfig) -> None:
    """List the networks, or show one."""
    # Two numbers a row: no accelerator is worth its start.
    jax.config.update("jax_platforms", "cpu")
    settings: Any = OmegaConf.to_container(composed, resolve=True)
    if not settings.get("network"):
        print_networks()
        return
    dtype = settings["dtype"]
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype}")
    print_network(build_network(settings["network"], dtype), settings["point"], dtype)


def main() -> None:
    """Run from the command line."""
    run("networks", task)


if __name__ == "__main__":
    main()

"""What is kept of a composed configuration: never a credential."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from hyperdiag.messages.masking import HIDDEN, masked_values


def as_yaml(config: DictConfig) -> str:
    """Return a composed configuration as YAML, to be kept; what it takes from elsewhere stays a
    reference.
    """
    return OmegaConf.to_yaml(OmegaConf.create(kept_values(config)))


def kept_values(config: Any) -> Any:
    """Return a composed configuration as plain values that may be kept.

    Credentials are masked, and so is whom a run notifies: who knows such a URL may use it.
    """
    values = masked_values(OmegaConf.to_container(config))
    for key in ("command", "url"):
        if values.get("notify", {}).get(key):
            values["notify"][key] = HIDDEN
    return values

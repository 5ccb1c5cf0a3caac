"""A composed configuration without its credentials, as it may be kept."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from hyperdiag.messages.masking import HIDDEN, masked_values


def redacted_yaml(config: DictConfig) -> str:
    """Return a composed configuration as YAML, without its credentials.

    What it takes from elsewhere stays a reference, `${oc.env:KEY}`.
    """
    return OmegaConf.to_yaml(OmegaConf.create(redacted_values(config)))


def redacted_values(config: Any) -> Any:
    """Return a composed configuration as plain values, without its credentials.

    They are masked, and so is whom a run notifies: who knows such a URL may use it.
    """
    values = masked_values(OmegaConf.to_container(config))
    for key in ("command", "url"):
        if values.get("notify", {}).get(key):
            values["notify"][key] = HIDDEN
    return values

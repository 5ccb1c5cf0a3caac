"""What the policy of a site says of a run: what it may start, and whom it may talk to."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from omegaconf import DictConfig, OmegaConf

from hyperdiag.messages.errors import Problems
from hyperdiag.networks.site_policy import check_command, check_host

# Schemes of which the place is a bucket or a path, and no server.
_STORES = ("s3", "gs", "gcs", "file")
_AZURE = (".core.windows.net", ".fabric.microsoft.com")


def check_site_limits(command: Sequence[str] | None, url: str | None, address: str | None) -> None:
    """Check that the site allows what a configuration has a run start, and talk to.

    Args:
        command: of `notify`.
        url: of `notify`.
        address: of a cluster. Who answers there hands this process objects that it unpickles.

    Raises:
        UsageError: naming every key that it does not allow.
    """
    problems = Problems()
    if command:
        problems.attempt(check_command, command[0], "notify.command")
    if url:
        problems.attempt(check_host, url, "notify.url")
    if address not in (None, "auto"):
        problems.attempt(check_host, address, "cluster.address")
    problems.check()


def check_stores(composed: DictConfig) -> None:
    """Check that the site allows the servers that paths of datasets, outputs and scenarios name.

    The stores of the clouds by their own addresses are no servers that somebody names.

    Raises:
        UsageError: naming every one that it does not allow.
    """
    problems = Problems()
    for key in ("dataset.path", "output.path", "derived.delta_gamma.scenarios"):
        path = OmegaConf.select(composed, key)
        for server in _servers(path) if isinstance(path, str) else []:
            problems.attempt(check_host, server, key)
    problems.check()


def _servers(path: str) -> list[str]:
    parts = urlsplit(path)
    named = [
        value
        for name, value in parse_qsl(parts.query)
        if any(word in name for word in ("endpoint", "authority"))
    ]
    clouds = parts.netloc.endswith(_AZURE) if parts.scheme in ("abfs", "abfss") else False
    if "://" in path and parts.scheme not in _STORES and not clouds:
        named.append(f"//{parts.netloc}")
    return named

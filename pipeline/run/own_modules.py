"""The user's own code, which a running cluster has to be given."""

from pathlib import Path

from pipeline.config import Config


def own_modules(config: Config) -> list[str]:
    """Return the module or package in the current folder that the network comes from, if any."""
    target = config.network.model_dump().get("target") or ""
    top = target.partition(":")[0].partition(".")[0]
    candidates = [Path.cwd() / top, Path.cwd() / f"{top}.py"] if top else []
    return [str(path) for path in candidates if path.exists()][:1]

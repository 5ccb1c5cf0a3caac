"""A run as a job on a Ray cluster: submit it, follow it, stop it, list what there is."""

import sys
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from hyperdiag.config.schema import load_config, load_section
from hyperdiag.jobs._arguments import added
from hyperdiag.jobs._command import CONFIG_DIR, run
from hyperdiag.messages.errors import UsageError
from hyperdiag.submission.actions import Request, perform
from hyperdiag.submission.arguments import Command
from hyperdiag.submission.options import SubmitConfig


def task(composed: DictConfig) -> Request:
    """Return what a composed configuration asks for."""
    with open_dict(composed):
        section = composed.pop("submit", DictConfig({}))
    options = load_section(SubmitConfig, section, "submit.")
    command = _command()
    if options.action != "submit":
        return Request(options, None, command)
    choices = HydraConfig.get().runtime.choices
    if "submit" not in choices and choices.get("cluster") == "local":
        # What a configuration has that was made for `derive`, and nobody chose.
        command = command._replace(overrides=["cluster=existing", *command.overrides])
        composed = compose(command.config_name, list(command.overrides))
    return Request(options, load_config(composed), command)


def _command() -> Command:
    """Return what the configuration was composed from.

    Raises:
        UsageError: if some of that cannot travel.
    """
    hydra = HydraConfig.get()
    folders = []
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            folders.append(source.path)
        elif source.schema == "file" and Path(source.path) != CONFIG_DIR:
            raise UsageError(
                f"configuration from {source.path} does not travel: give its folder with "
                "--config-dir"
            )
    overrides = [text for text in hydra.overrides.task if not _is_of_submit(text)]
    assert hydra.job.config_name is not None
    return Command(overrides, folders, hydra.job.config_name)


def _is_of_submit(override: str) -> bool:
    """Return whether an override is of the section `submit`, and none of `derive`."""
    key = override.lstrip("+~").partition("=")[0]
    return key == "submit" or key.startswith("submit.")


def main() -> None:
    """Run from the command line."""
    sys.argv = added(sys.argv, ["submit"])
    requests: list[Request] = []  # all points of a sweep, before anything is sent
    run(
        "submit",
        lambda composed: requests.append(task(composed)),
        lambda: perform(requests),
    )


if __name__ == "__main__":
    main()

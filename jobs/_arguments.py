"""The command line as Hydra takes it, from what people write who know Hydra, or do not."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hyperdiag.config.override import in_grammar
from hyperdiag.messages.errors import UsageError, first_line

# Mappings whose keys are the user's, so Hydra knows none of them.
FREE = (
    *("dataset.columns", "dataset.ranges", "dataset.levels", "network.kwargs", "network.ranges"),
    *("derived.propagation.deviations", "derived.propagation.correlations"),
    *("derived.propagation.covariance", "derived.delta_gamma.shocks"),
    *("derived.standardised.deviations", "derived.top.deviations"),
    "derived.mine.options",
)

# Groups of which several options may be chosen: a section of each stands under its name.
LISTS = ("derived",)

_FILE_FLAG = "--config"  # ours; Hydra's own are --config-path, --config-name and --config-dir


def hydra_arguments(config_dir: Path, arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command as Hydra takes them.

    `--config FILE` becomes the overrides that the file stands for, before all others, or, where it
    has a defaults list, the flags that compose it. A key in a mapping of the user's own,
    `network.kwargs.k=3`, may be new. Flags may stand between overrides.

    Args:
        config_dir: of the jobs' own configuration.
        arguments: of the command line.

    Raises:
        UsageError: if the file cannot be used.
    """
    flags, overrides = _parted(arguments)
    flags, files = _without_files(flags)
    from_files: list[str] = []
    for file in files:
        content = _content(file)
        if "defaults" in content:
            flags += [f"--config-dir={file.absolute().parent}", f"--config-name={file.stem}"]
        else:
            from_files += _overrides(content, config_dir)
    return [*flags, *from_files, *open_mappings(overrides)]


def open_mappings(overrides: Sequence[str]) -> list[str]:
    """Return overrides of which those in a mapping of the user's own may name a new key."""
    return [
        f"++{override}" if override.startswith(tuple(f"{free}." for free in FREE)) else override
        for override in overrides
    ]


def added(arguments: Sequence[str], sections: Sequence[str]) -> list[str]:
    """Return arguments of which those of a job's own sections are added where they are not there.

    A configuration with a name of its own, which was made for `derive`, has none of them.

    Args:
        arguments: of the command line.
        sections: keys that the job has and `derive` has not.
    """
    names = ("--config-name", "-cn", f"{_FILE_FLAG}=")
    if not any(word.startswith(names) or word == _FILE_FLAG for word in arguments):
        return list(arguments)
    own = re.compile(rf"({'|'.join(map(re.escape, sections))})[.=]")
    return [f"++{argument}" if own.match(argument) else argument for argument in arguments]


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the flags, with their values, and the overrides: argparse wants these in one piece."""
    flags: list[str] = []
    overrides: list[str] = []
    before = ""
    for argument in arguments:
        of_flag = before in _WITH_VALUE or (before in _INFO and "=" not in argument)
        (flags if argument.startswith("-") or of_flag else overrides).append(argument)
        before = argument
    return flags, overrides


_INFO = ("--info", "-i")  # which may have a value, without a sign
_WITH_VALUE = {
    *(_FILE_FLAG, "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}


def _without_files(flags: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the flags without `--config`, and the files that it names."""
    others: list[str] = []
    files: list[Path] = []
    rest = iter(flags)
    for flag in rest:
        if flag == _FILE_FLAG:
            files.append(Path(next(rest, "")))
        elif flag.startswith(f"{_FILE_FLAG}="):
            files.append(Path(flag.partition("=")[2]))
        else:
            others.append(flag)
    return others, files


def _content(file: Path) -> dict[str, Any]:
    """Return what a configuration file holds, its interpolations as they are."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"--config {file} cannot be read: {line}{error.problem}") from error
    except (OSError, ValueError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UsageError(f"--config {file} cannot be read: {first_line(error)}") from error
    if content is None:
        raise UsageError(f"--config {file}: there is no such file in {Path.cwd()}")
    if not isinstance(content, dict):
        raise UsageError(f"--config {file} must hold keys and values, as the files in conf/ do")
    return {str(key): value for key, value in content.items()}


def _overrides(content: dict[str, Any], config_dir: Path) -> Iterator[str]:
    """Yield the overrides that a file without a defaults list stands for, options first."""
    for group, section in content.items():
        if isinstance(section, dict) and isinstance(name := section.get("name"), str):
            yield f"{group}={name}"
        elif isinstance(section, str) and (config_dir / group).is_dir():
            yield f"{group}={section}"
        elif isinstance(section, dict) and group in LISTS:
            options = [name for name in section if (config_dir / group / f"{name}.yaml").is_file()]
            yield f"{group}=[{','.join(options)}]"
    for key, value in content.items():
        if isinstance(value, str) and (config_dir / key).is_dir():
            continue
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            value = {inner: kept for inner, kept in value.items() if inner != "name"}
            if not value:
                continue
        yield from _leaves(key, value)


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value and key not in FREE:
        for inner, part in value.items():
            yield from _leaves(f"{key}.{inner}", part)
    else:
        yield f"{key}={in_grammar(value)}"

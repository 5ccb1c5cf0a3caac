"""The reference of the configuration: every key of `conf/`, from the comments above the keys.

`python -m hyperdiag.config.reference` writes it into `conf/README.md`, below the text for people.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

# In the repository a link to the top-level folder; installed, a copy of it.
CONF = Path(__file__).parents[1] / "conf"
PAGE = CONF / "README.md"
MARK = "<!-- What follows is made from the YAML files: `python -m hyperdiag.config.reference` -->\n"

_COMMANDS = (
    *("derive", "plan", "submit", "schedule"),
    *("status", "verify", "report", "networks", "bench"),
)
_HYDRAS = ("defaults", "hydra")  # sections that Hydra reads, and nobody overrides
_PACKAGE = "# @package "
_ENTRY = "schedule/example.yaml"  # a file for users to copy: its keys are no overrides


class Key(NamedTuple):
    """One key of a configuration file.

    Attributes:
        name: with dots, as it is overridden.
        default: as the file has it, on one line.
        meaning: the comment above the key; empty if there is none.
    """

    name: str
    default: str
    meaning: str


class ConfigFile(NamedTuple):
    """One configuration file.

    Attributes:
        path: relative to `conf/`.
        description: the comment at its beginning; empty if there is none.
        base: the commands whose keys it takes over.
        groups: the groups whose keys it takes over, in order.
        keys: its own keys, in order.
    """

    path: Path
    description: str
    base: list[str]
    groups: list[str]
    keys: list[Key]

    @property
    def title(self) -> str:
        """What it is called on the command line."""
        group, name = self.path.parent.name, self.path.stem
        if str(self.path) == _ENTRY:
            return "DIR/schedule/<name>.yaml"
        if not group:
            return f"hyperdiag {name}"
        return group if name == "default" else f"{group}={name}"


def read_config(path: Path) -> ConfigFile:
    """Read a file of `conf/`, given its path there."""
    text = (CONF / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    head = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    description = lines[:head] if lines[head] in ("", "defaults:") else []
    prefix = "" if str(path) == _ENTRY or not path.parent.name else f"{path.parent.name}."
    if lines[0].startswith(_PACKAGE):  # where Hydra puts what is in the file
        prefix = f"{lines[0].removeprefix(_PACKAGE)}."
        description = description[1:]
    defaults = yaml.safe_load(text).get("defaults", [])
    groups = [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]
    return ConfigFile(
        path,
        _joined(description),
        [entry for entry in defaults if entry in _COMMANDS],
        [group for group in groups if not group.startswith("override ")],
        list(_keys(yaml.compose(text, Loader=yaml.SafeLoader), lines, prefix)),
    )


def _keys(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Key]:
    for key, value in node.value:
        if key.value in _HYDRAS and not prefix:
            continue
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _keys(value, lines, f"{name}.")
            continue
        row = first = key.start_mark.line
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        yield Key(name, _on_one_line(value), _joined(lines[first:row]))


def _on_one_line(value: yaml.Node) -> str:
    if isinstance(value, yaml.ScalarNode):
        return value.value
    plain = yaml.SafeLoader("").construct_document(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False).strip()


def _joined(comments: list[str]) -> str:
    return " ".join(line.strip().lstrip("#").strip() for line in comments)


def config_files() -> list[ConfigFile]:
    """Return the files of `conf/`: the commands', then the groups in the order of `derive`."""
    commands = [read_config(Path(f"{name}.yaml")) for name in _COMMANDS]
    groups = {group: None for command in commands for group in command.groups}
    groups |= {path.parent.name: None for path in sorted(CONF.glob("*/*.yaml"))}
    paths = [path for group in groups for path in sorted((CONF / group).glob("*.yaml"))]
    return commands + [read_config(path.relative_to(CONF)) for path in paths]


def reference() -> str:
    """Return the reference, in Markdown."""
    parts = []
    for file in config_files():
        parts += [f"### `{file.title}`", f"{_shown(file.description)} ([{file.path}]({file.path}))"]
        taken = [f"`hyperdiag {name}`" for name in file.base]
        taken += [f"`{group}`" for group in file.groups]
        if taken:
            parts.append(f"Takes the keys of {', '.join(taken)}.")
        if file.keys:
            rows = [f"| `{k.name}` | {_default(k)} | {_shown(k.meaning)} |" for k in file.keys]
            parts.append("\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _default(key: Key) -> str:
    return "required" if key.default == "???" else f"`{key.default}`".replace("|", "\\|")


def _shown(text: str) -> str:
    """Return a comment as Markdown that shows it as it is, but for code in backticks."""
    parts = text.split("`")
    for sign in "\\*<":
        parts[::2] = [part.replace(sign, f"\\{sign}") for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")


def main() -> None:
    """Write the reference into its page."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{head}{MARK}\n{reference()}", encoding="utf-8")


if __name__ == "__main__":
    main()

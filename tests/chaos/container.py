"""deploy/Containerfile carried out without a container engine.

Each stage is an overlay of this machine's file system, in which the steps run as they stand. This
machine stands for the base image; what the steps change goes into the overlay. Linux, and root.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PYTHON = Path(sys.executable).resolve()  # not that of a virtual environment


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a container file: (word, the rest)."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.split("\n"))]


def may_be_copied(source: str) -> bool:
    """Whether .dockerignore lets a file or folder of the repository through."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    return f"!{source}" in rules and "*" in rules


def build_script(folder: Path, text: str, **arguments: str) -> tuple[str, dict[str, str]]:
    """Return shell commands that build an image, and what its last stage says of running it.

    Args:
        folder: empty, for the overlays.
        text: of the container file.
        arguments: `--build-arg`.
    """
    script = ["set -euo pipefail"]
    stages: dict[str, Path] = {}
    stage, settings = folder, {}
    given: dict[str, str] = {}
    for word, rest in instructions(text):
        if word == "FROM":
            stage = folder / f"stage{len(stages)}"
            stages[rest.partition(" AS ")[2] or "last"] = stage
            settings, given = {"WORKDIR": "/", "ENV": ""}, {}
            script += _mount(stage)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            given[name] = arguments.get(name, value)
        elif word == "ENV":
            settings["ENV"] += f"export {rest}; "
        elif word in ("WORKDIR", "USER", "ENTRYPOINT", "CMD", "LABEL"):
            settings[word] = rest
            if word == "WORKDIR":
                script.append(f"mkdir -p {stage}/root{rest}")
        elif word == "COPY":
            script += _copy(rest, stage, stages, settings["WORKDIR"])
        elif word == "RUN":
            command = re.sub(r"^--mount=\S+ ", "", rest)
            set_up = "".join(f"export {key}={shlex.quote(value)}; " for key, value in given.items())
            path = f"export PATH={_PYTHON.parent}:/usr/sbin:/usr/bin:/sbin:/bin; "
            step = f"set -e; cd {settings['WORKDIR']}; {path}{settings['ENV']}{set_up}{command}"
            script.append(f"chroot {stage}/root /bin/sh -c {shlex.quote(step)}")
        else:
            raise AssertionError(f"{word} is not known here")
    return "\n".join(script), settings | {"STAGE": str(stage)}


def _mount(stage: Path) -> list[str]:
    root = stage / "root"
    lower = f"lowerdir=/,upperdir={stage}/upper,workdir={stage}/work"
    return [
        f"mkdir -p {stage}/upper {stage}/work {root}",
        f"mount -t overlay overlay -o {lower} {root}",
        f"mount --rbind /dev {root}/dev",
        f"mount -t proc proc {root}/proc",
        # The base image's Python is there for everyone.
        *(f"chmod a+x {root}{folder}" for folder in _PYTHON.parents if folder != Path("/")),
    ]


def _copy(rest: str, stage: Path, stages: dict[str, Path], workdir: str) -> list[str]:
    *sources, target = rest.split()
    goal = f"{stage}/root{target if target.startswith('/') else f'{workdir}/{target}'}"
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).partition("=")[2]]
        (source,) = sources
        return [f"mkdir -p $(dirname {goal})", f"cp -a {origin}/root{source} {goal}"]
    assert all(may_be_copied(source) for source in sources), sources
    return [f"cp -a {ROOT / source} {goal}" for source in sources]


def run_script(settings: dict[str, str], command: str) -> str:
    """Return shell commands that run one in an image as Kubernetes would.

    As its user, its root file system read-only, /tmp empty and writable, no way to more rights; and
    with a network of its own, that has nobody else on it.

    Args:
        settings: what `build_script` returned.
        command: for a shell.
    """
    uid, _, gid = settings["USER"].partition(":")
    step = f"{settings['ENV']}export HOME=/tmp; cd {settings['WORKDIR']}; {command}"
    root = f"{settings['STAGE']}/root"
    return "\n".join(
        [
            "set -euo pipefail",
            *_mount(Path(settings["STAGE"])),
            f"mount -t tmpfs -o mode=1777 none {root}/tmp",
            f"mount -o remount,ro {root}",
            "ip link set lo up",
            f"exec chroot {root} setpriv --reuid {uid} --regid {gid} --clear-groups"
            " --no-new-privs --inh-caps=-all --bounding-set=-all"
            f" env -i PATH=/usr/bin:/bin /bin/bash -c {shlex.quote(step)}",
        ]
    )


def in_namespaces(script: str, network: bool, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run shell commands whose mounts, and whose processes, are gone when they have ended.

    Args:
        script: bash.
        network: whether it sees this machine's network.
        seconds: to wait.
    """
    apart = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        *([] if network else ["--net"]),
    ]
    return subprocess.run(
        [*apart, "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )

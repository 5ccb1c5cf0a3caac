"""`hyperdiag <job> [overrides]`: finds the job and runs it."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

from hyperdiag import jobs
from hyperdiag.jobs._completion import COMPLETION_FLAGS, completed_job
from hyperdiag.jobs._stopping import end_at_once
from hyperdiag.jobs._unread import ending_when_unread
from hyperdiag.jobs._version import version_line
from hyperdiag.messages.errors import closest
from hyperdiag.messages.printable import printable_name


def job_names() -> list[str]:
    """Return the names of all jobs, sorted."""
    modules = pkgutil.iter_modules(jobs.__path__)
    return sorted(m.name for m in modules if not m.name.startswith("_") and not m.ispkg)


def _usage() -> str:
    lines = [
        "usage: hyperdiag <job> [--help] [key=value ...]; hyperdiag --version",
        '       eval "$(hyperdiag --shell-completion install=bash)"',
        "",
        "jobs:",
    ]
    for name in job_names():  # parsed, not imported: a job's imports take their time
        source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        document = ast.get_docstring(ast.parse(source)) or ""
        lines.append(f"  {name:10} {document.splitlines()[0]}")
    return "\n".join(lines)


def main() -> None:
    """Run the job that the first argument names, with the arguments that follow."""
    end_at_once()
    with ending_when_unread():
        _dispatch(sys.argv[1:])


def _dispatch(arguments: list[str]) -> None:
    if arguments and arguments[0] in COMPLETION_FLAGS:
        arguments = completed_job(job_names(), arguments)
        if not arguments:
            sys.exit(0)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        sys.exit(0)
    if arguments[0] == "--version":
        print(version_line())
        sys.exit(0)
    name = arguments[0]
    if name not in job_names():
        print(
            f"hyperdiag: no job '{printable_name(name)}'{closest(name, job_names())}\n",
            file=sys.stderr,
        )
        print(_usage(), file=sys.stderr)
        sys.exit(2)
    completing = any(flag in arguments for flag in COMPLETION_FLAGS)
    # The first word is what a shell will ask for options.
    sys.argv = ["hyperdiag" if completing else f"hyperdiag {name}", *arguments[1:]]
    importlib.import_module(f"hyperdiag.jobs.{name}").main()


if __name__ == "__main__":
    main()

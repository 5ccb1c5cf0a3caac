"""Whether an output is what its manifest says, and what its inputs give."""

import json
import logging
from dataclasses import replace
from typing import Literal

import jax
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from pipeline.config import load_section
from pipeline.console import plain_console
from pipeline.data.filesystem import resolve
from pipeline.errors import RunIncomplete
from pipeline.run.audit import Audit, Auditor
from pipeline.run.status import load_plan

from ._command import run

log = logging.getLogger("hyperdiag")


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    path: str


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    path: str | None = None


class VerifyConfig(BaseModel):
    """The configuration of this job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    output: _Output
    dataset: _Dataset = _Dataset()
    shards: NonNegativeInt = 8
    rows: PositiveInt = 16
    format: Literal["text", "json"] = "text"


def task(composed: DictConfig) -> None:
    """Check an output; complain of all that is wrong with it at once."""
    options = load_section(VerifyConfig, composed)
    jax.config.update("jax_platforms", "cpu")  # few rows, in float64
    output = resolve(options.output.path)
    plan = load_plan(options.output.path)
    if options.dataset.path is not None:
        plan = replace(plan, location=options.dataset.path)
    audit = Auditor(output, plan, options.shards, options.rows).run()
    if options.format == "json":
        print(json.dumps(audit._asdict(), indent=1, ensure_ascii=False))
    else:
        _print(audit)
    if audit.findings:
        count = len(audit.findings)
        raise RunIncomplete(f"{options.output.path}: {count} finding{'s' if count > 1 else ''}")


def _print(audit: Audit) -> None:
    console = plain_console()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    for finding in audit.findings:
        say(f"wrong: {finding}")
    for note in audit.notes:
        say(f"note: {note}")
    say(f"{audit.files:,} data files with {audit.rows:,} rows read back, every page")
    say(
        f"{audit.compared:,} shards compared with their input row by row; {audit.derived_again:,} "
        f"rows derived again in float64: largest error {audit.largest_error:.1e} of an output's "
        "largest entry"
    )
    if not audit.findings:
        say("all is as the manifest says")


def main() -> None:
    """Run from the command line."""
    run("verify", task)


if __name__ == "__main__":
    main()

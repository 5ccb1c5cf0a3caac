"""Whether an output is what its manifest says, and what its inputs give."""

from typing import Literal

import jax
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, NonNegativeInt, field_validator
from pydantic_core import PydanticCustomError

from hyperdiag.config.schema import ClusterConfig, load_section
from hyperdiag.jobs._command import run
from hyperdiag.jobs._output import Output
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.messages.masking import masked
from hyperdiag.messages.printable import json_text
from hyperdiag.messages.wording import counted
from hyperdiag.run.inspection.audit import audit
from hyperdiag.run.inspection.audit_table import print_audit


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    path: str | None = None


class VerifyConfig(BaseModel):
    """The configuration of this job."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    output: Output
    cluster: ClusterConfig
    dataset: _Dataset = _Dataset()
    shards: NonNegativeInt = 8
    rows: NonNegativeInt = 16
    format: Literal["text", "json"] = "text"

    @field_validator("cluster")
    @classmethod
    def _check_cluster(cls, cluster: ClusterConfig) -> ClusterConfig:
        if cluster.name != "inline":
            raise PydanticCustomError("cluster", "inline: this process derives the few rows")
        return cluster


def task(composed: DictConfig) -> None:
    """Check an output; complain of all that is wrong with it at once."""
    options = load_section(VerifyConfig, composed)
    jax.config.update("jax_platforms", "cpu")  # few rows, in float64
    report = audit(options.output.path, options.dataset.path, options.shards, options.rows)
    if options.format == "json":
        print(json_text(report._asdict(), indent=1))
    else:
        print_audit(report)
    if report.findings:
        raise RunIncomplete(
            f"{masked(options.output.path)}: {counted(len(report.findings), 'finding')}"
        )


def main() -> None:
    """Run from the command line."""
    run("verify", task)


if __name__ == "__main__":
    main()

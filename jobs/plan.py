"""What a run would do, its time, size and cost, and nothing done of it."""

import sys
from functools import cache
from typing import Annotated, Literal

from omegaconf import DictConfig, open_dict
from pydantic import BaseModel, ConfigDict, Field

from hyperdiag.config.schema import load_config, load_section
from hyperdiag.jobs._arguments import added
from hyperdiag.jobs._command import run
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.printable import json_text
from hyperdiag.process.proc import age_seconds
from hyperdiag.run.forecast.forecast import Price, forecast
from hyperdiag.run.forecast.table import print_forecast


class _Cost(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    per_worker_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    currency: str = ""


class PlanConfig(BaseModel):
    """What this job adds to the configuration of `derive`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    cost: _Cost = _Cost()
    format: Literal["text", "json"] = "text"


def task(composed: DictConfig) -> None:
    """Say what `derive` would do; complain as it would."""
    launch = _launch_seconds()
    with open_dict(composed):
        # None of a configuration with a name of its own, which was made for `derive`.
        values = {key: composed.pop(key) for key in PlanConfig.model_fields if key in composed}
    options = load_section(PlanConfig, DictConfig(values))
    config = load_config(composed)
    report = forecast(config, Price(**options.cost.model_dump()), launch)
    if options.format == "json":
        print(json_text(report.to_json(), indent=1))
    else:
        print_forecast(report)
    if report.output.problems:
        raise UsageError(report.output.problems)


@cache  # of a sweep the first: the others have no process of their own
def _launch_seconds() -> float:
    return age_seconds()


def main() -> None:
    """Run from the command line."""
    sys.argv = added(sys.argv, list(PlanConfig.model_fields))
    run("plan", task)


if __name__ == "__main__":
    main()

"""The section `bench` of the configuration, and which of its keys each subject heeds."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from hyperdiag.messages.errors import UsageError

# The keys that not every subject heeds, and the subjects that do.
_HEEDED_BY = {
    "networks": ("kernels", "device"),
    "seed": ("kernels",),
    "count": ("kernels",),
    "contestants": ("kernels",),
    "rounds": ("kernels",),
    "rows_scale": ("kernels", "device"),
    "threads": ("kernels",),
    "repeats": ("job", "pipeline"),
    "plain_ray_data": ("job",),
    "seconds": ("device",),
}


class BenchConfig(BaseModel):
    """What is timed, and how often; `conf/bench.yaml` says what each key means."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject: Literal["kernels", "job", "pipeline", "device"] = "kernels"
    networks: list[str] | Literal["random"] | None = None
    seed: NonNegativeInt = 1
    count: PositiveInt = 60
    contestants: list[str] | None = None
    rounds: PositiveInt = 5
    rows_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    threads: Literal[1, "all"] = 1
    repeats: PositiveInt = 3
    plain_ray_data: bool = True
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 420.0


def check_heeded(subject: str, overrides: Iterable[str], sweep: bool) -> None:
    """Check that a subject heeds all that is given on the command line.

    Args:
        subject: `bench.subject`.
        overrides: as they are given, in Hydra's grammar.
        sweep: whether they are those of a sweep, of which kernels have none.

    Raises:
        UsageError: naming each key that would be ignored.
    """
    if subject == "kernels" and sweep:
        raise UsageError(
            "kernels are timed in one process with one setting of threads: give bench.networks a "
            "list instead of --multirun"
        )
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    reasons = {key: _why_ignored(subject, key) for key in keys}
    problems = [f"{key} would be ignored: {reason}" for key, reason in reasons.items() if reason]
    if problems:
        raise UsageError(problems)


def _why_ignored(subject: str, key: str) -> str | None:
    """Return why a subject does not heed a key; None if it does."""
    section, _, name = key.partition(".")
    if section == "bench" and subject not in (subjects := _HEEDED_BY.get(name, (subject,))):
        return f"it belongs to bench.subject={' and '.join(subjects)}"
    if subject == "kernels" and section != "bench" and key != "output.path":
        return "bench.subject=kernels has networks of its own, and bench.subject=job heeds it"
    if subject == "pipeline" and section == "cluster":
        return "bench.subject=pipeline times one worker, in this process"
    if subject == "pipeline" and key == "derivatives.verify_rows":
        return "bench.subject=pipeline computes nothing that could be verified"
    if subject == "device" and section == "cluster":
        return "bench.subject=device measures the device of this process, as cluster=inline uses it"
    return None

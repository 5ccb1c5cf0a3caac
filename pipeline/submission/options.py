"""The section `submit` of the configuration."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError


def _checked_id(submission_id: str) -> str:
    # It is part of a URL and of file names on the cluster.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", submission_id):
        raise PydanticCustomError("id", "at most 100 letters, digits and any of _.-")
    return submission_id


class SubmitConfig(BaseModel):
    """Which cluster a run is submitted to, and how; `conf/submit` says what each key means."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    address: str | None = None
    action: Literal["submit", "follow", "logs", "stop", "list"] = "submit"
    id: Annotated[str, AfterValidator(_checked_id)] | None = None
    wait: bool = True
    files: list[str] = []
    environment: Literal["expect", "install"] = "expect"
    package: str | None = None
    requirements: list[str] = []
    python: Annotated[str, Field(min_length=1)] = "python"
    driver_cpus: PositiveFloat | None = None
    driver_memory_bytes: PositiveInt | None = None
    driver_resources: dict[str, PositiveFloat] | None = None

"""The section `output` of jobs that look at an output which is there."""

from pydantic import BaseModel, ConfigDict


class Output(BaseModel):
    """Where the output is: a local path or a URI."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    path: str

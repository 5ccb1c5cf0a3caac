"""The configuration of a run: typed, validated, every problem found at once."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from hyperdiag.config.derived import DerivedConfig
from hyperdiag.config.interpolation import check_interpolations
from hyperdiag.config.logical_date import fill_date
from hyperdiag.config.site_limits import check_site_limits
from hyperdiag.data.design import SAMPLERS
from hyperdiag.data.filesystem import below
from hyperdiag.data.output_folder import QUARANTINE
from hyperdiag.data.quantities import DEFAULT, QUANTITIES
from hyperdiag.data.sink import ERROR_CODE, ERROR_DETAIL
from hyperdiag.hyperdual import AUTO, DTYPES, HIGHEST, METHODS, PRECISIONS
from hyperdiag.messages.errors import Problems, UsageError
from hyperdiag.messages.masking import register_credentials
from hyperdiag.messages.secrets import register_secrets
from hyperdiag.messages.validation import sentences

Options = TypeVar("Options", bound=BaseModel)
_ADDRESS = re.compile(r"auto|(ray://)?([\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}")
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    """Part of the configuration: no key beyond these, no value of another type, no change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NetworkConfig(BaseModel):
    """Which network, and the options that its builder takes (checked by the registry)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str


class ParquetConfig(_Section):
    """`dataset=parquet`: rows of Parquet files; `dataset=quarantine`: those of an earlier run."""

    name: Literal["parquet", "quarantine"]
    path: str
    columns: dict[str, str] | None = None
    vector: str | None = None
    filter: str | None = None
    limit: PositiveInt | None = None
    on_bad_file: Literal["fail", "skip"] = "fail"
    shard_rows: PositiveInt | None = None

    @property
    def location(self) -> str:
        """Where the rows are: at the path, or in the quarantine of the output there."""
        return below(self.path, QUARANTINE) if self.name == "quarantine" else self.path

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that `output.columns=all` leaves out: of a row's former fault."""
        return (ERROR_CODE, ERROR_DETAIL) if self.name == "quarantine" else ()


class DesignConfig(_Section):
    """`dataset=design`: points that fill the network's trained ranges."""

    name: Literal["design"]
    rows: PositiveInt = 100_000
    sampler: Literal[SAMPLERS] = "sobol"  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    levels: PositiveInt | dict[str, PositiveInt] = 3
    ranges: dict[str, list[float]] | None = None
    limit: PositiveInt | None = None
    shard_rows: PositiveInt | None = None


class DerivativesConfig(_Section):
    """What is computed, and how."""

    method: Literal[AUTO, *METHODS] = AUTO  # type: ignore[valid-type]
    wrt: list[str | int] | None = None
    dtype: Literal[DTYPES] = "float32"  # type: ignore[valid-type]
    precision: Literal[AUTO, *PRECISIONS] = HIGHEST  # type: ignore[valid-type]
    tile: PositiveInt | None = None
    batch: PositiveInt | None = None
    outputs: Annotated[list[Literal[*QUANTITIES]], Field(min_length=1)] = list(DEFAULT)  # type: ignore[valid-type]
    verify_rows: Annotated[int, Field(ge=0, le=4096)] = 4
    tolerance: PositiveFloat | None = None


class OutputConfig(_Section):
    """Where the derivatives go, and in which columns."""

    path: str
    layout: Literal["auto", "wide", "tensor"] = "auto"
    mode: Literal["resume", "overwrite", "update"] = "resume"
    wait_seconds: Annotated[float, Field(ge=0)] = 0.0
    columns: Literal["all", "none"] | list[str] = "all"
    provenance: bool = False


class ClusterConfig(_Section):
    """Who does the work."""

    name: Literal["local", "inline", "existing"]
    workers: PositiveInt | None = None
    min_workers: PositiveInt | None = None
    wait_seconds: PositiveFloat = 300.0
    start_seconds: PositiveFloat = 300.0
    answer_seconds: PositiveFloat = 120.0
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0
    cpus_per_worker: PositiveInt | None = None
    address: str | None = None
    autoscales: bool = False
    shards_in_flight: Annotated[int, Field(ge=1, le=256)] | None = None
    pin: bool = True
    compile_cache: str | None = None

    @field_validator("compile_cache")
    @classmethod
    def _check_compile_cache(cls, folder: str | None) -> str | None:
        # Workers have folders of their own to be in.
        if folder is not None and not Path(folder).is_absolute():
            raise PydanticCustomError("compile_cache", "an absolute path, such as /var/cache/jax")
        return folder

    @property
    def cores(self) -> int:
        """Cores of a worker: as configured, or as `with_cores` has filled them in."""
        return self.cpus_per_worker or 1

    def on_cores(self, count: int) -> "ClusterConfig":
        """Return the same with so many cores for a worker."""
        return self.model_copy(update={"cpus_per_worker": count})

    @property
    def in_flight(self) -> int:
        """Shards that a worker has under way at most: while its cores compute, others wait."""
        return self.shards_in_flight or self.cores + 2

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str | None) -> str | None:
        # Ray imports what stands before `://`, where that is none of its own words.
        if address is not None and not _ADDRESS.fullmatch(address):
            raise PydanticCustomError("address", "host:6379, ray://host:10001 or auto")
        return address

    @field_validator("gpus_per_worker")
    @classmethod
    def _check_gpus(cls, gpus: float) -> float:
        if gpus > 1 and gpus % 1:  # Ray's rule, too
            raise PydanticCustomError("gpus", "at most 1, or a whole number")
        return gpus


class LimitsConfig(_Section):
    """When a run gives up, and what it refuses."""

    max_bad_fraction: Fraction = 0.1
    max_attempts: PositiveInt = 3
    retry_seconds: Annotated[float, Field(ge=0)] = 2.0
    start_seconds: PositiveFloat = 1800.0
    shard_seconds: PositiveFloat | None = None
    out_of_range: Literal["count", "quarantine"] = "count"


class SummaryConfig(_Section):
    """The statistics of rows that are kept."""

    enabled: bool | None = None
    only: bool = False
    by: str | None = None
    bins: Annotated[int, Field(ge=0, le=1000)] = 20
    extreme_rows: Annotated[int, Field(ge=0, le=1000)] = 10


class NotifyConfig(_Section):
    """Who hears how a run ended."""

    command: Annotated[list[str], Field(min_length=1)] | None = None
    url: str | None = None
    on: list[Literal["success", "failure", "busy"]] = ["success", "failure"]
    seconds: PositiveFloat = 10.0

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://host")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            # Without the URL itself, whose path or options may be what lets one in.
            raise PydanticCustomError("url", "an http:// or https:// URL without user and password")
        return url


class ReportConfig(_Section):
    """Whether a report for a browser is made when a run is published."""

    enabled: bool = False


class RunConfig(_Section):
    """Which run it is: the day or moment that its data are of, an ISO date or time."""

    date: str


class Config(_Section):
    """A whole run."""

    network: NetworkConfig
    dataset: Annotated[ParquetConfig | DesignConfig, Field(discriminator="name")]
    derivatives: DerivativesConfig
    output: OutputConfig
    cluster: ClusterConfig
    limits: LimitsConfig
    run: RunConfig
    notify: NotifyConfig = NotifyConfig()
    derived: DerivedConfig = DerivedConfig()
    summary: SummaryConfig = SummaryConfig()
    report: ReportConfig = ReportConfig()


def load_config(composed: DictConfig) -> Config:
    """Return the validated configuration, having filled in `run.date` where it is null.

    Raises:
        UsageError: naming every missing, unknown or unusable value at once.
    """
    fill_date(composed)  # first: paths that are made from it would complain of it again
    check_interpolations(composed)
    problems = Problems()
    # What the network needs is checked where it is built, together with all else about it.
    for key in sorted(OmegaConf.missing_keys(composed)):
        if not key.startswith("network."):
            problems.add(f"{key} is required: {key}=...")
    try:
        values = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(values, dict)
        values.pop("log", None)  # the command's business
        register_credentials(values)
        config = Config.model_validate(values)
    except ValidationError as error:
        # A missing value stands in the container as '???', which may fail its type as well.
        complaints = [each for each in error.errors() if each["input"] != "???"]
        problems.extend(sentences(complaints, values, lambda name: _section(name, values)))
        problems.check()
        raise
    problems.check()
    notify = config.notify
    register_secrets(_parts_of_webhook(notify.url))
    check_site_limits(notify.command, notify.url, config.cluster.address)
    return config


def _parts_of_webhook(url: str | None) -> list[str]:
    """Return what of a URL lets one in who knows it: all but the host."""
    parts = urlsplit(url or "")
    words = [word for word in re.split(r"[/?&=]", f"{parts.path}?{parts.query}") if len(word) > 15]
    rest = (url or "").partition(parts.netloc)[2] if parts.netloc else ""
    return [url, rest, *words] if url and len(rest) > 1 else []


def load_section(model: type[Options], composed: DictConfig, prefix: str = "") -> Options:
    """Return the options of a job that is not a run, validated.

    Args:
        model: what they must be.
        composed: their values.
        prefix: where they stand in the whole configuration, "bench." say.

    Raises:
        UsageError: naming every missing, unknown or unusable value at once.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise UsageError([f"{prefix}{key} is required: {prefix}{key}=..." for key in missing])
    values = OmegaConf.to_container(composed, resolve=True)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        complaints = sentences(error.errors(), values, lambda _: list(model.model_fields))
        raise UsageError([f"{prefix}{sentence}" for sentence in complaints]) from error


def _section(name: str, values: Any) -> list[str]:
    model = {
        "dataset": DesignConfig
        if (values.get("dataset") or {}).get("name") == "design"
        else ParquetConfig,
        "derivatives": DerivativesConfig,
        "output": OutputConfig,
        "cluster": ClusterConfig,
        "limits": LimitsConfig,
        "run": RunConfig,
        "notify": NotifyConfig,
        "derived": DerivedConfig,
        "summary": SummaryConfig,
        "report": ReportConfig,
    }.get(name, Config)
    return list(model.model_fields)

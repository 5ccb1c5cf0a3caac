"""What is logged, to standard error: lines for people, or a JSON object a line for programs.

A line may be about something: `log.info("...", extra=about(shard=3))`. People see the sentence; a
program finds the shard in a field of its own. Whatever is, or looks like, a credential is masked in
both, and what a terminal would obey is escaped.
"""

import contextlib
import datetime
import logging
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .masking import masked_text, masked_values
from .printable import json_text, printable_lines

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}

_logger = logging.getLogger("hyperdiag")
_run: dict[str, str] = {}


class LogConfig(BaseModel):
    """How much is logged, and how it is written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning"] | None = None


def set_up(config: LogConfig) -> None:
    """Log to standard error from now on as configuration says."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if config.format == "json" else _Text())
    _logger.handlers = [handler]
    # What is said of each shard is too much for people, and what a program looks for.
    usual = "debug" if config.format == "json" else "info"
    _logger.setLevel(LEVELS[config.level or usual])
    _logger.propagate = False
    mask_others()


def mask_others() -> None:
    """Mask what other libraries log, JAX the message of a network's function that fails."""
    handlers = [*logging.getLogger("jax").handlers, *logging.getLogger().handlers]
    for handler in (*handlers, logging.lastResort):
        if handler and not isinstance(handler.formatter, _Masking):
            handler.setFormatter(_Masking(handler.formatter or logging.Formatter()))


def is_json() -> bool:
    """Return whether programs read the log."""
    return any(isinstance(handler.formatter, _Json) for handler in _logger.handlers)


def name_run(digest: str) -> None:
    """Let every line from now on carry a run's id, the digest of its plan."""
    _run["run"] = digest


def about(**fields: Any) -> dict[str, Any]:
    """Return the `extra` of a log call: what the line is about, by name."""
    return {"about": fields}


class _Text(logging.Formatter):
    """The time and the sentence; the last words of a command without the time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.ERROR:
            return f"hyperdiag: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(masked_text(super().format(record)))


class _Masking(logging.Formatter):
    """Another formatter's text, masked."""

    def __init__(self, inner: logging.Formatter):
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(masked_text(self._inner.format(record)))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_run,
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json_text(_masked(masked_values(fields)), default=str)


def _masked(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {key: _masked(value) for key, value in fields.items()}
    if isinstance(fields, list):
        return [_masked(value) for value in fields]
    return masked_text(fields) if isinstance(fields, str) else fields


@contextlib.contextmanager
def at_level(name: str, level: int) -> Iterator[None]:
    """Let a logger of a library's say nothing below a level while the block lasts.

    Args:
        name: of the logger; "" is the root of all.
        level: as `logging` has it.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)

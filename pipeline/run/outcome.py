"""The outcome of a run, as other programs are told it: state, counts, what went wrong."""

import time
from types import TracebackType
from typing import Any

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import absolute
from hyperdiag.messages.errors import Busy, RunIncomplete, UsageError
from hyperdiag.messages.masking import masked, masked_text
from hyperdiag.process.exit_codes import exit_code
from hyperdiag.process.signals import Stopped
from hyperdiag.run.notify import notify

from .output.inventory import Inventory
from .output.manifest import Manifest
from .plan.planner import Planned

# Of a manifest: what is not among the counts anyhow.
_MANIFEST_KEYS = ("method", "dtype", "layout", "shards", "warnings", "workers", "finished")
# Ray grants a driver that it stops three seconds; closing the pool takes its part of them.
_STOPPED_SECONDS = 0.7


class Outcome:
    """The outcome of the run that is done in the block; at its end, `notify.*` are told it.

    Args:
        config: of the run.

    Attributes:
        planned: its plan, once there is one.
        inventory: what is done of it, from then on.
        manifest: if the run was published.
    """

    def __init__(self, config: Config):
        self._config = config
        self.planned: Planned | None = None
        self.inventory: Inventory | None = None
        self.manifest: Manifest | None = None

    def __enter__(self) -> "Outcome":
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        config = self._config.notify
        if _event(error) in config.on and (config.command or config.url):
            stopped = isinstance(error, Stopped)
            notify(config, self.summary(error), _STOPPED_SECONDS if stopped else config.seconds)

    def summary(self, error: BaseException | None) -> dict[str, Any]:
        """Return the outcome as others are told it: plain values, without credentials.

        Args:
            error: that ended the run; None if it was published.
        """
        summary: dict[str, Any] = {
            "state": _state(error),
            "exit_code": exit_code(error),
            "output": masked(absolute(self._config.output.path)),
            "network": self._config.network.name,
            "date": self._config.run.date,
            "seconds": round(time.monotonic() - self._started, 3),
            "error": masked_text(str(error)) if error else None,
        }
        if self.planned:
            summary |= {"run": self.planned.plan.digest, "rows_planned": self.planned.rows}
        if self.inventory:
            tally = self.inventory.tally
            summary |= {
                "shards_planned": self.inventory.shards,
                "shards_done": self.inventory.count,
                "rows_read": tally.read,
                "rows_derived": tally.derived,
                "rows_filtered": tally.filtered,
                "rows_quarantined": tally.bad,
                "quarantined": dict(sorted(tally.quarantined.items())),
            }
        if self.manifest:
            summary["manifest"] = {key: getattr(self.manifest, key) for key in _MANIFEST_KEYS}
        return summary


def _event(error: BaseException | None) -> str:
    """Return which of `notify.on` an outcome is."""
    if error is None:
        return "success"
    # Another run is at work: nothing has failed, and whoever tries again would be told each time.
    return "busy" if isinstance(error, Busy) else "failure"


def _state(error: BaseException | None) -> str:
    if error is None:
        return "done"
    for kind, state in (
        (Stopped, "stopped"),
        (UsageError, "refused"),
        (RunIncomplete, "incomplete"),
        (Busy, "busy"),
    ):
        if isinstance(error, kind):
            return state
    return "failed"

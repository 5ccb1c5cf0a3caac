"""Why a run ends incomplete: shards that were given up, or too many bad rows."""

from hyperdiag.config.schema import Config
from hyperdiag.data.filesystem import below
from hyperdiag.data.output_folder import QUARANTINE
from hyperdiag.data.shard import Shard
from hyperdiag.messages.errors import RunIncomplete
from hyperdiag.messages.masking import masked
from hyperdiag.messages.wording import by_code, counted
from hyperdiag.run.output.inventory import Inventory
from hyperdiag.run.output.receipt import Failed, Receipt, Tally
from hyperdiag.run.plan.plan import Plan

from .monitor import Listener

# Shards given up one after another, of as many files, from which on the cause is taken to be the
# same for all.
_MOST_FAILURES_IN_A_ROW = 10
_FAILURES_SHOWN = 5


class Failures(Listener):
    """The shards that were given up.

    Args:
        inventory: what is done of the run.
        plan: of the run.
    """

    def __init__(self, inventory: Inventory, plan: Plan):
        self._inventory, self._plan = inventory, plan
        self._failures: list[Failed] = []
        self._in_a_row: list[Shard] = []
        self._other: Shard | None = None

    def done(self, receipt: Receipt) -> None:
        """Begin a new row of failures."""
        self._in_a_row.clear()

    def failed(self, failed: Failed) -> None:
        """Keep a shard that was given up."""
        self._failures.append(failed)
        self._in_a_row.append(failed.shard)

    def all_will_fail(self) -> bool:
        """Tell whether so many shards were given up in a row that the others would be, too.

        One damaged file says nothing of the others.
        """
        if len(self._in_a_row) < _MOST_FAILURES_IN_A_ROW:
            return False
        files = {_path(shard) for shard in self._in_a_row}
        if len(files) >= _MOST_FAILURES_IN_A_ROW:
            return True
        # Of all that are left, which may be millions, the same one will do as long as it holds.
        other = self._other
        if other is None or self._inventory.done[other.id] or _path(other) in files:
            missing = self._inventory.missing(self._plan)
            self._other = next((shard for shard in missing if _path(shard) not in files), None)
        return self._other is None

    def check(self) -> None:
        """Check that there are none.

        Raises:
            RunIncomplete: naming the first of them, each with its cause.
        """
        if self._failures:
            raise RunIncomplete(self._sentences())

    def _sentences(self) -> str:
        shown, more = self._failures[:_FAILURES_SHOWN], len(self._failures) - _FAILURES_SHOWN
        lines = [
            f"shard {failed.shard.id} ({_rows(failed.shard)}, "
            f"{counted(failed.attempts, 'attempt')}): {failed.cause}"
            for failed in shown
        ]
        if more > 0:
            lines.append(f"and {more} more")
        early = (
            f" (the last {len(self._in_a_row)} without one success between them, so the run "
            f"stopped there; {self._inventory.count} are done)"
            if self.all_will_fail()
            else ""
        )
        return (
            f"{len(self._failures)} of {counted(self._inventory.shards, 'shard')} failed{early}; "
            "the others are kept, and the same command tries these again:\n" + "\n".join(lines)
        )


def check_bad_rows(config: Config, tally: Tally) -> None:
    """Check that no more rows are bad than the configuration allows.

    Raises:
        RunIncomplete: if there are more, saying how many of each kind, and where they are.
    """
    if tally.bad_fraction > config.limits.max_bad_fraction:
        raise RunIncomplete(
            f"{tally.bad:,} of {tally.tried:,} rows are bad ({by_code(tally.quarantined)}), more "
            f"than limits.max_bad_fraction={config.limits.max_bad_fraction:g}: look into "
            f"{masked(below(config.output.path, QUARANTINE))}; a larger limit and the same command "
            "publish the run"
        )


def _path(shard: Shard) -> str | None:
    return shard.file.path if shard.file else None


def _rows(shard: Shard) -> str:
    rows = f"rows {shard.first_row} to {shard.first_row + shard.rows - 1}"
    return f"{rows} of {shard.file.path}" if shard.file else rows

"""Reading the statistics of an output back: those of each shard, and those of all rows."""

from collections.abc import Mapping
from typing import Any

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import statistics_file
from hyperdiag.messages.errors import UsageError
from hyperdiag.run.output.summary_files import statistics_files
from hyperdiag.run.plan.plan import Plan
from hyperdiag.statistics.packed import digest, is_packed
from hyperdiag.statistics.statistics import Statistics

_MEND = "without it, the same command as before makes it again"


class StatisticsAudit:
    """Adds up the statistics of shards, and compares what was published with that.

    Args:
        output: the output folder.
        plan: of its run.
    """

    def __init__(self, output: Place, plan: Plan):
        self._output = output
        self._total = Statistics(plan.statistics) if plan.statistics else None
        self._whole = True

    def read(self, shard: int, footer: Mapping[str, Any]) -> tuple[bytes | None, list[str]]:
        """Return what a shard's file holds, if it is as its receipt says, and what is wrong."""
        name = statistics_file(shard)
        if self._total is None:
            return None, []
        try:
            content = (self._output / name).read_bytes()
        except UsageError as error:
            return None, [f"{name} cannot be read: {error}; {_MEND}"]
        if digest(content) != footer.get("statistics"):
            return None, [f"{name} is damaged, or not of its shard; {_MEND}"]
        if not is_packed(content):
            return None, [
                f"{name} is of another release: the same command as before derives it again"
            ]
        return content, []

    def add(self, content: bytes | None) -> None:
        """Add up what a shard's file holds; None: it is missing, or damaged."""
        if content is None:
            self._whole = False
        elif self._total is not None:
            self._total.add(content)

    def findings(self) -> list[str]:
        """Return a sentence on each published file that is not what the shards add up to."""
        if self._total is None or not self._whole:
            return []
        findings = []
        for name, right in statistics_files(self._total).items():
            try:
                content = (self._output / name).read_bytes()
            except UsageError as error:
                findings.append(f"{name} cannot be read: {error}; {_MEND}")
            else:
                if content != right:
                    findings.append(
                        f"{name} is not what the statistics of the shards add up to; {_MEND}"
                    )
        return findings

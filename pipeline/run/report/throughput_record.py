"""What `run/throughput.json` says, as figures take it."""

from typing import Any

from .records import Record


def throughput_record(throughput: dict[str, Any]) -> Record:
    """Return rows by worker and seconds by stage over time, in lists that are aligned.

    Args:
        throughput: as `Throughput.to_json` writes it.
    """
    rows, stages = throughput["rows"], throughput["stages"]
    names, series = list(rows), list(rows.values())
    if throughput["other_workers"]:
        names.append(f"{throughput['other_workers']:,} others")
        series.append(throughput["other_rows"])
    seconds = throughput["interval_seconds"]
    intervals = len(throughput["other_rows"])
    return {
        "interval_seconds": seconds,
        "middles": [(at + 0.5) * seconds for at in range(intervals)],
        "worker_names": names,
        "worker_rows": series,
        "stage_names": list(stages),
        "stage_seconds": list(stages.values()),
    }

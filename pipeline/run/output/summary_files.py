"""What is said of a whole run, as files: its manifest, and the statistics of its rows."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.output_folder import EXTREMES, MANIFEST, SUMMARY
from hyperdiag.statistics.statistics import Statistics
from hyperdiag.statistics.table import extremes_table, summary_table

from .manifest import Manifest


def summary_files(statistics: Statistics | None, manifest: Manifest) -> dict[str, bytes]:
    """Return the content of these files, by their names in an output, the manifest last.

    Args:
        statistics: of all rows; None where none are kept.
        manifest: of the run.
    """
    files = statistics_files(statistics) if statistics is not None else {}
    files[MANIFEST] = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False).encode()
    return files


def statistics_files(statistics: Statistics) -> dict[str, bytes]:
    """Return the content of the files that hold statistics, by their names in an output."""
    return {
        SUMMARY: _parquet(summary_table(statistics)),
        EXTREMES: _parquet(extremes_table(statistics)),
    }


def _parquet(table: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue().to_pybytes()

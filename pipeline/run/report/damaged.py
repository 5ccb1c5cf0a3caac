"""Files of an output that are missing or damaged: what is said of them, and what mends that."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Place
from hyperdiag.data.output_folder import EXTREMES, QUARANTINE, SUMMARY
from hyperdiag.messages.errors import UsageError, first_line, listed

_VERIFY = "hyperdiag verify checks the rest of the output"
_MADE_AGAIN = "the same command as before makes it again"
_MENDS = {
    SUMMARY: f"{_MADE_AGAIN} from the statistics of the shards",
    EXTREMES: f"{_MADE_AGAIN} from the statistics of the shards",
}
_SHARD = "the same command as before derives its shard again"


def _mend(name: str) -> str:
    return _MENDS.get(name, _SHARD if name.startswith(QUARANTINE) else _MADE_AGAIN)


def missing(name: str) -> str:
    """Return a sentence on a file that should be in an output, by its name there."""
    return f"{name} is missing: {_mend(name)}; {_VERIFY}."


def unreadable(place: Place, name: str, error: Exception) -> UsageError:
    """Return what to raise where a file of an output cannot be read.

    Args:
        place: of the file.
        name: of it in the output.
        error: what came of reading it.
    """
    mend = _mend(name)
    try:
        place.read_bytes()
    except UsageError as refused:
        if isinstance(refused.__cause__, FileNotFoundError):
            return UsageError(f"{place} is missing: {mend}; {_VERIFY}")
        return refused  # nothing is known of its content: no access, a disk that fails
    said = first_line(error).rstrip(".")
    return UsageError(f"{place} is damaged: {said}. Delete it, and {mend}; {_VERIFY}")


def read_parquet(place: Place, name: str, columns: Sequence[str]) -> pa.Table:
    """Return a file of an output.

    Args:
        place: of the file.
        name: of it in the output.
        columns: that it must have, among others.

    Raises:
        UsageError: if it is missing, damaged, or has not these columns.
    """
    try:
        with place.filesystem.open_input_file(place.path) as source:
            table = pq.read_table(source)
        absent = [column for column in columns if column not in table.column_names]
        if absent:
            raise OSError(f"it has no column {listed(absent, 3)}")
    except (OSError, pa.ArrowException) as error:
        raise unreadable(place, name, error) from error
    return table

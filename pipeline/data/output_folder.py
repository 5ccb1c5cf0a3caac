"""The layout of an output folder: the names of its folders and files, and what is written when.

data/part-0000000.parquet         a shard's rows; its footer is the shard's receipt
quarantine/part-0000000.parquet   the shard's bad rows, if any; written before its data
run/lock                          who holds the folder, on a local filesystem
run/current.json                  who holds it, and which files are published; on a filesystem a
                                  folder, run/current, in which the highest number holds
run/listing-*.parquet             the files that are published
run/plan.json, files-*.parquet    the frozen plan, when a run takes the folder
run/config.yaml                   the configuration, for people, beside the plan
run/axes.parquet                  the names of outputs and inputs, by their positions in a tensor
run/progress.json                 the heartbeat, every few seconds while a run is at work
run/journal/                      receipts of finished shards, gathered, now and then
run/statistics/part-0000000.statistics   those of a shard's rows; written before its data
run/summary.parquet, extremes.parquet    statistics of all rows, and the most extreme ones
run/scratch/                      files under way
run/staged/                       an output of its own: what an update will publish
run/manifest.json                 the summary of a whole run, when it is published
_SUCCESS                          the last of all: the digest of the plan that is published
run/throughput.json               rows and seconds over time, once it is published
run/report.html                   a report for a browser, where a run or a person asked for it
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from hyperdiag.messages.errors import OutputError

from .filesystem import Place, write_whole
from .object_store.tries import is_passing

DATA, QUARANTINE, RUN, SUCCESS = "data", "quarantine", "run", "_SUCCESS"
SCRATCH, STAGED, JOURNAL = f"{RUN}/scratch", f"{RUN}/staged", f"{RUN}/journal"
STATISTICS = f"{RUN}/statistics"
SUMMARY, EXTREMES = f"{RUN}/summary.parquet", f"{RUN}/extremes.parquet"
PLAN, MANIFEST, CONFIG = f"{RUN}/plan.json", f"{RUN}/manifest.json", f"{RUN}/config.yaml"
AXES = f"{RUN}/axes.parquet"
THROUGHPUT, REPORT = f"{RUN}/throughput.json", f"{RUN}/report.html"
PROGRESS, LOCK, CURRENT = f"{RUN}/progress.json", f"{RUN}/lock", f"{RUN}/current.json"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
# As Arrow words errors of S3.
_NO_ACCESS = re.compile("AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH)")
# Arrow, too, would make a bucket, if it were allowed to.
_NO_BUCKET = re.compile("NO_SUCH_BUCKET|allow_bucket_creation", re.I)
_SHARD_FILE = re.compile(r"part-(\d{7,})\.(parquet|statistics)")
_INPUT_FILES = re.compile(r"files-[0-9a-f]{16}\.parquet")
_LISTING = re.compile(r"listing-[0-9a-f]{16}(-folding)?\.parquet")


def file_name(shard: int) -> str:
    """Return the name of a shard's data file, and of its quarantine file, by its id."""
    return f"part-{shard:07d}.parquet"


def data_file(shard: int) -> str:
    """Return where in an output a shard's data file is, by the shard's id."""
    return f"{DATA}/{file_name(shard)}"


def quarantine_file(shard: int) -> str:
    """Return where in an output a shard's quarantine file is, by the shard's id."""
    return f"{QUARANTINE}/{file_name(shard)}"


def statistics_file(shard: int) -> str:
    """Return where in an output the statistics of a shard's rows are, by the shard's id."""
    return f"{STATISTICS}/{statistics_name(file_name(shard))}"


def statistics_name(name: str) -> str:
    """Return the name of the file of a shard's statistics, by that of its data file."""
    return f"{name.removesuffix('.parquet')}.statistics"


def shard_of(name: str) -> int:
    """Return the id of the shard that a file of this name belongs to; -1 if it is not ours."""
    match = _SHARD_FILE.fullmatch(name)
    shard = int(match[1]) if match else -1
    return shard if name in (file_name(shard), statistics_name(file_name(shard))) else -1


def input_files(digest: str) -> str:
    """Return where the input files of the plan with a digest are listed."""
    return f"{RUN}/files-{digest}.parquet"


def lists_input_files(name: str) -> bool:
    """Return whether a file of this name in the folder `run` is the list of some plan's."""
    return _INPUT_FILES.fullmatch(name) is not None


def listing_file(digest: str, folding: bool) -> str:
    """Return where in an output the published files of the plan with a digest are listed.

    Args:
        digest: of the plan.
        folding: whether some of them are not in their places yet.
    """
    return f"{RUN}/listing-{digest}{'-folding' if folding else ''}.parquet"


def lists_published_files(name: str) -> bool:
    """Return whether a file of this name in the folder `run` lists published files."""
    return _LISTING.fullmatch(name) is not None


def write_file(output: Place, name: str, content: bytes) -> None:
    """Write a file of an output so that it appears whole or not at all.

    Args:
        output: the output folder.
        name: of the file in it, such as PLAN.
        content: of the file.

    Raises:
        OutputError: naming the path and the cause.
    """
    with writing(output / name):
        write_whole(output / name, content, output / SCRATCH / name.rpartition("/")[2])


def _cause(error: OSError) -> str:
    """Return what an error of a filesystem says, but for advice that is of no use here."""
    return "there is no such bucket" if _NO_BUCKET.search(str(error)) else str(error).rstrip(".")


def _mend(error: OSError) -> str:
    """Return what a person can do about an error of a filesystem."""
    if error.errno in _FULL:
        return "Free space"
    if error.errno in _NOT_ALLOWED:
        return "Mend the permissions"
    if is_passing(error):
        return "Wait until the store answers"
    if _NO_BUCKET.search(str(error)):
        return "Make it, or give the path of one that is there"
    if _NO_ACCESS.search(str(error)):
        return "Mend the credentials, or what they are allowed to do"
    return "Mend that"


@contextmanager
def writing(
    where: Place | str, again: str = "run the same command again: finished shards are kept"
) -> Iterator[None]:
    """Let an error of the filesystem name what could not be written, and how to go on.

    Args:
        where: what is written.
        again: what to do once that is mended.

    Raises:
        OutputError: in the place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {where}: {_cause(error)}. {_mend(error)}, then {again}"
        ) from error


def prepare_folders(output: Place) -> None:
    """Make the folders of an output.

    Raises:
        OutputError: naming the path and the cause.
    """
    with writing(output):
        for name in (DATA, QUARANTINE, RUN, STATISTICS, *(() if output.is_store else (SCRATCH,))):
            output.filesystem.create_dir((output / name).path, recursive=True)

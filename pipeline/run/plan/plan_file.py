"""The plan in an output folder: its settings in `run/plan.json`, its input files beside that.

A million files make a Parquet file of some megabytes, `run/files-<digest>.parquet`; as JSON they
would make hundreds.
"""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import Guard, Place, files_in, resolve
from hyperdiag.data.output_folder import PLAN, RUN, input_files, lists_input_files, write_file
from hyperdiag.data.shard import InputFile
from hyperdiag.messages.errors import UsageError
from hyperdiag.messages.masking import masked

from .plan import Plan
from .spec import ParquetSpec, Settings

_FILES_AT_ONCE = 1 << 16  # of a million: what is held of them in a second form
_FILE_COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("row_group_rows", pa.list_(pa.int64())),
        ("first_shard", pa.int64()),
    ]
)


def save_plan(plan: Plan, output: Place, guard: Guard = lambda: None) -> None:
    """Keep a plan in an output's `run` folder.

    Args:
        plan: to be kept.
        output: the output folder.
        guard: called before each file is written or deleted: raises if the output is another run's.

    Raises:
        OutputError: if it cannot be written.
    """
    own = input_files(plan.digest)
    guard()
    if plan.files:
        write_file(output, own, _encoded(plan.files))
    content = {"digest": plan.digest, "files": len(plan.files), "settings": plan.to_json()}
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False)
    guard()
    write_file(output, PLAN, text.encode())  # from here on the list of files is this plan's
    for info in files_in(output / RUN):
        if lists_input_files(info.base_name) and f"{RUN}/{info.base_name}" != own:
            guard()
            output.filesystem.delete_file(info.path)


def load_digest(output: Place) -> str | None:
    """Return the digest of the plan that is kept in an output; None if none is.

    Raises:
        ValueError: if what is there is no plan.
    """
    content = _content(output)
    return None if content is None else content["digest"]


def load_settings(output: Place) -> Settings | None:
    """Return the settings of the plan that is kept in an output; None if none is.

    Raises:
        ValueError: if what is there is no plan of this version's.
    """
    content = _content(output)
    return None if content is None else Settings.from_json(content["settings"])


def load_plan(output: Place) -> Plan | None:
    """Return the plan that is kept in an output; None if none is.

    Raises:
        ValueError: if what is there is no plan of this version's, or not as it was written.
    """
    content = _content(output)
    if content is None:
        return None
    settings = Settings.from_json(content["settings"])
    files: tuple[InputFile, ...] = ()
    if content["files"]:
        files = _decoded(output / input_files(content["digest"]))
    plan = Plan(
        settings.network,
        settings.dataset,
        settings.kernel,
        settings.output,
        settings.limits,
        settings.versions,
        files,
        # A path with credentials is kept masked, and leads nowhere.
        settings.dataset.path if isinstance(settings.dataset, ParquetSpec) else "",
        settings.network.settings,
        derived=settings.derived,
        summary=settings.summary,
    )
    if plan.digest != content["digest"]:
        raise ValueError("it is not as it was written: its digest is another")
    return plan


def plan_at(path: str) -> Plan:
    """Return the plan that the output folder at a path or URI holds.

    Raises:
        UsageError: if there is no run at the path.
        ValueError: if its plan is damaged, or of a version with other settings.
    """
    output = resolve(path)
    plan = load_plan(output)
    if plan is None:
        raise UsageError(f"output.path {masked(path)} {no_run(output)}")
    return plan


def no_run(output: Place) -> str:
    """Return, as the end of a sentence, that a place holds no run, and what there is not."""
    return f"holds no run: there is no {PLAN if output.exists() else 'such folder'}"


def _content(output: Place) -> dict[str, Any] | None:
    place = output / PLAN
    if not place.exists():
        return None
    content = json.loads(place.read_bytes())
    if not isinstance(content, dict) or content.keys() != {"digest", "files", "settings"}:
        raise ValueError("not a plan")
    return content


def _encoded(files: tuple[InputFile, ...]) -> bytes:
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, _FILE_COLUMNS, compression="zstd") as writer:
        for first in range(0, len(files), _FILES_AT_ONCE):
            columns = zip(*files[first : first + _FILES_AT_ONCE], strict=True)
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, _FILE_COLUMNS, strict=True)
            ]
            writer.write_table(pa.table(arrays, schema=_FILE_COLUMNS))
    return buffer.getvalue()


def _decoded(place: Place) -> tuple[InputFile, ...]:
    files: list[InputFile] = []
    try:
        with pq.ParquetFile(place.path, filesystem=place.filesystem) as parquet:
            for batch in parquet.iter_batches(_FILES_AT_ONCE):
                columns = [column.to_pylist() for column in batch.columns]
                for path, size, modified, rows, first in zip(*columns, strict=True):
                    files.append(InputFile(path, size, modified, tuple(rows), first))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place.path}: {error}") from error
    return tuple(files)

"""What a run says of itself: what was run, and what bears on whether to trust it."""

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from hyperdiag.data.filesystem import Place
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.output_folder import SUMMARY, THROUGHPUT
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.data.sink import ERROR_CODE, ERROR_DETAIL
from hyperdiag.hyperdual import HIGHEST
from hyperdiag.messages.errors import UsageError, first_line
from hyperdiag.messages.wording import counted, duration
from hyperdiag.run.output.manifest import Manifest
from hyperdiag.run.output.reader import Publication
from hyperdiag.run.output.warnings import excused_rows
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.spec import ParquetSpec

from .damaged import missing, read_parquet, unreadable
from .records import Record

_EXAMPLES = 3  # rows of each cause
_MOST_FILES = 32  # of the quarantine, that are read for them
_MOST_VALUES = 8  # of a quarantined row's own columns
_MOST_LETTERS = 300

RIGHT, LOOK = "right", "look"  # nothing to see to; something that a person should judge


class Check(NamedTuple):
    """Something that bears on whether to trust a run.

    Attributes:
        state: RIGHT or LOOK.
        title: what was checked.
        text: what came of it.
    """

    state: str
    title: str
    text: str


class Example(NamedTuple):
    """A quarantined row.

    Attributes:
        code, detail: why it is there.
        file, row: where it comes from.
        values: some of its columns, as text, by name.
    """

    code: str
    detail: str
    file: str
    row: str
    values: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What a report says of a run, but for its numbers.

    Attributes:
        manifest: of the run.
        description: pairs of a name and what there is to say.
        checks: what bears on trust.
        examples: of quarantined rows.
        throughput: rows and seconds over time, if they were kept of this plan.
        why_no_throughput: a sentence on why they are not shown, if so.
    """

    manifest: Manifest
    description: Sequence[tuple[str, str]]
    checks: Sequence[Check]
    examples: Sequence[Example]
    throughput: Record | None
    why_no_throughput: str


def read_facts(publication: Publication, plan: Plan, manifest: Manifest) -> Facts:
    """Return what a published run says of itself.

    Args:
        publication: in its output.
        plan, manifest: of the run.
    """
    throughput, why = _throughput(publication.output, manifest.plan)
    examples, unread = _examples(publication) if manifest.rows.bad else ([], [])
    lost = plan.summary is not None and not (publication.folder / SUMMARY).exists()
    return Facts(
        manifest,
        _description(plan, manifest),
        [
            *_checks(manifest, bool(plan.network.ranges)),
            *([Check(LOOK, "Statistics", missing(SUMMARY))] if lost else ()),
            *(Check(LOOK, "Quarantined rows", sentence) for sentence in unread),
        ],
        examples,
        throughput,
        why,
    )


def _description(plan: Plan, manifest: Manifest) -> list[tuple[str, str]]:
    network, seconds = manifest.network, manifest.seconds
    products = "" if manifest.precision == HIGHEST else f", {manifest.precision} products"
    titles = ", ".join(QUANTITIES[quantity].title for quantity in manifest.quantities)
    rows = f"{counted(manifest.rows.read, 'row')} in {counted(manifest.shards, 'shard')}"
    dataset = plan.dataset
    source = dataset.path if isinstance(dataset, ParquetSpec) else f"a design ({dataset.sampler})"
    took = (
        f"{duration(seconds.work)} for {counted(seconds.rows, 'row')} with "
        f"{counted(manifest.workers, 'worker')}, after {duration(seconds.start)} to start: the "
        "last command, if there were several"
    )
    return [
        ("Network", f"{network.name}, digest {network.digest}"),
        (
            "Derived",
            f"{titles}, of {counted(len(network.outputs), 'output')} with respect to "
            f"{len(manifest.directions)} of {counted(len(network.inputs), 'input')}",
        ),
        ("How", f"{manifest.method}, {manifest.dtype}{products}, layout {manifest.layout}"),
        ("Dataset", f"{source}: {rows}"),
        ("Output", manifest.output),
        ("Plan", f"{manifest.plan} (two runs with this digest write the same bytes)"),
        ("Finished", manifest.finished),
        ("Took", took if seconds.work else "nothing: all was derived before"),
        ("Versions", ", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    ]


def _checks(manifest: Manifest, ranges: bool) -> list[Check]:
    """Return what the manifest says; `ranges`: whether any trained range is known."""
    rows = manifest.rows
    checks = [Check(RIGHT if rows.derived else LOOK, "Rows", _rows_text(manifest))]
    if rows.bad:
        causes = ", ".join(
            f"{count:,} {code} ({count / rows.tried:.3%})"
            for code, count in sorted(rows.quarantined.items())
        )
        text = f"{rows.bad:,} of {rows.tried:,} rows are in quarantine, not in the data: {causes}."
        checks.append(Check(LOOK, "Quarantine", text))
    else:
        checks.append(Check(RIGHT, "Quarantine", "No row was refused."))
    checks.append(_verification(manifest))
    if rows.out_of_range:
        text = (
            f"{rows.out_of_range:,} of {rows.read:,} rows read lie outside the ranges that the "
            "network was trained in, where nobody knows how good it is."
        )
        checks.append(Check(LOOK, "Trained ranges", text))
    elif not ranges:
        text = (
            "None is known (network.ranges gives them): no row was looked at for whether the "
            "network was trained there."
        )
        checks.append(Check(LOOK, "Trained ranges", text))
    else:
        text = "No row lies outside the trained ranges that are known."
        checks.append(Check(RIGHT, "Trained ranges", text))
    excused = list(excused_rows(rows, manifest.dtype))
    checks += [Check(LOOK, "Excused errors", _sentence(each)) for each in excused]
    if not excused and rows.verified:
        text = "No verified row lies at a kink, or has a derivative lost in rounding."
        checks.append(Check(RIGHT, "Excused errors", text))
    shown = {*excused, *(f"left out: {file.path}: {file.reason}" for file in manifest.bad_files)}
    checks += [Check(LOOK, "Note", _sentence(w)) for w in manifest.warnings if w not in shown]
    checks += [
        Check(LOOK, "File left out", f"{file.path}: {file.reason}") for file in manifest.bad_files
    ]
    return checks


def _rows_text(manifest: Manifest) -> str:
    rows = manifest.rows
    return (
        f"{rows.read:,} read: {rows.derived:,} derived, {rows.filtered:,} filtered out, "
        f"{rows.bad:,} quarantined."
    )


def _verification(manifest: Manifest) -> Check:
    rows = manifest.rows
    if not rows.verified:
        return Check(LOOK, "Verification", "No row was compared with a reference.")
    within = rows.largest_error <= manifest.tolerance
    return Check(
        RIGHT if within else LOOK,
        "Verification",
        f"{counted(rows.verified, 'row')} derived again in float64 by another method: the largest "
        f"error is {rows.largest_error:.1e} of an output's largest entry; {manifest.tolerance:.1e} "
        "was allowed.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _examples(publication: Publication) -> tuple[list[Example], list[str]]:
    """Return some rows of each cause, from the first files of the quarantine.

    And, for each of these files that cannot be read, a sentence on why, and on what mends it.

    Raises:
        UsageError: if what lists these files cannot be read.
    """
    output, published = publication.output, publication.published
    try:
        paths = publication.quarantine_paths()
    except (OSError, pa.ArrowException) as error:
        assert published is not None  # else no file lists them
        raise unreadable(output / published.listing, published.listing, error) from error
    examples: dict[str, list[Example]] = {}
    unread: list[str] = []
    for path in heapq.nsmallest(_MOST_FILES, paths, key=lambda path: path.rpartition("/")[2]):
        name = path.removeprefix(f"{output.path}/")
        try:
            table = read_parquet(output._replace(path=path), name, _PLACE)
        except UsageError as error:
            unread.append(f"{error}.")  # all else can be shown without it
            continue
        for row in _first_of_each_code(table):
            own = [key for key in row if key not in _PLACE][:_MOST_VALUES]
            code, detail, file, index = (_text(row[key]) for key in _PLACE)
            values = {key: _text(row[key]) for key in own}
            example = Example(code, detail, file, index, values)
            of_code = examples.setdefault(example.code, [])
            if len(of_code) < _EXAMPLES:
                of_code.append(example)
    return [example for code in sorted(examples) for example in examples[code]], unread


_PLACE = (ERROR_CODE, ERROR_DETAIL, SOURCE_FILE, ROW_INDEX)


def _first_of_each_code(table: pa.Table) -> list[dict[str, Any]]:
    codes = table[ERROR_CODE].to_pylist()
    places = {code: [] for code in dict.fromkeys(codes)}  # type: dict[str, list[int]]
    for at, code in enumerate(codes):
        if len(places[code]) < _EXAMPLES:
            places[code].append(at)
    return table.take([at for each in places.values() for at in each]).to_pylist()


def _text(value: Any) -> str:
    """Return a value of a row as text that is not too long."""
    text = str(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _throughput(output: Place, plan: str) -> tuple[Record | None, str]:
    """Return what `run/throughput.json` says, as figures take it: lists that are aligned.

    None where it is not of this plan, or cannot be read; and then a sentence on why.
    """
    place = output / THROUGHPUT
    mend = "No command writes the times of earlier work again; all else is as it should be."
    try:
        if not place.exists():
            return None, f"There are no times: {THROUGHPUT} is not there. {mend}"
        throughput = json.loads(place.read_bytes())
        of = throughput["plan"]
        if of != plan:
            return None, f"There are no times: {THROUGHPUT} is of another plan, {of}."
        times = _aligned(throughput)
        json.dumps(times, allow_nan=False)
    except (UsageError, KeyError, TypeError, ValueError, AttributeError) as error:
        return None, f"There are no times: {THROUGHPUT} is damaged ({first_line(error)}). {mend}"
    return times, ""


def _aligned(throughput: dict[str, Any]) -> Record:
    """Return the file's content as figures take it.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if it is not as a run writes it.
    """
    rows, stages = throughput["rows"], throughput["stages"]
    names, series = list(rows), list(rows.values())
    if throughput["other_workers"]:
        names.append(f"{throughput['other_workers']:,} others")
        series.append(throughput["other_rows"])
    seconds = throughput["interval_seconds"]
    intervals = len(throughput["other_rows"])
    for each in (*series, *stages.values()):
        if len(each) != intervals or not all(isinstance(x, int | float) for x in each):
            raise ValueError("not a number for each interval")
    return {
        "interval_seconds": seconds,
        "middles": [(at + 0.5) * seconds for at in range(intervals)],
        "worker_names": names,
        "worker_rows": series,
        "stage_names": list(stages),
        "stage_seconds": list(stages.values()),
    }

"""The plan of a publication, and what it says of where the numbers of rows are."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from hyperdiag.data.layout import Layout
from hyperdiag.data.output_folder import PLAN
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.messages.errors import InputError, UsageError, closest_or_all
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.reader import Publication
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.plan_file import load_plan, no_run

from .row_arrays import axes_of, named_arrays


def published_plan(publication: Publication, path: str) -> Plan:
    """Return the plan of a publication.

    Args:
        publication: whose plan is read.
        path: of its output, for messages.

    Raises:
        UsageError: if there is no plan.
        InputError: if it is damaged, or another's.
    """
    where = f"{masked(path)}: {PLAN}"
    try:
        plan = load_plan(publication.folder)
    except ValueError as error:
        raise InputError(
            f"{where} cannot be read: {error}; put a copy of it back, or start again with "
            "output.mode=overwrite"
        ) from error
    if plan is None:
        raise UsageError(f"{masked(path)} {no_run(publication.output)}")
    if publication.published and publication.published.plan != plan.digest:
        raise InputError(
            f"{where} is {plan.digest}, and what is published is of {publication.published.plan}"
        )
    return plan


def layout_of(plan: Plan, names: Sequence[str]) -> Layout:
    """Return the layout of some of what is written of a plan's rows; of all, if nothing is named.

    Args:
        plan: of the run.
        names: of quantities, and of blocks of derived ones.

    Raises:
        UsageError: if one was not written.
    """
    layout = plan.layout
    if plan.writes_no_rows:
        raise UsageError(
            "the run wrote no rows (summary.only=true): summary() and extremes() are what there is"
        )
    written = written_names(layout)
    for name in names:
        if name not in written:
            wanted = ",".join([*layout.quantities, name])
            mend = f"; derivatives.outputs=[{wanted}] writes it, in a new output"
            raise UsageError(
                f"no quantity '{name}' was written{closest_or_all(name, written)}"
                f"{mend if name in QUANTITIES else ''}"
            )
    return part_of(layout, names or written)


def written_names(layout: Layout) -> list[str]:
    """Return the names of a layout's quantities, and of its blocks of derived ones."""
    return [*layout.quantities, *(block.name for block in layout.derived)]


def part_of(layout: Layout, names: Sequence[str]) -> Layout:
    """Return a layout of the quantities and derived blocks with these names alone."""
    return replace(
        layout,
        quantities=tuple(name for name in names if name in layout.quantities),
        derived=tuple(block for block in layout.derived if block.name in names),
    )


def number_of(
    layout: Layout, output: str | None, others: str | tuple[str, ...] | None
) -> tuple[str, Callable[[pa.Table], np.ndarray]]:
    """Return the column that has a number of each row, and what takes it out of a table's rows.

    Args:
        layout: of one quantity, or one block of derived ones.
        output: of which the number is; None: of none.
        others: along the other axes: with respect to which inputs.

    Raises:
        UsageError: if a name is unknown, there are too few or too many, or there is text.
    """
    (name,) = written_names(layout)
    if any(block.labels for block in layout.derived):
        raise UsageError(f"'{name}' has names, which are neither large nor small")
    labels = (
        *((output,) if output is not None else ()),
        *((others,) if isinstance(others, str) else others or ()),
    )
    axes = axes_of(layout, name)
    if len(labels) != len(axes):
        wanted = " and ".join(f"an {axis.replace('_', ' ')}" for axis, _ in axes) or "no name"
        raise UsageError(
            f"a number of '{name}' has {wanted}: give output=..., and input=... for each other, "
            "and no more"
        )
    position = []
    for label, (axis, known) in zip(labels, axes, strict=True):
        if label not in known:
            raise UsageError(f"no {axis.replace('_', ' ')} '{label}'{closest_or_all(label, known)}")
        position.append(known.index(label))
    if layout.kind == "tensor":
        index: tuple[Any, ...] = (slice(None), *position)
        return name, lambda table: named_arrays(layout, table)[name].values[index]
    column = layout.computed[int(np.ravel_multi_index(position, [len(k) for _, k in axes]))].name
    return column, lambda table: table[column].to_numpy()

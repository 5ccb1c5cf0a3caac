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
        raise InputError(f"{where} cannot be read: {error}") from error
    if plan is None:
        raise UsageError(f"{masked(path)} {no_run(publication.output)}")
    if publication.published and publication.published.plan != plan.digest:
        raise InputError(
            f"{where} is {plan.digest}, and what is published is of {publication.published.plan}"
        )
    return plan


def layout_of(plan: Plan, quantities: Sequence[str]) -> Layout:
    """Return the layout of some quantities of a plan's rows; of all, if none are named.

    Raises:
        UsageError: if one was not written.
    """
    layout = plan.layout
    if plan.writes_no_rows:
        raise UsageError(
            "the run wrote no rows (summary.only=true): summary() and extremes() are what there is"
        )
    for name in quantities:
        if name not in layout.quantities:
            wanted = ",".join([*layout.quantities, name])
            mend = f"; derivatives.outputs=[{wanted}] writes it, in a new output"
            raise UsageError(
                f"no quantity '{name}' was written{closest_or_all(name, layout.quantities)}"
                f"{mend if name in QUANTITIES else ''}"
            )
    return replace(layout, quantities=tuple(quantities) or layout.quantities)


def number_of(
    layout: Layout, output: str, inputs: str | tuple[str, str] | None
) -> tuple[str, Callable[[pa.Table], np.ndarray]]:
    """Return the column that has a number of each row, and what takes it out of a table's rows.

    Args:
        layout: of one quantity.
        output: of which the number is.
        inputs: with respect to which.

    Raises:
        UsageError: if a name is unknown, or there are too few or too many inputs.
    """
    (name,) = layout.quantities
    quantity = QUANTITIES[name]
    names = () if inputs is None else (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if len(names) != quantity.axes:
        wanted = ("no input=", "input='...'", "input=('...', '...')")[quantity.axes]
        raise UsageError(
            f"quantity '{name}' of an output takes {wanted}{closest_or_all('', layout.directions)}"
        )
    position = []
    for label, known, axis in (
        (output, layout.outputs, "output"),
        *((each_name, layout.directions, "input") for each_name in names),
    ):
        if label not in known:
            raise UsageError(f"no {axis} '{label}'{closest_or_all(label, known)}")
        position.append(list(known).index(label))
    if layout.kind == "tensor":
        index: tuple[Any, ...] = (slice(None), *position)
        return name, lambda table: layout.arrays(table)[0][index]
    shape = quantity.shape(len(layout.outputs), len(layout.directions))
    column = layout.computed[int(np.ravel_multi_index(position, shape))].name
    return column, lambda table: table[column].to_numpy()

"""`hyperdiag.Output`: what a run has published, for notebooks."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from hyperdiag.data.filesystem import absolute
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.output_folder import EXTREMES, MANIFEST, SUMMARY
from hyperdiag.data.sink import ERROR_CODE, ERROR_DETAIL
from hyperdiag.data.threads import each
from hyperdiag.messages.errors import InputError, UsageError
from hyperdiag.messages.masking import masked
from hyperdiag.run.output.reader import (
    Publication,
    Result,
    batches_of,
    consistently,
    rows_of,
)
from hyperdiag.run.plan.plan import Plan

from .input_rows import joined
from .named_array import NamedArray
from .published_plan import layout_of, number_of, part_of, published_plan, written_names
from .row_arrays import named_arrays
from .top_rows import top_rows

_PLAN = b"hyperdiag.plan"  # in the metadata of a table: the digest of the plan of its rows
_NO_BAD_ROWS = pa.table(
    {
        ERROR_CODE: pa.array([], pa.string()),
        ERROR_DETAIL: pa.array([], pa.string()),
        SOURCE_FILE: pa.array([], pa.string()),
        ROW_INDEX: pa.array([], pa.int64()),
    }
)


class Output:
    """What a run has published in an output, at hand.

    Each call and each attribute reads what is published then, and all of it from one publication,
    whatever is published meanwhile; nothing but the plan is kept. So arrays and tables that belong
    together are asked for together: `arrays("value", "jacobian")`.

    Args:
        path: the output folder, a local path or a URI (`s3://...`).

    Raises:
        UsageError: from every method, if nothing is published there (any longer).
        InputError: from every method, if the output changed each time while it was read.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = absolute(os.fspath(path))  # the current folder may become another
        self._plan: Plan | None = None
        self._look(self._plan_of)

    def __repr__(self) -> str:
        return f"Output({masked(self._path)!r})"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's n inputs."""
        return self._look(self._plan_of).network.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's m outputs."""
        return self._look(self._plan_of).network.outputs

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the k inputs that were differentiated with respect to."""
        return self._look(self._plan_of).kernel.directions

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run says of itself, as in `run/manifest.json`."""

        def read(publication: Publication) -> dict[str, Any]:
            return json.loads((publication.folder / MANIFEST).read_bytes())

        return self._look(read)

    def table(
        self, columns: list[str] | None = None, filter: ds.Expression | None = None
    ) -> pa.Table:
        """Return rows of the data files, as `hyperdiag.read` does.

        Args:
            columns: names of those that are wanted; None: all.
            filter: which rows are wanted, such as `pyarrow.compute.field("vol") > 0.2`; None: all.

        Raises:
            UsageError: if a column is unknown, or the filter cannot be asked of them.
        """
        return self._look(lambda p: self._marked(rows_of(p, columns, filter), p))

    def batches(
        self,
        rows: int = 1 << 16,
        columns: list[str] | None = None,
        filter: ds.Expression | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the rows that `table` returns, some at a time, for outputs larger than the memory.

        Args:
            rows: at a time, at most.
            columns, filter: see `table`.

        Raises:
            UsageError: if a column is unknown, or the filter cannot be asked of them.
            InputError: if the output is updated before all rows have been read.
        """
        if rows < 1:
            raise UsageError(f"rows={rows}: take 1 or more")
        for publication, table in batches_of(self._path, rows, columns, filter):
            yield self._marked(table, publication)

    def quarantine(self) -> pa.Table:
        """Return the quarantined rows: their columns, and why, and where they come from."""

        def read(publication: Publication) -> pa.Table:
            filesystem = publication.output.filesystem
            paths = publication.quarantine_paths()
            tables = [*each(lambda path: _whole(path, filesystem), paths)]
            rows = pa.concat_tables(tables or [_NO_BAD_ROWS], promote_options="permissive")
            return self._marked(rows, publication)

        return self._look(read)

    def summary(self) -> pa.Table:
        """Return the statistics of all rows: `run/summary.parquet`.

        Raises:
            UsageError: if the run kept none.
        """
        return self._statistics(SUMMARY)

    def extremes(self) -> pa.Table:
        """Return the most extreme rows that were noted while rows passed: `run/extremes.parquet`.

        Raises:
            UsageError: if the run kept none.
        """
        return self._statistics(EXTREMES)

    @property
    def value(self) -> NamedArray:
        """The outputs of all rows, (rows, m), read anew each time."""
        return self.arrays("value")["value"]

    @property
    def jacobian(self) -> NamedArray:
        """The first derivatives of all rows, (rows, m, k), read anew each time."""
        return self.arrays("jacobian")["jacobian"]

    @property
    def hessian_diag(self) -> NamedArray:
        """The second derivatives of all rows, (rows, m, k), read anew each time."""
        return self.arrays("hessian_diag")["hessian_diag"]

    @property
    def laplacian(self) -> NamedArray:
        """Their sums over the inputs, (rows, m), read anew each time."""
        return self.arrays("laplacian")["laplacian"]

    @property
    def hessian(self) -> NamedArray:
        """The Hessians of all rows, (rows, m, k, k), read anew each time."""
        return self.arrays("hessian")["hessian"]

    def arrays(self, *names: str, filter: ds.Expression | None = None) -> dict[str, NamedArray]:
        """Return quantities of the same rows, as arrays with named axes.

        Args:
            names: "value", "jacobian", "hessian_diag", "laplacian", "hessian", or what is derived
                of these, such as "std"; none: all that were written.
            filter: which rows are wanted; see `table`.

        Raises:
            UsageError: if a quantity was not written.
        """

        def read(publication: Publication) -> dict[str, NamedArray]:
            layout = layout_of(self._plan_of(publication), names)
            columns = [field.name for field in layout.computed]
            arrays = named_arrays(layout, rows_of(publication, columns, filter))
            return {name: arrays[name] for name in names or arrays}

        names = tuple(dict.fromkeys(names))
        return self._look(read)

    def unpack(self, table: pa.Table) -> dict[str, NamedArray]:
        """Return the quantities of rows that `table`, `batches` or `top` returned.

        Args:
            table: the rows.

        Returns:
            Those quantities of which the table has all columns.
        """
        layout = self._look(self._plan_of).layout
        arrays: dict[str, NamedArray] = {}
        for name in written_names(layout):
            part = part_of(layout, [name])
            if {field.name for field in part.computed} <= set(table.column_names):
                arrays |= named_arrays(part, table)
        return arrays

    def joined(
        self, table: pa.Table, columns: Sequence[str] | None = None, location: str | None = None
    ) -> pa.Table:
        """Return rows with columns of the input that were not passed through.

        Of the input only those files, columns and row groups are read that the rows need.

        Args:
            table: rows of `table`, `batches` or `top` where the run had `output.provenance=true`,
                or of `quarantine` or `extremes`.
            columns: names of the input's; None: all that the rows do not have yet.
            location: where the input is, with any credentials; None: where the run found it.

        Returns:
            The same rows, in their order; a column whose name is taken has the ending `_input`.

        Raises:
            UsageError: if the rows do not say where they come from, or a column is unknown.
            InputError: naming the input file that is gone, or has changed since the run was
                planned; or if the output was updated since the rows were read.
        """

        def join(publication: Publication) -> pa.Table:
            plan = self._plan_of(publication)
            own = plan.digest.encode()
            if (table.schema.metadata or {}).get(_PLAN, own) != own:
                raise InputError(
                    f"{masked(self._path)} was updated since these rows were read: read them again"
                )
            if location is not None:
                plan = replace(plan, location=location)
            return joined(table, plan, columns)

        return self._look(join)

    def top(
        self,
        output: str | None,
        quantity: str = "value",
        rows: int = 10,
        smallest: bool = False,
        *,
        input: str | tuple[str, ...] | None = None,
    ) -> pa.Table:
        """Return the most extreme of all rows, the most extreme first, with all their columns.

        One column of all data files is read, and then the row groups that have these rows.

        Args:
            output: by which of the network's outputs; None for what has no axis of outputs.
            quantity: of it, such as "jacobian"; see `arrays`.
            rows: how many.
            smallest: whether those with the smallest numbers are wanted, not the largest.
            input: with respect to which, for a derivative; two for a Hessian. Of what is derived,
                the names along the axes after that of the outputs, such as a scenario.

        Raises:
            UsageError: if a name is unknown, or the quantity was not written.
        """

        def read(publication: Publication) -> pa.Table:
            layout = layout_of(self._plan_of(publication), (quantity,))
            column, number = number_of(layout, output, input)
            sign = -1.0 if smallest else 1.0
            paths = publication.data_paths()
            table = top_rows(publication.output, paths, column, lambda t: sign * number(t), rows)
            return self._marked(table, publication)

        if rows < 1:
            raise UsageError(f"rows={rows}: take 1 or more")
        return self._look(read)

    def _look(self, step: Callable[[Publication], Result]) -> Result:
        return consistently(self._path, step)

    def _plan_of(self, publication: Publication) -> Plan:
        digest = publication.published.plan if publication.published else None
        if self._plan is None or self._plan.digest != digest:
            self._plan = published_plan(publication, self._path)
        return self._plan

    def _statistics(self, name: str) -> pa.Table:
        def read(publication: Publication) -> pa.Table:
            if self._plan_of(publication).summary is None:
                raise UsageError(
                    f"the run in {masked(self._path)} kept no statistics: summary.enabled=true "
                    "does, in a new output"
                )
            content = (publication.folder / name).read_bytes()
            return self._marked(pq.read_table(pa.BufferReader(content)), publication)

        return self._look(read)

    def _marked(self, table: pa.Table, publication: Publication) -> pa.Table:
        """Return a table that says which plan its rows are of."""
        digest = self._plan_of(publication).digest.encode()
        return table.replace_schema_metadata({**(table.schema.metadata or {}), _PLAN: digest})


def _whole(path: str, filesystem: Any) -> pa.Table:
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        return file.read()

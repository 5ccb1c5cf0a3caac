"""The worker: reads a shard, derives it, writes it. The same code with Ray and without."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.points import count_outside, fill_bad_rows, refuse_outside
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.data.shard import Rows, Shard
from hyperdiag.data.sink import ShardSink
from hyperdiag.hyperdual import Hanging, derivatives, within
from hyperdiag.messages.errors import HyperdiagError, InputError
from hyperdiag.networks import build_network
from hyperdiag.run.cluster.device import check_device
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import STAGES, Receipt, Tally
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.versions import differences

from .verification import Verifier

log = logging.getLogger("hyperdiag")


# The quantities of some rows, (rows, ...) each, in the order of the plan.
Arrays = tuple[np.ndarray, ...]


class Worker:
    """Derives shards of one plan. Several threads may each derive a shard of their own.

    Reading and writing overlap with computing as far as the threads go; one lock holds the kernel
    to one batch at a time, since it fills its core or device by itself.

    Args:
        plan: the frozen run.
        output_path: the output folder.
        fence: what is asked before a file is shown, if anything is.
        cores: that belong to it.

    Attributes:
        plan: the frozen run.
        cores: that belong to it.
        output: the output folder.
        kernel: computes the quantities of a batch of points; a benchmark puts another in its place.

    Raises:
        HyperdiagError: if the packages, the network that is built here, the device, or the output's
            folder is not as planned.
    """

    def __init__(self, plan: Plan, output_path: str, fence: Fence | None = None, cores: int = 1):
        self.plan, self.cores = plan, cores
        if fence:
            fence.check_seen()
        self._guard = fence.guard() if fence else None
        self.output = resolve(output_path)
        kernel = plan.kernel
        check_device(kernel.device)
        other = differences(plan.versions)
        if other:
            raise HyperdiagError(
                f"this worker has {', '.join(other)}, and would compute other bits: give the "
                "workers the packages that the run was planned with"
            )
        built = build_network(plan.network_options, kernel.dtype)
        if built.digest != plan.network.digest:
            raise HyperdiagError(
                f"network '{built.name}' was planned with digest {plan.network.digest}, but this "
                f"worker builds {built.digest}: give the workers the same code and weights"
            )
        self.kernel: Callable[..., Sequence[Any]] = derivatives(
            built.function,
            built.n_inputs,
            method=kernel.method,
            wrt=built.wrt(kernel.directions),
            dtype=kernel.dtype,
            tile=kernel.tile,
            outputs=kernel.quantities,
        )
        self._verifier = None
        if kernel.verify_rows:
            # The kernel is traced first: JAX may keep constants in the precision of a first trace.
            points = jax.ShapeDtypeStruct((kernel.batch, built.n_inputs), np.float32)
            jax.eval_shape(self.kernel, points)
            self._verifier = Verifier(plan, built)
        self._batch = kernel.batch
        self._tile = kernel.tile or kernel.batch
        self._at_once = kernel.batch  # fewer where the device has no memory for them
        self._dtype = kernel.dtype
        self._lock = threading.Lock()
        self._under_way: dict[int, int] = {}

    def warm_up(self, seconds: float) -> None:
        """Load what reading takes; compile the kernel, and the reference that verifies it.

        Args:
            seconds: that compiling and first calls may take.

        Raises:
            HyperdiagError: if they take longer: XLA may hang.
        """
        self.plan.source.warm_up()
        try:
            within(seconds, self._compile)
        except Hanging as error:
            kernel = self.plan.kernel
            tile = f" in tiles of {kernel.tile}" if kernel.tile else ""
            raise HyperdiagError(
                f"XLA has not compiled method '{kernel.method}'{tile}, and what verifies it, and "
                f"called them once, within {seconds:g} s (limits.start_seconds): it may hang, or "
                "be slow. Take another derivatives.method, a smaller derivatives.tile, "
                "derivatives.verify_rows=0, or more seconds"
            ) from error

    def _compile(self) -> None:
        self.compute(np.zeros((1, len(self.plan.points.inputs)), self._dtype))
        if self._verifier:
            self._verifier.warm_up()

    def under_way(self) -> dict[int, int]:
        """Return {shard id: rows read so far} of the shards that are being derived."""
        return dict(self._under_way)

    def compute(self, points: np.ndarray) -> Arrays:
        """Return the quantities of up to a batch of points; for one thread at a time.

        Where the device has no memory for a batch of tiles, it is halved, from then on, down to a
        tile: the bits of a row do not depend on it. Without tiles they do, and it is the end.
        """
        while True:
            try:
                return self._in_parts(points)
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if self._at_once <= self._tile:
                    raise HyperdiagError(
                        f"the device has no memory for {self._at_once} rows at once ({error}); "
                        f"take derivatives.tile={max(self._at_once // 4, 1)}"
                    ) from error
                tiles = -(-self._at_once // self._tile) // 2
                self._at_once = max(tiles, 1) * self._tile
                log.warning("out of device memory: now %d rows at once", self._at_once)

    def _in_parts(self, points: np.ndarray) -> Arrays:
        """Fewer points are padded with the last of them: the kernel always sees one shape."""
        parts = []
        for first in range(0, points.shape[0], self._at_once):
            part = points[first : first + self._at_once]
            rows = part.shape[0]
            if rows < self._at_once:
                part = np.concatenate([part, np.repeat(part[-1:], self._at_once - rows, axis=0)])
            parts.append([np.asarray(array)[:rows] for array in self.kernel(part)])
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        batches = [
            self.plan.points.read(rows.table, self._dtype)[0]
            for shard in shards
            for rows in self.plan.source.read(shard, self._batch)
        ]
        started = time.perf_counter()
        for points in batches:
            self.compute(points)
        return time.perf_counter() - started

    def derive(self, shard: Shard) -> Receipt:
        """Read, derive and write a shard; return its receipt once its files are in place.

        Raises:
            OutputError: if the output cannot be written.
            InputError: if the input cannot be read, or is not what was planned.
            Busy: if another run has taken the output.
        """
        clock = _Clock()
        tally = Tally()
        sample = _Sample(shard.rows, self.plan.kernel.verify_rows, self.plan.points.columns)
        self._under_way[shard.id] = 0
        layout = self.plan.layout
        row_group_rows = self.plan.output.row_group_rows
        try:
            target = self.output, shard.file_name, layout.schema, row_group_rows, self._guard
            with ShardSink(*target) as sink:
                batches = self.plan.source.read(shard, self._batch)
                while True:
                    with clock("read"):
                        rows = next(batches, None)
                    if rows is None:
                        break
                    source_file = self.plan.source.file_name(shard)
                    self._derive_rows(rows, source_file, sink, tally, sample, clock)
                    self._under_way[shard.id] = tally.read
                if tally.read != shard.rows:
                    name = self.plan.source.file_name(shard)
                    raise InputError(f"{name}: {tally.read} rows read, {shard.rows} planned")
                with self._lock, clock("verify"):
                    self._verify(sample, tally)
                receipt = Receipt(shard.id, tally, clock.seconds)
                with clock("write"):
                    stamp = sink.commit(receipt.to_footer(self.plan.key(shard)))
        finally:
            del self._under_way[shard.id]
        return replace(receipt, stamp=stamp, batch=self._at_once)

    def _derive_rows(
        self,
        rows: Rows,
        source_file: str,
        sink: ShardSink,
        tally: Tally,
        sample: "_Sample",
        clock: "_Clock",
    ) -> None:
        table, index, before = rows.table, rows.index, tally.read
        tally.read += table.num_rows + rows.filtered
        tally.filtered += rows.filtered
        if table.num_rows == 0:
            return
        with clock("read"):
            points, faults = self.plan.points.read(table, self._dtype)
            tally.out_of_range += count_outside(points, *self.plan.bounds, faults.bad)
            if self.plan.limits.out_of_range == "quarantine":
                refuse_outside(points, *self.plan.bounds, self.plan.points.inputs, faults)
            fill_bad_rows(points, faults.bad)
        with self._lock, clock("compute"):  # waiting for the others' turns is no computing
            computed = self.compute(points)
        with clock("write"):
            self._check_finite(computed, faults)
            if faults.bad.any():
                sink.quarantine(table, source_file, index, faults)
                tally.quarantined += Counter(faults.codes())
                good = ~faults.bad
                mask = pa.array(good)
                table, index = table.filter(mask), index.filter(mask)
                computed = tuple(array[good] for array in computed)
            sample.take(before + np.flatnonzero(~faults.bad), table, computed)
            tally.derived += table.num_rows
            tally.add_ranges(dict(zip(self.plan.kernel.quantities, computed, strict=True)))
            sink.write(self.plan.layout.assemble(table, source_file, index, computed))

    def _verify(self, sample: "_Sample", tally: Tally) -> None:
        if self._verifier and sample.tables:
            # In float64, whatever the run's dtype: what is lost by rounding a point is an error.
            points = [self.plan.points.read(row, "float64")[0] for row in sample.tables]
            computed = tuple(np.stack(arrays) for arrays in zip(*sample.computed, strict=True))
            self._verifier.verify(np.concatenate(points), computed, tally)

    def _check_finite(self, computed: Arrays, faults: Faults) -> None:
        """Record rows whose value or derivatives are not finite, naming the first such entry."""
        for quantity, array in zip(self.plan.kernel.quantities, computed, strict=True):
            flat = array.reshape(array.shape[0], -1)
            finite = np.isfinite(flat)
            if finite.all():  # over all at once: rows one by one take ten times as long
                continue
            bad = np.any(~finite, axis=1)
            details = np.full(array.shape[0], "", dtype=object)
            for row in np.flatnonzero(bad):
                entry = int(np.argmin(finite[row]))
                position, *direction = map(int, np.unravel_index(entry, array.shape[1:]))
                by = "".join(f" by '{self.plan.layout.directions[at]}'" for at in direction)
                output = self.plan.layout.outputs[position]
                details[row] = (
                    f"{QUANTITIES[quantity].title} of '{output}'{by} is {flat[row, entry]}"
                )
            faults.add(bad, Fault.NON_FINITE_RESULT, details)


class _Sample:
    """Good rows picked evenly from a shard, to be verified.

    Args:
        rows: of the shard.
        wanted: how many to pick.
        columns: of the dataset, that hold the points.

    Attributes:
        tables: each row by itself, as it was read.
        computed: for each row its quantities.
    """

    def __init__(self, rows: int, wanted: int, columns: Sequence[str]):
        self._places = np.unique(np.linspace(0, rows, wanted, endpoint=False, dtype=np.int64))
        self._columns = list(dict.fromkeys(columns))
        self.tables: list[pa.Table] = []
        self.computed: list[Arrays] = []

    def take(self, rows: np.ndarray, table: pa.Table, computed: Arrays) -> None:
        """Pick from good rows: at each place wanted the first that comes.

        Args:
            rows: their positions in the shard, ascending.
            table, computed: theirs.
        """
        for place in self._places[len(self.tables) :]:
            at = int(np.searchsorted(rows, place))
            if at == rows.size:
                break
            self.tables.append(table.select(self._columns).take(pa.array([at])))
            self.computed.append(tuple(array[at].copy() for array in computed))


class _Clock:
    """Adds up wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

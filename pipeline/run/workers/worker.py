"""The worker: reads a shard, derives it, writes it. The same code with Ray and without."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa

from hyperdiag.data.faults import Fault, Faults
from hyperdiag.data.filesystem import resolve
from hyperdiag.data.layout import ROW_INDEX, SOURCE_FILE
from hyperdiag.data.points import count_outside, fill_bad_rows, refuse_outside
from hyperdiag.data.quantities import QUANTITIES
from hyperdiag.data.shard import Rows, Shard
from hyperdiag.data.sink import ShardSink, quarantined_before
from hyperdiag.derived.derived import Deriver
from hyperdiag.hyperdual import Hanging, within
from hyperdiag.messages.errors import HyperdiagError, InputError
from hyperdiag.networks import build_network
from hyperdiag.run.cluster.device import check_device
from hyperdiag.run.output.fence import Fence
from hyperdiag.run.output.receipt import STAGES, Receipt, Tally, extremes
from hyperdiag.run.plan.plan import Plan
from hyperdiag.run.plan.versions import differences
from hyperdiag.statistics.batch import Batch
from hyperdiag.statistics.places import Places
from hyperdiag.statistics.shard_statistics import ShardStatistics

from .device_kernel import DeviceKernel
from .sample import Arrays, Sample
from .verification import Verifier


class Worker:
    """Derives shards of one plan. Several threads may each derive a shard of their own.

    Reading, checking and writing overlap with computing, and scale over cores, as far as the
    threads go. Batches take turns on the device.

    Args:
        plan: the frozen run.
        output_path: the output folder.
        fence: what is asked before a file is shown, if anything is.

    Attributes:
        plan: the frozen run.
        output: the output folder.
        kernel: on this process's device.
        deriver: of what is derived from the kernel's quantities, nothing perhaps.
        stopping: once set, shards that are under way end at their next batch, with nothing written.

    Raises:
        HyperdiagError: if the packages, the network that is built here, the device, or the output's
            folder is not as planned.
    """

    def __init__(self, plan: Plan, output_path: str, fence: Fence | None = None):
        self.plan = plan
        if fence:
            fence.check_seen()
        self._guard = fence.guard() if fence else None
        self.output = resolve(output_path)
        kernel = plan.kernel
        check_device(kernel.device, kernel.precision)
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
        self.kernel = DeviceKernel(plan, built)
        self.deriver = Deriver(plan.derived, plan.names, kernel.dtype)
        self._verifier = None
        if kernel.verify_rows:
            # JAX may keep constants in the precision of a first trace.
            self.kernel.trace()
            self._verifier = Verifier(plan, built)
        self._batch = kernel.batch
        self._dtype = kernel.dtype
        self._under_way: dict[int, int] = {}
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self.stopping = threading.Event()

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
        self.kernel(np.zeros((1, len(self.plan.points.inputs)), self._dtype))
        if self._verifier:
            self._verifier.warm_up()

    def under_way(self) -> dict[int, int]:
        """Return {shard id: rows read so far} of the shards that are being derived."""
        return dict(self._under_way)

    def measure(self, shards: Sequence[Shard]) -> float:
        """Return the seconds that the kernel alone needs for these shards' points, in memory."""
        batches = [
            self.plan.points.read(rows.table, self._dtype)[0]
            for shard in shards
            for rows in self.plan.source.read(shard, self._batch)
        ]
        started = time.perf_counter()
        for points in batches:
            self.kernel(points)
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
        sample = Sample(shard.rows, self.plan.kernel.verify_rows, self.plan.points.columns)
        shape = self.plan.statistics
        statistics = ShardStatistics(shape) if shape else None
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
                    self._derive_rows(rows, source_file, sink, tally, sample, statistics, clock)
                    self._under_way[shard.id] = tally.read
                if tally.read != shard.rows:
                    name = self.plan.source.file_name(shard)
                    raise InputError(f"{name}: {tally.read} rows read, {shard.rows} planned")
                with self.kernel.turns, clock("verify"):
                    self._check_stopping()
                    self._verify(sample, tally)
                with clock("summarise"):
                    content = statistics.to_bytes() if statistics else None
                receipt = Receipt(shard.id, tally, clock.seconds, statistics=content)
                with clock("write"):
                    stamp = sink.commit(receipt.to_footer(self.plan.key(shard)), content)
        finally:
            del self._under_way[shard.id]
        return replace(receipt, stamp=stamp, batch=self.kernel.at_once, worker=self._name)

    def _derive_rows(
        self,
        rows: Rows,
        source_file: str,
        sink: ShardSink,
        tally: Tally,
        sample: Sample,
        statistics: ShardStatistics | None,
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
            columns = self.deriver.read(table, faults)
            fill_bad_rows(points, faults.bad)
        with self.kernel.turns, clock("compute"):  # waiting for the others' turns is no computing
            self._check_stopping()
            computed = self.kernel(points)
        with clock("compute"):  # while another batch has its turn
            derived = self.deriver.compute(points, self._named(computed), columns)
        with clock("write"):
            ends = extremes(self._named(computed))
            if not all(np.isfinite(each).all() for each in ends.values()):
                self._check_finite(computed, faults)
            self.deriver.check_finite(derived, faults)
            if faults.bad.any():
                sink.quarantine(table, source_file, index, faults)
                tally.quarantined += Counter(faults.codes())
                good = ~faults.bad
                mask = pa.array(good)
                table, index, points = table.filter(mask), index.filter(mask), points[good]
                computed = tuple(array[good] for array in computed)
                derived = [array[good] for array in derived]
                ends = extremes(self._named(computed))
            sample.take(before + np.flatnonzero(~faults.bad), table, computed)
            tally.derived += table.num_rows
            tally.add_ranges(self._named(computed), ends)
            if not self.plan.writes_no_rows:
                written = [self._named(computed)[name] for name in self.plan.written]
                sink.write(self.plan.layout.assemble(table, source_file, index, written, derived))
        if statistics and table.num_rows:
            with clock("summarise"):
                batch = Batch.of(
                    statistics.numbers,
                    points,
                    self._named(computed),
                    ends,
                    _places(table, source_file, index),
                    self.deriver.numbers(derived),
                )
                by = self.plan.summary.by if self.plan.summary else None
                statistics.add(batch, table[by] if by else None)

    def _named(self, computed: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(self.plan.kernel.quantities, computed, strict=True))

    def _check_stopping(self) -> None:
        if self.stopping.is_set():
            raise HyperdiagError("the shard was given up: the run stops")

    def _verify(self, sample: Sample, tally: Tally) -> None:
        if self._verifier and sample.tables:
            # In float64, whatever the run's dtype: what is lost by rounding a point is an error.
            points = [self.plan.points.read(row, "float64")[0] for row in sample.tables]
            computed = tuple(np.stack(arrays) for arrays in zip(*sample.computed, strict=True))
            self._verifier.verify(np.concatenate(points), computed, tally)

    def _check_finite(self, computed: Arrays, faults: Faults) -> None:
        """Record rows whose value or derivatives are not finite, naming the first such entry."""
        for quantity, array in self._named(computed).items():
            flat = array.reshape(array.shape[0], -1)
            finite = np.isfinite(flat)
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


def _places(table: pa.Table, source_file: str, index: pa.Array) -> Places:
    """Return where rows come from: those of a quarantine, from the first of all datasets."""
    if quarantined_before(table):
        return Places.of_columns(table[SOURCE_FILE], table[ROW_INDEX])
    return Places.in_file(source_file, index.to_numpy())


class _Clock:
    """Adds up wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

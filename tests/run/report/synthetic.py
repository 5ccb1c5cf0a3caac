"""Tables of a run with very many outputs and inputs, with numbers drawn at random."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STATISTICS = (
    *("count", "mean", "deviation", "mean_square"),
    *("minimum", "maximum", "positive", "negative"),
)
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
CURVES = ("curve_mean", "curve_p10", "curve_median", "curve_p90")
BINS = 32
_NAMES = ("grouped_by", "group_name", "quantity", "output", "input", "statistic")
_SCHEMA = pa.schema(
    [*((n, pa.string()) for n in _NAMES), ("position", pa.float64()), ("value", pa.float64())]
)


def write_synthetic(folder, outputs, inputs, groups=0, curves=20):
    """Write `run/summary.parquet` and `run/extremes.parquet`.

    Args:
        folder: the output.
        outputs, inputs: names of the network's.
        groups: how many groups.
        curves: for how many inputs of each output there are dependence curves.
    """
    rng = np.random.default_rng(1)
    statistics = [(name, None) for name in STATISTICS] + [("quantile", at) for at in QUANTILES]
    bins = [(name, (at + 0.5) / BINS) for name in CURVES for at in range(BINS)]
    held = []  # row groups as large as those of a run
    with pq.ParquetWriter(folder / "run/summary.parquet", _SCHEMA) as writer:

        def write(group, quantity, output, names, listed):
            size = len(names) * len(listed)
            columns = {
                "grouped_by": _repeated(group and "desk", size),
                "group_name": _repeated(group, size),
                "quantity": _repeated(quantity, size),
                "output": _repeated(output, size),
                "input": _each(names, len(listed)),
                "statistic": _tiled([name for name, _ in listed], len(names)),
                "position": pa.array([at for _, at in listed] * len(names), pa.float64()),
                "value": pa.array(_values(rng, len(names), listed)),
            }
            held.append(pa.table(columns, _SCHEMA))
            if sum(table.num_rows for table in held) > 1 << 19:
                flush()

        def flush():
            writer.write_table(pa.concat_tables(held))
            held.clear()

        write(None, "input", None, inputs, statistics)
        write(None, "input", None, inputs, [("bin_count", at) for _, at in bins[:BINS]])
        for output in outputs:
            write(None, "value", output, [None], statistics)
            write(None, "value", output, inputs[:curves], bins)
            for group in range(groups):
                write(f"group {group}", "value", output, [None], statistics[:8])
            for quantity in ("jacobian", "hessian_diag"):
                write(None, quantity, output, inputs, statistics)
                write(None, quantity, output, inputs[:curves], bins)
                for group in range(groups):
                    write(f"group {group}", quantity, output, inputs, statistics[:8])
        flush()
    kinds = [(q, e) for q in ("value", "jacobian", "hessian_diag") for e in ("largest", "smallest")]
    places = [(q, o, e, rank) for o in outputs for q, e in kinds for rank in range(1, 11)]
    quantities, names, ends, ranks = zip(*places, strict=True)
    points = rng.standard_normal(len(places) * len(inputs))
    starts = np.arange(len(places) + 1) * len(inputs)
    table = {
        **{name: pa.nulls(len(places), pa.string()) for name in ("grouped_by", "group_name")},
        "quantity": quantities,
        "output": names,
        "input": [inputs[0]] * len(places),
        "extreme": ends,
        "rank": ranks,
        "value": rng.standard_normal(len(places)),
        "source_file": ["/data/a/rather/long/path/part-0000017.parquet"] * len(places),
        "row_index": rng.integers(0, 10**9, len(places)),
        "point": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(points)),
    }
    pq.write_table(pa.table(table), folder / "run/extremes.parquet")


def _values(rng, names, listed):
    """Numbers of any size; shares below 1, and quantiles in order."""
    values = rng.lognormal(0, 2, (names, len(listed)))
    shares = [at for at, (name, _) in enumerate(listed) if name in ("positive", "negative")]
    quantiles = [at for at, (name, _) in enumerate(listed) if name == "quantile"]
    values[:, shares] = rng.uniform(0, 0.5, (names, len(shares)))
    values[:, quantiles] = np.sort(values[:, quantiles], axis=1)
    return values.ravel()


def _repeated(text, size):
    return pa.repeat(pa.scalar(text, pa.string()), size)


def _each(names, times):
    return pa.array(np.repeat(np.array(names, object), times), pa.string())


def _tiled(names, times):
    return pa.array(np.tile(np.array(names, object), times), pa.string())

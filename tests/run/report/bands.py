"""Quantiles over bins of an input, computed from all rows of an output, as a run keeps them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LEVELS = {"curve_p10": 0.1, "curve_median": 0.5, "curve_p90": 0.9}


def without_bands(folder):
    """Take quantiles over bins out of `run/summary.parquet`; return the table that is left."""
    path = folder / "run/summary.parquet"
    table = pq.read_table(path)
    table = table.filter(pc.invert(pc.is_in(table["statistic"], pa.array(list(LEVELS)))))
    pq.write_table(table, path)
    return table


def add_bands(folder, column_of):
    """Put into `run/summary.parquet` quantiles beside each mean of a curve.

    Args:
        folder: the output, in the wide layout.
        column_of: the name of the column of (quantity, output, input).

    Returns:
        {(quantity, output, input, position): numbers at the three levels}.
    """
    table = without_bands(folder)
    data = pq.read_table(folder / "data")
    middles = {}
    for row in table.to_pylist():
        if row["statistic"] == "bin_count" and row["grouped_by"] is None:
            middles.setdefault(row["input"], []).append(row["position"])
    rows, right = [], {}
    for row in table.to_pylist():
        if row["statistic"] != "curve_mean" or row["grouped_by"] is not None:
            continue
        at = middles[row["input"]]
        half = min(np.diff(sorted(at))) / 2
        x = data[row["input"]].to_numpy().astype(np.float32).astype(float)
        inside = np.abs(x - row["position"]) <= half
        key = row["quantity"], row["output"], row["input"]
        numbers = data[column_of(*key)].to_numpy().astype(float)[inside]
        quantiles = np.quantile(numbers, list(LEVELS.values()))
        right[(*key, row["position"])] = quantiles.tolist()
        rows += [
            {**row, "statistic": name, "value": float(value)}
            for name, value in zip(LEVELS, quantiles, strict=True)
        ]
    whole = pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)])
    pq.write_table(whole, folder / "run/summary.parquet")
    return right

"""Which inputs matter most to an output, from the table of statistics."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from .numbers import INPUT


def strongest_inputs(summary: pa.Table, most: int) -> dict[str, list[str]]:
    """Return for each output the inputs that move it most, the strongest first; none that do not.

    By the root of mean (dy/dx)^2 s^2, s being the input's standard deviation: how much the output
    changes, to first order, where the input does as it does in these rows.

    Args:
        summary: of `summary_table`.
        most: how many inputs.
    """
    whole = summary.filter(pc.field("grouped_by").is_null())
    deviations, mean_squares = (
        whole.filter((pc.field("quantity") == quantity) & (pc.field("statistic") == statistic))
        for quantity, statistic in ((INPUT, "deviation"), ("jacobian", "mean_square"))
    )
    deviation = dict(
        zip(deviations["input"].to_pylist(), deviations["value"].to_pylist(), strict=True)
    )
    strengths: dict[str, list[tuple[float, str]]] = defaultdict(list)
    columns = (mean_squares[name].to_pylist() for name in ("output", "input", "value"))
    for output, name, mean_square in zip(*columns, strict=True):
        strength = mean_square * deviation[name] ** 2
        strengths[output] += [(strength, name)] if strength > 0 else []
    return {
        output: [name for _, name in sorted(each, key=lambda pair: -pair[0])[:most]]
        for output, each in strengths.items()
    }

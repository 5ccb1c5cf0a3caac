"""How much of a run a report shows: as much as its size allows; what is left out is said."""

from dataclasses import dataclass, replace

import numpy as np

from .summary_table import Pair, SummaryTable

# What a report holds, plotting library included; and what is left for the numbers.
MOST_BYTES = 10_000_000
DATA_BYTES = 4_900_000
_BYTES_OF_A_NUMBER = 12
_MOST_OUTPUTS = 300
MOST_IN_GROUP = 5  # extreme rows of each list
_MOST_GROUPS = 60
_NUMBERS_OF_A_PAIR = 45  # statistics of J and D, as `records` writes them
_NUMBERS_OF_A_PAIR_IN_A_GROUP = 21  # without quantiles
_NUMBERS_OF_A_BIN, _NUMBERS_OF_ITS_BANDS = 5, 9
_NUMBERS_OF_A_GROUP_BESIDE_OTHERS = 14


@dataclass(frozen=True)
class Detail:
    """What is shown.

    Attributes:
        outputs: how many outputs.
        inputs: of each of these, how many inputs.
        curves: for how many of these, dependence curves.
        extremes: of each list of extreme rows, how many.
        groups: how many groups.
        group_curves: for how many inputs dependence curves of a group.
        map_outputs, map_inputs: rows and columns of the heat maps.
    """

    outputs: int
    inputs: int = 30
    curves: int = 8
    extremes: int = 10
    groups: int = _MOST_GROUPS
    group_curves: int = 3
    map_outputs: int = 60
    map_inputs: int = 40

    def smaller(self) -> "Detail":
        """Return about two thirds of this."""
        return replace(
            self,
            inputs=max(self.inputs * 2 // 3, 1),
            curves=max(self.curves * 2 // 3, 1),
            extremes=max(self.extremes * 2 // 3, 1),
            groups=self.groups * 2 // 3,
            group_curves=max(self.group_curves * 2 // 3, 1),
        )


def first_detail(
    outputs: int, inputs: int, groups: int, complete: bool, bins: int, bands: bool
) -> Detail:
    """Return the most that is likely to fit.

    Args:
        outputs, inputs, groups: how many there are.
        complete: whether groups have all that all rows have.
        bins: of a dependence curve.
        bands: whether curves have quantiles.
    """
    of_bins = bins * (_NUMBERS_OF_A_BIN + (_NUMBERS_OF_ITS_BANDS if bands else 0))
    detail = Detail(outputs=min(outputs, _MOST_OUTPUTS))
    while _numbers(detail, inputs, groups, complete, of_bins) * _BYTES_OF_A_NUMBER > DATA_BYTES:
        if detail.inputs == 1:
            break
        detail = detail.smaller()
    return detail


def _numbers(detail: Detail, inputs: int, groups: int, complete: bool, of_bins: int) -> int:
    pairs = min(detail.inputs, inputs)
    of_extremes = 4 * (4 + min(pairs, 8))
    of_an_output = 20 + pairs * _NUMBERS_OF_A_PAIR
    of_an_output += min(detail.curves, inputs) * of_bins + detail.extremes * of_extremes
    of_a_group = 12 + _NUMBERS_OF_A_GROUP_BESIDE_OTHERS
    if complete:
        of_a_group += pairs * _NUMBERS_OF_A_PAIR + min(detail.group_curves, inputs) * of_bins
        of_a_group += min(detail.extremes, MOST_IN_GROUP) * of_extremes
    else:
        of_a_group += pairs * _NUMBERS_OF_A_PAIR_IN_A_GROUP
    in_groups = min(detail.groups, groups) * of_a_group
    maps = 2 * detail.map_outputs * detail.map_inputs
    return detail.outputs * (of_an_output + in_groups) + maps


def strengths(table: SummaryTable, whole: SummaryTable) -> np.ndarray:
    """Return how strong each input is for each output, (m, n): the root mean square of J times the
    input's deviation; where there is no Jacobian, of D times its square; without both, zero. It is
    -1 of inputs that were not differentiated with respect to.

    Args:
        table: the statistics of some rows.
        whole: those of all rows, whose deviations are taken, so that groups compare.
    """
    deviation = whole.of("input", "deviation")
    for quantity, power in (("jacobian", 1), ("hessian_diag", 2)):
        mean_square = table.of(quantity, "mean_square")
        if mean_square is not None:
            scale = 1.0 if deviation is None else np.nan_to_num(deviation) ** power
            return np.where(np.isnan(mean_square), -1.0, np.sqrt(mean_square) * scale)
    return np.zeros(table.shape)


def strongest(strength: np.ndarray, most: int) -> list[int]:
    """Return the positions of the largest entries, (n,), but negative ones, the largest first."""
    order = np.argsort(-strength, kind="stable")[:most]
    return [int(at) for at in order if strength[at] >= 0]


def shown_pairs(strength: np.ndarray, detail: Detail) -> list[list[Pair]]:
    """Return, for each output that is shown, its pairs with its strongest inputs."""
    return [
        [(output, place) for place in strongest(strength[output], detail.inputs)]
        for output in range(min(detail.outputs, len(strength)))
    ]

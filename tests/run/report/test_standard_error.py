"""Standard errors, against samples drawn again from the rows, and closed forms."""

import numpy as np
import pytest

from hyperdiag.run.report.drawing.figures import of_output
from hyperdiag.run.report.standard_error import LEAST_ROWS, most_of_root_mean_square, of_mean

SAMPLES = {
    "normal": lambda rng: rng.normal(0.3, 2.0, 400),
    "uniform": lambda rng: rng.uniform(-1.0, 3.0, 400),
    "heavy tails": lambda rng: rng.standard_t(3, 400),
    "one sign": lambda rng: rng.lognormal(0.0, 1.0, 400),
}


def of(x):
    """What a run keeps of some rows."""
    arrays = (x.size, x.mean(), x.std(), np.mean(x**2), x.min(), x.max())
    return dict(
        zip(
            ("count", "mean", "deviation", "mean_square", "minimum", "maximum"),
            (np.array([value], float) for value in arrays),
            strict=True,
        )
    )


def errors(x):
    kept = of(x)
    ends = kept["minimum"], kept["maximum"]
    return (
        of_mean(kept["count"], kept["deviation"])[0],
        most_of_root_mean_square(kept["count"], kept["mean_square"], *ends)[0],
    )


def drawn_again(x, times=20_000):
    """Deviations of the mean and the root mean square over samples drawn from the rows."""
    rng = np.random.default_rng(7)
    samples = x[rng.integers(0, x.size, (times, x.size))]
    return samples.mean(axis=1).std(), np.sqrt(np.mean(samples**2, axis=1)).std()


@pytest.mark.parametrize("kind", SAMPLES)
def test_error_of_a_mean_is_what_samples_drawn_again_show(kind):
    x = SAMPLES[kind](np.random.default_rng(3))
    error, _ = errors(x)
    assert error == pytest.approx(x.std(ddof=1) / np.sqrt(x.size), rel=1e-12)
    # 20,000 samples tell a deviation to 0.5%.
    assert error == pytest.approx(drawn_again(x)[0], rel=0.02)


@pytest.mark.parametrize("kind", SAMPLES)
def test_error_of_a_root_mean_square_is_at_most_what_is_said(kind):
    x = SAMPLES[kind](np.random.default_rng(3))
    _, most = errors(x)
    by_delta_method = np.std(x**2) / (2 * np.sqrt(np.mean(x**2))) / np.sqrt(x.size - 1)
    shown = drawn_again(x)[1]
    assert shown == pytest.approx(by_delta_method, rel=0.1)
    assert by_delta_method <= most < 8 * by_delta_method


def test_error_of_a_root_mean_square_is_what_is_said_where_squares_are_zero_or_the_largest():
    x = np.where(np.random.default_rng(5).uniform(size=400) < 0.4, 2.0, 0.0)
    x[::7] *= -1
    _, most = errors(x)
    assert most == pytest.approx(drawn_again(x)[1], rel=0.02)


def test_equal_numbers_have_no_error_and_few_numbers_have_none_that_is_known():
    assert errors(np.full(30, 0.125)) == (0.0, 0.0)
    for rows in (1, 2, 29):
        assert np.isnan(errors(np.linspace(0.1, 0.2, rows))).all()


def held_by_intervals(draw, rows, times=2000):
    """How often an interval of 1.96 standard errors to each side has the mean of the population."""
    rng = np.random.default_rng(11)
    samples = draw(rng, (times, rows))
    error = of_mean(np.full(times, float(rows)), samples.std(axis=1))
    return np.mean(np.abs(samples.mean(axis=1)) <= 1.96 * error)


def test_intervals_hold_as_often_as_the_caption_says_and_no_more_is_promised():
    # Of 2,000 samples a share of 0.95 is told to 0.005.
    assert held_by_intervals(lambda rng, of: rng.normal(size=of), 1000) > 0.93
    rare = 0.001

    def draw(rng, of):
        return (rng.uniform(size=of) < rare) - rare

    # Without one of the rare rows, of which e^-1 of such samples have none, the error is 0.
    assert held_by_intervals(draw, 1000) < 0.7
    caption = of_output(0)["sensitivity"].caption
    for said in ("1.96 standard errors", "s taken as exact", "rare large ones", "below 30 rows"):
        assert said in caption
    assert "95" not in caption
    assert LEAST_ROWS == 30

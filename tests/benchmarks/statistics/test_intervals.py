"""Intervals of means and around the fastest of several: textbook quantiles, and thousands of samples whose truth is known."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.intervals import Values, fastest_quantile, mean_interval, student_quantile, sum_interval
from edgecnn.edge.export_records import Interval

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
SAMPLES = 4000
# Four standard deviations of a share of 95 % for this many samples.
MONTE_CARLO = 4 * math.sqrt(0.95 * 0.05 / SAMPLES)


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.normal(0.0, 1.0, count)


def skewed(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.lognormal(0.0, 1.0, count) - math.exp(0.5)


def difference_interval(a: Values, b: Values) -> Interval:
    """Return Welch's interval of mean(a) - mean(b)."""
    sides = [np.asarray(side, np.float64) for side in (a, b)]
    parts = [(float(side.var(ddof=1)) / len(side), float(len(side) - 1)) for side in sides]
    return sum_interval(float(sides[0].mean() - sides[1].mean()), parts)


def heavy(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.standard_t(3, count)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_fewer_than_two_finite_values_have_no_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 2 finite numbers"):
        mean_interval(values)


@pytest.mark.parametrize(("p", "degrees"), [(0.0, 5.0), (1.0, 5.0), (0.9, 0.5), (math.nan, 5.0), (0.9, math.nan)])
def test_quantiles_out_of_range_are_refused(p: float, degrees: float) -> None:
    with pytest.raises(ValueError, match=r"p.*between 0 and 1.*degrees.*least 1"):
        student_quantile(p, degrees)


@pytest.mark.parametrize(
    ("p", "degrees", "expected"),
    [
        (0.975, 1, math.tan(0.475 * math.pi)),  # One and two degrees have closed forms.
        (0.9995, 1, math.tan(0.4995 * math.pi)),
        (0.975, 2, 0.95 * math.sqrt(2 / (1 - 0.95**2))),
        (0.975, 4, 2.776445105),  # Tables such as NIST/SEMATECH's e-Handbook, 1.3.6.7.2, have these to three digits.
        (0.95, 10, 1.812461123),
        (0.99, 9, 2.821437925),
        (0.975, 30, 2.042272456),
        (0.9995, 100, 3.390491311),
        (0.975, 7.3, 2.345066737),  # Welch's degrees are not whole numbers; from scipy.stats.t.ppf.
        (0.995, 1.5, 17.820310514),
        (0.975, 1e9, 1.959963987),
    ],
)
def test_quantiles_are_the_textbooks(p: float, degrees: float, expected: float) -> None:
    assert student_quantile(p, degrees) == pytest.approx(expected, abs=1e-6)
    assert student_quantile(1 - p, degrees) == pytest.approx(-expected, abs=1e-6)


def test_the_median_is_zero_equal_values_have_no_width_and_two_ways_to_a_quantile_meet() -> None:
    assert student_quantile(0.5, 3) == 0
    for p in (0.51, 0.9, 0.9995):
        assert student_quantile(p, 99_999.0) == pytest.approx(student_quantile(p, 100_001.0), abs=1e-8)
    assert mean_interval([0.1, 0.1, 0.1]) == Interval(0.1, 0.1, 0.1)  # Their computed mean is not 0.1.
    assert difference_interval([3.0, 3.0], [1.0, 1.0, 1.0]) == Interval(2.0, 2.0, 2.0)


def test_the_interval_of_a_worked_example() -> None:
    # Student's sleep data (1908), the example of R's t.test.
    a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    welch = difference_interval(a, b)
    assert (welch.estimate, welch.low, welch.high) == pytest.approx((-1.58, -3.3654832, 0.2054832), abs=1e-7)
    paired = mean_interval(np.subtract(a, b))
    assert (paired.estimate, paired.low, paired.high) == pytest.approx((-1.58, -2.4598858, -0.7001142), abs=1e-7)


def test_a_side_that_does_not_vary_and_tiny_variances_are_right_and_more_confidence_is_wider() -> None:
    values = [1.0, 2.0, 4.0]
    alone, against = mean_interval(values), difference_interval(values, [1.0] * 50)
    assert (against.low + 1, against.high + 1) == pytest.approx((alone.low, alone.high))
    tiny = difference_interval([0.0, 1e-100], [0.0, 3e-100])
    assert width(tiny) == pytest.approx(1e-100 * width(difference_interval([0.0, 1.0], [0.0, 3.0])))
    widths = [width(mean_interval([1.0, 2.0, 4.0], confidence)) for confidence in (0.5, 0.9, 0.95, 0.99)]
    assert widths == sorted(set(widths))


def width(found: Interval) -> float:
    return found.high - found.low


def coverage(find: Callable[[], Interval]) -> float:
    return sum(found.low <= 0 <= found.high for found in (find() for _ in range(SAMPLES))) / SAMPLES


@pytest.mark.parametrize(("draw", "expected"), [(heavy, 0.958), (skewed, 0.84)])
def test_heavy_tails_are_covered_and_skew_is_not_as_the_docstring_says(draw: Draw, expected: float) -> None:
    rng = np.random.default_rng(7)
    assert coverage(lambda: mean_interval(draw(rng, 10))) == pytest.approx(expected, abs=2 * MONTE_CARLO)


@pytest.mark.parametrize(
    ("draw", "counts", "ratio", "least"),
    [
        (normal, (5, 5), 1.0, 0.95),
        (normal, (5, 15), 4.0, 0.95),  # A pooled variance covers far less here.
        (heavy, (10, 10), 2.0, 0.95),
        (skewed, (10, 10), 1.0, 0.95),  # The skews of equal sides cancel ...
        (skewed, (5, 20), 3.0, 0.82),  # ... and those of unequal ones do not.
    ],
)
def test_differences_of_unequal_variances_are_covered(draw: Draw, counts: tuple[int, int], ratio: float, least: float) -> None:
    rng = np.random.default_rng(11)
    found = coverage(lambda: difference_interval(ratio * draw(rng, counts[0]), draw(rng, counts[1])))
    assert found >= least - MONTE_CARLO
    assert found <= 0.985


@pytest.mark.parametrize("launches", [2, 5, 20, 100])
def test_the_quantile_for_one_file_or_two_is_students(launches: int) -> None:
    for files in (1, 2):
        assert fastest_quantile(files, launches) == student_quantile(0.975, launches - 1)


@pytest.mark.parametrize("launches", [2, 3, 5, 20])
def test_the_quantile_grows_with_the_number_of_files_between_one_base_named_beforehand_and_all_pairs(launches: int) -> None:
    counts = range(2, 25)
    quantiles = [fastest_quantile(files, launches) for files in counts]
    assert all(more > fewer for fewer, more in pairwise(quantiles))
    for files, quantile in zip(counts, quantiles, strict=True):
        # Bonferroni, over the pairs with one base and over all pairs.
        low, high = (student_quantile(1 - 0.025 / pairs, launches - 1) for pairs in (files - 1, files * (files - 1) / 2))
        assert low <= quantile <= high


def test_the_quantile_of_many_launches_is_that_of_the_studentized_range() -> None:
    # Tables of the studentized range at 95 % with infinitely many degrees of freedom, divided by the square root of 2.
    for files, value in ((3, 3.314), (4, 3.633), (10, 4.474), (20, 5.012)):
        assert fastest_quantile(files, 10_000) == pytest.approx(value / math.sqrt(2), rel=0.01)

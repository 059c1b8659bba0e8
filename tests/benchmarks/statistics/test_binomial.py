"""The binomial distribution, against values counted by hand or looked up."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest

from edgecnn.benchmarks.statistics.binomial import cdf, interval, largest_count


@pytest.mark.parametrize(("n", "p"), [(-1, 0.5), (5, -0.1), (5, 1.1), (5, math.nan)])
def test_impossible_distributions_are_refused(n: int, p: float) -> None:
    with pytest.raises(ValueError, match=r"^n.*least 0.*p 0 to 1"):
        cdf(1, n, p)


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 0, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_have_no_interval(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"^k must.*0 to n"):
        interval(k, n, confidence)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 40, 200])
@pytest.mark.parametrize("p", [Fraction(1, 2), Fraction(1, 10), Fraction(9, 10), Fraction(1, 1000), Fraction(999, 1000)])
def test_small_distributions_are_the_counted_ones(n: int, p: Fraction) -> None:
    total = Fraction(0)
    for k in range(n):
        total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        assert cdf(k, n, float(p)) == pytest.approx(float(total), rel=1e-11), k


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [  # From scipy.stats.binom.cdf.
        (499_000, 1_000_000, 0.5, 0.0228041499326948),
        (500_000, 1_000_000, 0.5, 0.5003989421806654),
        (502_000, 1_000_000, 0.5, 0.9999684629880654),
        (0, 1_000_000, 1e-6, 0.3678792572316451),
        (999_998, 1_000_000, 1 - 1e-6, 0.2642411176676631),
        (400_000, 1_000_000, 0.41, 2.012020723106467e-92),
    ],
)
def test_a_million_trials_neither_underflow_nor_lose_digits(k: int, n: int, p: float, expected: float) -> None:
    assert cdf(k, n, p) == pytest.approx(expected, rel=1e-10)


def test_certain_and_impossible_successes() -> None:
    assert [cdf(k, 3, 0.0) for k in (-1, 0, 3)] == [0.0, 1.0, 1.0]
    assert [cdf(k, 3, 1.0) for k in (-1, 0, 2, 3, 4)] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert [cdf(k, 0, 0.5) for k in (-1, 0)] == [0.0, 1.0]


@pytest.mark.parametrize(("n", "p"), [(1000, 0.3), (100_000, 0.001)])
def test_both_tails_meet_and_rise(n: int, p: float) -> None:
    values = [cdf(k, n, p) for k in range(int(n * p) + 200)]
    assert all(low <= high for low, high in pairwise(values))
    assert cdf(int(n * p) + 3, n, p) == pytest.approx(1 - cdf(n - int(n * p) - 4, n, 1 - p), abs=1e-11)


def test_the_largest_count_is_the_last_within_the_tail() -> None:
    assert largest_count(63, 0.1, 0.01) == 0
    assert largest_count(64, 0.1, 0.01) == 1
    assert largest_count(43, 0.1, 0.01) == -1  # 0.9**43 is 0.0108.
    assert largest_count(44, 0.1, 0.01) == 0
    for n, p, tail in ((10, 0.5, 0.2), (1000, 0.1, 0.01), (10_000, 0.99, 0.025)):
        k = largest_count(n, p, tail)
        assert cdf(k, n, p) <= tail < cdf(k + 1, n, p)


@pytest.mark.parametrize(
    ("k", "n", "confidence", "low", "high"),
    [
        (0, 10, 0.95, 0.0, 1 - 0.025 ** (1 / 10)),  # Known in closed form.
        (10, 10, 0.95, 0.025 ** (1 / 10), 1.0),
        (0, 10_000, 0.95, 0.0, 1 - 0.025 ** (1 / 10_000)),
        (1, 1, 0.9, 0.05, 1.0),
        (81, 263, 0.95, 0.2527, 0.3676),  # Newcombe, 1998, Statistics in Medicine 17: 857-872, table I, method 5.
        (15, 148, 0.95, 0.0578, 0.1617),
        (0, 20, 0.95, 0.0, 0.1684),
        (1, 29, 0.95, 0.0009, 0.1776),
    ],
)
def test_clopper_pearson_is_the_published_interval(k: int, n: int, confidence: float, low: float, high: float) -> None:
    found = interval(k, n, confidence)
    assert found.estimate == k / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_clopper_pearson_ends_are_where_the_tails_are_a_fortieth() -> None:
    for k, n in ((1, 1_000_000), (9_900, 10_000), (5, 12)):
        found = interval(k, n)
        assert cdf(k, n, found.high) == pytest.approx(0.025, rel=1e-8)
        assert 1 - cdf(k - 1, n, found.low) == pytest.approx(0.025, rel=1e-8)

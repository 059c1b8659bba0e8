"""Statistics of flips: published values, and the error rates at the margin with every possible outcome enumerated."""

import math
from bisect import bisect_left
from functools import cache

import numpy as np
import pytest

from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval, drop_is_beyond, drop_is_within, mcnemar_p
from edgecnn.edge.export_records import Interval


@pytest.mark.parametrize(
    ("lost", "gained", "images", "confidence"),
    [(-1, 0, 10, 0.95), (0, -1, 10, 0.95), (6, 5, 10, 0.95), (0, 0, 0, 0.95), (1, 1, 10, 1.0), (math.nan, 1, 10, 0.95)],
)
def test_impossible_counts_are_refused(lost: float, gained: float, images: float, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"lost and gained.*at least 0"):
        drop_interval(lost, gained, images, confidence)


@cache
def decisions(images: int, margin: float, gains: range) -> dict[int, tuple[int, int]]:
    """Return, for each number of gains, the most losses that PASS, and the fewest that FAIL."""
    counts = range(images - gains[0] + 1)
    passing = bisect_left(counts, True, key=lambda lost: drop_interval(lost, gains[0], images).high > margin) - 1
    failing = bisect_left(counts, True, key=lambda lost: drop_interval(lost, gains[0], images).low > margin)
    found = {}
    for gained in gains:
        while passing + 1 + gained <= images and drop_interval(passing + 1, gained, images).high <= margin:
            passing += 1
        while failing + gained <= images and drop_interval(failing, gained, images).low <= margin:
            failing += 1
        found[gained] = passing, failing
    return found


def error_rates(images: int, margin: float, flips: float, gains: range) -> tuple[float, float]:
    """Return how often a drop of exactly the margin passes, and how often it fails: the multinomial, summed."""
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, images + 1)))))
    losing, gaining = (flips + margin) / 2, (flips - margin) / 2
    passes = fails = seen = 0.0
    for gained, (passing, failing) in decisions(images, margin, gains).items():
        if gained and gaining <= 0:
            break
        lost = np.arange(images - gained + 1)
        log = log_factorial[images] - log_factorial[lost] - log_factorial[gained] - log_factorial[images - lost - gained]
        log = log + lost * np.log(losing) + (images - lost - gained) * np.log1p(-flips)
        chance = np.exp(log + (gained * np.log(gaining) if gained else 0.0))
        seen += chance.sum()
        passes += chance[: passing + 1].sum()
        fails += chance[failing:].sum()
    assert seen == pytest.approx(1, abs=2e-4)  # Other gains are practically impossible.
    return passes, fails


@pytest.mark.parametrize(
    ("images", "margin", "gains", "flips"),
    [
        (50, 0.05, range(12), (0.05, 0.1)),
        (100, 0.02, range(16), (0.02, 0.1)),
        (500, 0.01, range(24), (0.01, 0.05)),
        (2000, 0.005, range(24), (0.005, 0.015)),
        (10_000, 0.001, range(16), (0.001, 0.002)),
        (10_000, 0.005, range(42, 114), (0.02, 0.02)),
    ],
)
def test_a_drop_on_the_margin_is_misjudged_in_one_of_forty_samples_at_most(
    images: int, margin: float, gains: range, flips: tuple[float, float]
) -> None:
    rates = [error_rates(images, margin, float(share), gains) for share in np.linspace(*flips, 12)]
    passes, fails = (max(rate[side] for rate in rates) for side in (0, 1))
    assert passes <= 0.025
    assert fails <= 0.025
    if images >= 500:  # It does not hold merely by never deciding.
        assert passes > 0.015
        assert fails > 0.005


@pytest.mark.parametrize(
    ("lost", "gained", "expected"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (7, 7, 1.0),
        (0, 5, 2 / 2**5),
        (0, 6, 2 / 2**6),
        (1, 7, 2 * 9 / 2**8),  # 0.0703: Fagerland, Lydersen and Laake, 2013, BMC Medical Research Methodology 13: 91.
        (6, 16, 0.0525),  # Likewise.
        (100_000, 101_000, 0.02586239243973295),  # From scipy.stats.binomtest.
    ],
)
def test_mcnemar_is_the_published_value(lost: int, gained: int, expected: float) -> None:
    assert mcnemar_p(lost, gained) == pytest.approx(expected, rel=2e-3)
    assert mcnemar_p(gained, lost) == mcnemar_p(lost, gained)


def test_zero_is_excluded_exactly_where_mcnemar_rejects() -> None:
    for flips in (*range(31), 60, 400, 5000):
        edge = binomial.largest_count(flips, 0.5, 0.025)  # The last to reject.
        for fewer in range(max(0, edge), min(flips // 2, edge + 1) + 1):
            found = drop_interval(flips - fewer, fewer, 10_000)
            assert (found.low > 0) == (mcnemar_p(flips - fewer, fewer) <= 0.05), (flips, fewer)


@pytest.mark.parametrize(
    ("lost", "gained", "images", "low", "high"),
    [  # The integrals of Fay and Lumbard's R function mcnemarExactDP, by scipy.integrate.quad.
        (1, 7, 21, -0.5454988, 0.0204495),
        (6, 16, 161, -0.1267987, 0.0006075),
        (40, 20, 160, 0.0242975, 0.2229602),
        (0, 5, 30, -0.3472117, 0.0074105),
        (29, 1, 30, 0.6295228, 0.9983129),
        (20, 9, 30, -0.0160935, 0.6745966),
        (60, 30, 10_000, 0.00104503, 0.00500312),
        (5000, 4900, 1_000_000, -0.0000960184, 0.0002960367),
    ],
)
def test_the_interval_is_fay_and_lumbards(lost: float, gained: float, images: float, low: float, high: float) -> None:
    found = drop_interval(lost, gained, images)
    assert found.estimate == (lost - gained) / images
    assert (found.low, found.high) == pytest.approx((low, high), abs=3e-5 * (high - low))


def test_the_interval_holds_tangos_where_both_are_published() -> None:
    # Tango's of these 21 pairs is -0.517 to -0.026 (Fagerland, Lydersen and Laake, 2014, Statistics in Medicine 33: 2850-2875).
    found = drop_interval(1, 7, 21)
    assert found.low < -0.517
    assert found.high > -0.026


@pytest.mark.parametrize("images", [1, 2, 50, 10_000])
def test_flips_of_one_kind_alone_have_clopper_pearsons_upper_end(images: int) -> None:
    for lost in {0, 1, images // 2, images - 1, images}:
        high = binomial.interval(lost, images).high
        assert drop_interval(lost, 0, images).high == pytest.approx(high, rel=1e-4)
        assert drop_interval(0, lost, images).low == pytest.approx(-high, rel=1e-4)


def test_extreme_counts_stay_within_one() -> None:
    none, all_lost, all_gained = drop_interval(0, 0, 50), drop_interval(50, 0, 50), drop_interval(0, 50, 50)
    assert none.estimate == 0
    assert none.low == -none.high == pytest.approx(-(1 - 0.025 ** (1 / 50)), rel=1e-4)
    assert (all_lost.estimate, all_lost.high) == (1, 1)
    assert 0.8 < all_lost.low < 1
    assert all_gained == Interval(-1, -all_lost.high, -all_lost.low)
    halves = drop_interval(25, 25, 50)
    assert -0.4 < halves.low == -halves.high < -0.25


def test_more_images_and_less_confidence_are_narrower_and_fractions_lie_between_whole_ones() -> None:
    def width(found: Interval) -> float:
        return found.high - found.low

    assert width(drop_interval(6, 3, 1000)) > width(drop_interval(60, 30, 10_000)) > width(drop_interval(600, 300, 100_000))
    assert width(drop_interval(60, 30, 10_000, 0.99)) > width(drop_interval(60, 30, 10_000, 0.9))
    highs = [drop_interval(lost, 2, 500).high for lost in (3, 3.25, 3.5, 4)]
    assert highs == sorted(highs)
    assert drop_interval(3, 1e-9, 500).high == pytest.approx(drop_interval(3, 0, 500).high, rel=1e-2)


@pytest.mark.parametrize(
    ("lost", "gained", "images"), [(0, 0, 500), (3, 0, 500), (0, 3, 500), (9, 2, 1000), (40, 80, 5000), (300, 250, 10**6)]
)
def test_the_quick_comparison_with_a_limit_agrees_with_the_interval(lost: int, gained: int, images: int) -> None:
    found = drop_interval(lost, gained, images)
    width = found.high - found.low
    for off in (-0.002 * width, 0.002 * width):
        assert drop_is_within(lost, gained, images, max(found.high + off, 0)) == (found.high <= max(found.high + off, 0))
        if found.low + off >= 0:
            assert drop_is_beyond(lost, gained, images, found.low + off) == (off < 0)
    assert not drop_is_beyond(lost, gained, images, max(found.low, 0) + width)


def test_choosing_on_the_judging_images_passes_bad_files_and_holding_out_does_not() -> None:
    """Ten files that all lose half a point, which is the limit, are tried one after the other in each of 2,000 exports."""
    rng, exports, half, limit = np.random.default_rng(0), 2000, 2000, 0.005
    within = {lost: 100 * drop_interval(lost, 0, half).high <= 0.5 for lost in range(40)}
    choosing, judging = rng.binomial(half, limit, (2, exports, 10))
    passed = np.vectorize(lambda lost: within.get(lost, False))
    first = passed(choosing)
    chosen = first.argmax(axis=1)
    on_the_same = first.any(axis=1)
    on_others = on_the_same & passed(judging)[np.arange(exports), chosen]
    assert on_the_same.mean() > 0.07
    assert on_others.mean() <= 0.025

"""The Brier score and its interval, on differences like a quantized file's: nearly all tiny, a few large."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import brier_scores, difference_interval

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def rare(share: float, size: float) -> tuple[Draw, float]:
    """Return differences of about 0.001, except a share of images with a large one; and their true mean."""

    def draw(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        small = rng.uniform(-0.001, 0.001, count)
        return np.where(rng.random(count) < share, size, small)

    return draw, share * size


DISTRIBUTIONS = {
    "one in a thousand": rare(0.001, 1.9),
    "a tenth": rare(0.1, 0.5),
    "better in one of a thousand": rare(0.001, -1.9),
    "skewed": (lambda rng, count: np.clip(rng.exponential(0.05, count), 0, 2), 0.05),
}


@pytest.mark.parametrize("images", [300, 1000, 10_000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_end_misses_the_truth_in_no_more_samples_than_it_says(name: str, images: int) -> None:
    draw, truth = DISTRIBUTIONS[name]
    rng = np.random.default_rng(0)
    trials, above, below = 1000, 0, 0
    for _ in range(trials):
        values = draw(rng, images)
        found = difference_interval(float(values.mean()), float(values.var(ddof=1)), images)
        below, above = below + (found.high < truth), above + (found.low > truth)
    assert below / trials <= 0.025
    assert above / trials <= 0.025


def test_students_interval_would_miss_it_far_more_often() -> None:
    draw, truth = DISTRIBUTIONS["one in a thousand"]
    rng, z = np.random.default_rng(0), NormalDist().inv_cdf(0.975)
    values = np.array([draw(rng, 1000) for _ in range(1000)])
    high = values.mean(axis=1) + z * values.std(axis=1, ddof=1) / math.sqrt(1000)
    assert (high < truth).mean() > 0.25


def test_scores_are_the_squared_distances_from_the_truth() -> None:
    rows = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    assert brier_scores(rows, np.zeros(4, np.int64)) == pytest.approx([0, 2, 0.5, 2 / 3])


def test_more_images_narrow_the_interval_and_one_leaves_it_whole() -> None:
    widths = [found.high - found.low for found in (difference_interval(0.1, 0.01, count) for count in (1, 100, 1000, 10_000))]
    assert widths[0] == 4
    assert widths == sorted(widths, reverse=True)

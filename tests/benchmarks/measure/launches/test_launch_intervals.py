"""How often the interval of a p50 or a ratio holds the mean over all launches: the table in docs/explanation/measuring.md."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.intervals import mean_interval, student_quantile

pytestmark = pytest.mark.workstation("reads docs/ of the checkout")

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
DOCS = Path(__file__).parents[4] / "docs/explanation/measuring.md"
SPREAD, BENCHMARKS = 0.01, 40_000


def one_in_ten(slower: float) -> tuple[Draw, float]:
    """Return logarithms of launches' times, a tenth of them with this factor, and their mean."""
    shift = math.log(slower)
    return lambda rng, shape: rng.normal(0, SPREAD, shape) + (rng.random(shape) < 0.1) * shift, 0.1 * shift


SCENES: dict[str, tuple[Draw, float]] = {
    "differ evenly (normal)": (lambda rng, shape: rng.normal(0, SPREAD, shape), 0.0),
    "skewed (exponential)": (lambda rng, shape: rng.exponential(SPREAD, shape), SPREAD),
    "one in ten 3 % slower": one_in_ten(1.03),
    "one in ten 10 % slower": one_in_ten(1.1),
    "one in ten 20 % slower": one_in_ten(1.2),
    "one in ten 3 times slower": one_in_ten(3.0),
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_documentation_says_how_often_the_interval_holds(scene: str) -> None:
    (row,) = re.findall(rf"^\| {re.escape(scene)} \| (\d+) % \| (\d+) % \|$", DOCS.read_text(), re.MULTILINE)
    draw, truth = SCENES[scene]
    for launches, claimed in zip((5, 20), map(int, row), strict=True):
        values = draw(np.random.default_rng(0), (BENCHMARKS, launches))
        # What `mean_interval` does, for all benchmarks at once.
        half = student_quantile(0.975, launches - 1) * values.std(axis=1, ddof=1) / math.sqrt(launches)
        first = mean_interval(values[0])
        assert first.high - first.low == pytest.approx(2 * half[0])
        share = float((np.abs(values.mean(axis=1) - truth) <= half).mean())
        assert 100 * share == pytest.approx(claimed, abs=1)

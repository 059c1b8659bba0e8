"""The number of images for a decision: how often they decide, in enough simulated test sets."""

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.benchmarks.statistics.sample_size import POWER, Need, chance_to_pass, images_to_decide, images_to_decide_share
from edgecnn.edge.export_records import Interval

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")

SETS = 4_000
SEEN = [(2, 1, 1_000, 0.005), (30, 5, 1_000, 0.02), (15, 12, 10_000, 0.0015), (1, 3, 50, 0.0), (80, 20, 10_000, 0.005)]


class Fewest:
    """The fewest lost images, up to `most`, for which the interval shows the drop; more images show it too.

    Each number of gained images is searched from where the nearest one was found: an interval takes long.
    """

    def __init__(self, images: int, most: int, says: Callable[[Interval], bool]) -> None:
        self._images, self._most, self._says = images, most, says
        self._found = dict[int, int]()

    def lost(self, gained: int) -> int:
        if gained not in self._found:
            self._found[gained] = self._search(gained)
        return self._found[gained]

    def _search(self, gained: int) -> int:
        def shows(lost: int) -> bool:
            return self._says(drop_interval(lost, gained, self._images))

        if not self._found:
            return bisect_left(range(self._most), True, key=shows)
        start = lost = self._found[min(self._found, key=lambda known: abs(known - gained))]
        while lost > 0 and shows(lost - 1):
            lost -= 1
        if lost == start:
            while lost < self._most and not shows(lost):
                lost += 1
        return lost


def passes_and_fails(losses: float, gains: float, images: int, max_drop: float, sets: int = SETS) -> tuple[float, float]:
    """Return how often the interval itself lies within the limit and beyond it, on test sets with these true shares."""
    drawn = np.random.default_rng(1).multinomial(images, [losses, gains, 1 - losses - gains], sets)
    most = int(drawn[:, 0].max()) + 1

    reached = Fewest(images, most, lambda interval: interval.high > max_drop)
    exceeded = Fewest(images, most, lambda interval: interval.low > max_drop)
    passes = [lost < reached.lost(int(gained)) for lost, gained, _ in drawn]
    fails = [lost >= exceeded.lost(int(gained)) for lost, gained, _ in drawn]
    return float(np.mean(passes)), float(np.mean(fails))


@pytest.mark.parametrize(("lost", "gained", "images", "max_drop"), SEEN)
def test_the_images_decide_in_four_of_five_test_sets(lost: int, gained: int, images: int, max_drop: float) -> None:
    need = images_to_decide(lost, gained, images, max_drop)
    assert need.images
    passes, fails = passes_and_fails(lost / images, gained / images, need.images, max_drop)
    assert POWER - 0.03 <= passes + fails <= POWER + 0.05  # Two significant digits, and counts that come in steps.


def test_what_was_seen_alone_would_decide_in_about_half_of_the_test_sets() -> None:
    # The former choice: the fewest images at which an interval around the same shares decides.
    passes, fails = passes_and_fails(0.03, 0.005, 5_800, 0.02)
    assert 0.4 < passes + fails < 0.6


@pytest.mark.parametrize(
    ("flips", "images", "max_drop", "known"),
    [(0.003, 1_000, 0.005, 0.53), (0.01, 10_000, 0.005, 0.995), (0.02, 500, 0.01, None)],
)
def test_the_chance_of_an_equally_good_model_is_what_test_sets_show(
    flips: float, images: int, max_drop: float, known: float | None
) -> None:
    found = chance_to_pass(flips / 2, flips / 2, images, max_drop)
    passes, _ = passes_and_fails(flips / 2, flips / 2, images, max_drop, 20_000)
    assert found == pytest.approx(passes, abs=0.01)
    assert known is None or found == pytest.approx(known, abs=0.005)


@pytest.mark.parametrize(("share", "least"), [(0.996, 0.99), (0.98, 0.99), (0.93, 0.9), (0.7, 0.75), (0.999, 0.99)])
def test_the_images_decide_a_share_in_four_of_five_test_sets(share: float, least: float) -> None:
    need = images_to_decide_share(round(1_000 * share), 1_000, least)
    assert need.images

    @cache
    def decided(count: int) -> bool:
        found = binomial.interval(count, need.images or 0)
        return found.low >= least or found.high < least

    drawn = np.random.default_rng(2).binomial(need.images, share, SETS)
    assert POWER - 0.03 <= np.mean([decided(int(count)) for count in drawn]) <= POWER + 0.12  # Few misses: large steps.


def test_looking_again_as_images_come_passes_a_model_at_the_limit_far_too_often() -> None:
    # Why the text says to look once: six looks, each at twice as many images as the one before.
    looks = [1_000 * 2**n for n in range(6)]
    random = np.random.default_rng(3)

    fewest = {images: Fewest(images, images // 20, lambda interval: interval.high > 0.005) for images in looks}
    sets, once, ever = 1_000, 0, 0
    for _ in range(sets):
        counts = np.cumsum([random.multinomial(size, [0.0075, 0.0025, 0.99]) for size in np.diff([0, *looks])], axis=0)
        found = [lost < fewest[images].lost(int(gained)) for (lost, gained, _), images in zip(counts, looks, strict=True)]
        once, ever = once + found[-1], ever + any(found)
    assert once / sets <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / sets)
    assert ever / sets > 0.06


@pytest.mark.parametrize(
    ("lost", "gained", "images", "max_drop"),
    [(50, 0, 10_000, 0.005), (80, 30, 10_000, 0.005), (0, 0, 100, 0.0), (7, 7, 100, 0.0)],
)
def test_a_drop_on_the_limit_is_never_decided(lost: int, gained: int, images: int, max_drop: float) -> None:
    assert images_to_decide(lost, gained, images, max_drop) == Need(None, None, None)


def test_no_flips_need_the_images_that_exclude_the_limit() -> None:
    # 0.975 = 1 - (1 - 0.005)**n from 736 images on.
    assert images_to_decide(0, 0, 10, 0.005) == Need(740, 37, None)
    assert images_to_decide(0, 0, 100_000, 0.005).images == 740
    assert images_to_decide(0, 0, 10, 1.0).images == 1


@pytest.mark.parametrize(("lost", "gained", "images", "max_drop"), SEEN)
def test_the_range_holds_the_number_and_is_open_where_the_limit_may_be_the_truth(
    lost: int, gained: int, images: int, max_drop: float
) -> None:
    need = images_to_decide(lost, gained, images, max_drop)
    assert need.images
    assert need.fewest
    assert need.fewest < need.images < (need.most or math.inf)
    end = drop_interval(lost, gained, images, 0.8)
    assert (need.most is None) == (end.low <= max_drop <= end.high)


def test_every_image_alike_is_not_enough_for_a_limit_of_all() -> None:
    assert images_to_decide_share(100, 100, 1.0) == Need(None, None, None)
    assert images_to_decide_share(99, 100, 1.0).images == 170  # One that differs is enough: 1 - 0.99**n is 0.8 from 161 on.

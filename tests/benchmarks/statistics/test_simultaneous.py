"""Width of intervals around the fastest of several files: against known quantiles."""

import math
from itertools import pairwise

import pytest

from edgecnn.benchmarks.statistics.intervals import fastest_quantile, student_quantile


@pytest.mark.parametrize("launches", [2, 5, 20, 100])
def test_for_one_file_or_two_it_is_students(launches: int) -> None:
    for files in (1, 2):
        assert fastest_quantile(files, launches) == student_quantile(0.975, launches - 1)


@pytest.mark.parametrize("launches", [2, 3, 5, 20])
def test_it_grows_with_the_number_of_files_between_one_base_named_beforehand_and_all_pairs(launches: int) -> None:
    counts = range(2, 25)
    quantiles = [fastest_quantile(files, launches) for files in counts]
    assert all(more > fewer for fewer, more in pairwise(quantiles))
    for files, quantile in zip(counts, quantiles, strict=True):
        # Bonferroni, over the pairs with one base and over all pairs.
        low, high = (student_quantile(1 - 0.025 / pairs, launches - 1) for pairs in (files - 1, files * (files - 1) / 2))
        assert low <= quantile <= high


def test_with_many_launches_it_is_that_of_the_studentized_range() -> None:
    # Tables of the studentized range at 95 % with infinitely many degrees of freedom, divided by the square root of 2.
    for files, value in ((3, 3.314), (4, 3.633), (10, 4.474), (20, 5.012)):
        assert fastest_quantile(files, 10_000) == pytest.approx(value / math.sqrt(2), rel=0.01)

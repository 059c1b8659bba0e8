"""Simulated classifiers whose true share of errors is known: the bound is wrong as rarely as it says."""

import functools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics import binomial, selective
from edgecnn.benchmarks.statistics.selective import certified, least_images, levels_tried

SPLITS = 100


def sampled(rng: np.random.Generator, images: int, steps: int | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores and errors of a classifier that is surer where it is right; `steps` rounds its scores to so many."""
    scores = rng.beta(3, 0.4, images)
    wrong = rng.random(images) < 0.3 * (1 - scores)
    return (scores if steps is None else np.floor(scores * steps) / steps), wrong


@functools.cache
def population(steps: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return many scores, the highest first, and the share of errors among those up to each."""
    scores = np.random.default_rng(99).beta(3, 0.4, 200_000)
    shown = scores if steps is None else np.floor(scores * steps) / steps
    order = np.argsort(-shown)
    return shown[order], np.cumsum(0.3 * (1 - scores[order])) / np.arange(1, len(scores) + 1)


def true_risks(above: list[float], steps: int | None) -> NDArray[np.float64]:
    """Return the share of errors among all scores above each threshold."""
    shown, risks = population(steps)
    return risks[np.searchsorted(-shown, -np.array(above), side="left") - 1]


def kept(steps: int | None, images: int, max_error: float) -> int:
    """Return in how many of the splits no threshold accepts more errors than allowed; some must pass."""
    rng = np.random.default_rng(7)
    right = passed = 0
    for _ in range(SPLITS):
        levels = certified(*sampled(rng, images, steps), max_error)
        right += not levels or bool((true_risks([level.above for level in levels], steps) <= max_error).all())
        passed += bool(levels)
    assert passed >= SPLITS // 2
    return right


@pytest.mark.parametrize("steps", [None, 32], ids=["float", "few steps"])
def test_of_100_splits_at_least_95_accept_no_more_errors_than_allowed(steps: int | None) -> None:
    assert kept(steps, 4000, 0.02) >= 95


def test_without_the_bound_too_many_splits_accept_more_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binomial, "cdf", lambda wrong, accepted, limit: 0.0 if wrong <= limit * accepted else 1.0)
    assert kept(None, 4000, 0.02) < 95


def test_a_level_counts_what_is_above_it_and_ties_are_accepted_together() -> None:
    scores = np.repeat([0.9, 0.5], 500)
    wrong = scores < 0.9
    assert certified(scores, wrong, 0.05) == (selective.Level(0.5, 500, 0),)


def test_a_level_does_not_count_scores_from_an_upper_limit_on() -> None:
    scores = np.concatenate([np.repeat([0.9, 0.5], 500), [3.0]])
    wrong = np.append(np.arange(1000) >= 500, True)
    assert certified(scores, wrong, 0.05, below=3.0) == (selective.Level(0.5, 500, 0),)
    assert certified(scores, wrong, 0.05)[0].wrong == 1


def test_no_error_at_all_accepts_every_answer() -> None:
    loosest = certified(np.linspace(0, 1, 1000), np.zeros(1000, bool), 0.05)[0]
    assert loosest == selective.Level(-math.inf, 1000, 0)


def test_the_more_models_the_images_chose_among_the_more_of_them_it_takes() -> None:
    assert least_images(0.01, 0.95, 1) == 299  # The rule of three.
    assert least_images(0.01, 0.95, 5) == 459
    few = np.linspace(0, 1, 320), np.zeros(320, bool), 0.01
    assert certified(*few)
    assert not certified(*few, tests=5)


def test_a_threshold_is_tested_at_its_part_of_the_risk_and_not_at_all_of_it() -> None:
    scores, wrong = np.full(2000, 0.5), np.arange(2000) < 29
    assert 0.05 / len(selective.SHARES) < binomial.cdf(29, 2000, 0.02) < 0.05
    assert not certified(scores, wrong, 0.02)
    few = np.arange(2000) < 23
    assert certified(scores, few, 0.02)
    assert not certified(scores, few, 0.02, tests=20)


def test_what_could_not_pass_is_not_tried_so_that_the_correction_is_no_larger_than_it_must_be() -> None:
    assert levels_tried(298, 0.01, 0.95, 1) == 0
    assert levels_tried(300, 0.01, 0.95, 1) == 1
    assert levels_tried(100_000, 0.01, 0.95, 1) == len(selective.SHARES)


@pytest.mark.parametrize("change", [{"max_error": 0.0}, {"max_error": 1.0}, {"confidence": 1.0}, {"tests": 0}])
def test_a_limit_out_of_range_is_refused(change: dict[str, float]) -> None:
    given: dict[str, float] = {"max_error": 0.1, "confidence": 0.9, "tests": 1} | change
    with pytest.raises(ValueError, match="between 0 and 1"):
        certified(np.zeros(10), np.zeros(10, bool), given["max_error"], given["confidence"], int(given["tests"]))


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        certified(np.array([0.5, math.nan]), np.zeros(2, bool), 0.1)

"""The judgement at and next to each of its borders."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import (
    FAIL,
    INVALID,
    PASS,
    UNDECIDED,
    UNJUDGED,
    Check,
    Figures,
    Policy,
    Status,
    Verdict,
    join,
    judge,
)
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.benchmarks.statistics.sample_size import Need
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.export_records import Interval
from tests.benchmarks.gate.judged import DRIFT, FAST, LOAD, PERFECT, figures, measured

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")


def dropping(low: float, high: float) -> Figures:
    """Return figures whose drop lies between these shares."""
    return figures(replace(PERFECT, drop=Interval((low + high) / 2, low, high)))


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.00501, 0.009, FAIL),
        (0.005, 0.009, UNDECIDED),
        (-0.001, 0.00501, UNDECIDED),
        (0.001, 0.005, PASS),
        (-0.02, -0.01, PASS),
    ],
)
def test_the_drops_whole_interval_must_lie_within_the_limit_to_pass_and_beyond_it_to_fail(
    low: float, high: float, status: str
) -> None:
    assert judge(dropping(low, high), Budget(0.5)).status == status


def test_a_failed_drop_is_told_with_its_evidence() -> None:
    verdict = judge(figures(measured(200, 10)), Budget(0.5))
    low, high = (100 * end for end in (drop_interval(200, 10, 10_000).low, drop_interval(200, 10, 10_000).high))
    assert (round(low, 1), round(high, 1)) == (1.6, 2.2)
    text = (
        "int8.tflite: accuracy 88.10% is 1.90 points below the float Keras model, the drop lies in "
        f"+{low:.3f} to +{high:.3f} (95 %), the limit is 0.50"
    )
    assert verdict == Verdict(FAIL, (Check(FAIL, text),))


def test_a_file_that_is_better_is_said_to_be_above() -> None:
    (check,) = judge(figures(measured(0, 100)), Budget(0.5)).checks
    assert check.status == PASS
    assert all(said in check.text for said in ("accuracy 91.00% is 1.00 points", "above the float Keras model", "lies in -1.2"))


def test_a_file_that_is_as_right_is_not_said_to_be_above() -> None:
    (check,) = judge(figures(measured(3, 3)), Budget(0.5)).checks
    assert check.text.startswith(
        "int8.tflite: accuracy 90.00% is 0.00 points below the float Keras model, the drop lies in -0."
    )


def test_an_undecided_drop_says_how_many_images_would_decide_and_how_an_equally_good_model_would_fare() -> None:
    (check,) = judge(figures(measured(2, 1, 1000)), Budget(0.5)).checks
    assert check.status == UNDECIDED
    assert all(said in check.text for said in ("1,000 images do not decide", "as good as the reference", "passes on 53%"))
    assert all(said in check.text for said in ("about 2,500 images", "80 % of cases", "(80 % range: 740 to ", "look once"))


def test_images_that_are_too_few_for_a_limit_say_the_smallest_that_they_can_decide() -> None:
    for lost, status in ((0, UNDECIDED), (1, UNDECIDED)):
        (check,) = judge(figures(measured(lost, 0, 400)), Budget(0.5)).checks
        assert check.status == status
        assert all(said in check.text for said in ("; 400 images can't decide", "limit below 0.92", ": about "))
    assert judge(figures(measured(0, 0, 400)), Budget(0.92)).status == PASS
    assert judge(figures(measured(0, 0, 400)), Budget(0.91)).status == UNDECIDED


def test_images_that_are_too_few_for_a_share_say_the_largest_that_they_can_show() -> None:
    verdict = judge(figures(measured(0, 0, 400)), Budget(None, min_agreement_percent=99.5))
    assert verdict.status == UNDECIDED
    assert all(said in verdict.checks[0].text for said in ("; 400 images can't show", "more than 99.08 %", ": about "))
    assert judge(figures(measured(0, 0, 400)), Budget(None, min_agreement_percent=99.08)).status == PASS


def test_where_the_limit_is_within_the_range_no_upper_number_is_named() -> None:
    (check,) = judge(figures(measured(30, 5, 1000)), Budget(2)).checks
    assert all(said in check.text for said in ("about 11,000 images", "80 % of cases", "(80 % range: 1,500", "1,500 or more)"))


def test_a_drop_on_the_limit_itself_says_that_no_number_of_images_decides() -> None:
    (check,) = judge(figures(measured(50, 0)), Budget(0.5)).checks
    assert check.status == UNDECIDED
    assert check.text.endswith("; no number of images like these would decide")


def test_a_decided_drop_does_not_ask_for_images() -> None:
    for accuracy in (PERFECT, measured(500, 0)):
        assert "images" not in judge(figures(accuracy), Budget(0.5)).checks[0].text


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.97, 0.9899, FAIL), (0.97, 0.99, UNDECIDED), (0.9899, 0.999, UNDECIDED), (0.99, 0.999, PASS)],
)
def test_agreement_is_judged_by_its_interval_too(low: float, high: float, status: str) -> None:
    # 9,700 of 10,000: the same share of about 900 is certainly below 99 %.
    accuracy = replace(PERFECT, same_class=9_700, agreement=Interval(0.985, low, high))
    verdict = judge(figures(accuracy), Budget(min_agreement_percent=99))
    assert (verdict.status, verdict.checks[1].status) == (status, status)
    text = (
        f"int8.tflite: 98.50 % of images have the float Keras model's class ({100 * low:.2f} to {100 * high:.2f} %, 95 %), "
        "the limit is at least 99.00 %"
    )
    assert verdict.checks[1].text.startswith(text)
    undecided = "; 10,000 images do not decide: about "
    assert (undecided in verdict.checks[1].text) == (status == UNDECIDED)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"max_size_kib": 9.99}, "int8.tflite: size is 10 KiB, the limit is 9.99"),
        ({"max_memory_mib": 49.9}, "int8.tflite: peak memory is 50 MiB, the limit is 49.9"),
    ],
)
def test_size_and_memory_beyond_their_limit_fail(budget: dict[str, float], text: str) -> None:
    verdict = judge(figures(), Budget(**budget))
    assert (verdict.status, verdict.checks[1]) == (FAIL, Check(FAIL, text))


def test_size_and_memory_at_their_limit_pass() -> None:
    verdict = judge(figures(), Budget(max_size_kib=10, max_memory_mib=50), (LOAD,))
    assert [check.text for check in verdict.checks[1:]] == [
        "int8.tflite: size is 10 KiB, the limit is 10",
        "int8.tflite: peak memory is 50 MiB, the limit is 50",
    ]
    assert verdict.status == PASS


def test_fail_beats_invalid_beats_undecided_beats_pass() -> None:
    undecided = figures(measured(50, 0))
    assert judge(undecided, replace(FAST, max_size_kib=1), (LOAD,)).status == FAIL
    assert judge(figures(measured(500, 0)), FAST, (LOAD,)).status == FAIL
    assert judge(figures(measured(500, 0)), Budget(), (LOAD,), Policy(strict=True)).status == FAIL
    assert judge(undecided, FAST, (DRIFT,)).status == INVALID
    assert judge(undecided, replace(FAST, max_size_kib=100)).status == UNDECIDED
    assert judge(figures(), replace(FAST, max_size_kib=100)).status == PASS


def test_the_reference_is_judged_by_accuracy_alone() -> None:
    budget = Budget(0.5, 99, max_p90_ms=0.001, max_size_kib=0.001, max_memory_mib=0.001)
    verdict = judge(figures(exported=False), budget, (LOAD,))
    assert (verdict.status, len(verdict.checks)) == (PASS, 2)
    assert judge(figures(measured(500, 0), exported=False), budget).status == FAIL


def test_limits_come_in_a_fixed_order() -> None:
    checks = judge(figures(), Budget(0.5, 99, 3, 100, 100), (DRIFT,), Policy(strict=True)).checks
    starts = ("accuracy", "100.00 % of images", "p90", "size", "peak memory", "the measurement is unstable")
    assert len(checks) == len(starts)
    for check, start in zip(checks, starts, strict=True):
        assert check.text.startswith(f"int8.tflite: {start}")


def test_nothing_measured_is_nothing_passed() -> None:
    with pytest.raises(ValueError, match="at least one, got none"):
        join(())


def test_the_verdict_on_all_is_the_worst_and_every_check_is_kept() -> None:
    verdicts = [Verdict(status, (Check(PASS, "first"), Check(status, status))) for status in (PASS, UNDECIDED, INVALID, FAIL)]
    for worst in range(4):
        some = (*verdicts[worst::-1], *verdicts[: worst + 1])
        assert join(some) == Verdict(verdicts[worst].status, tuple(check for verdict in some for check in verdict.checks))


@pytest.mark.parametrize("name", ["max_drop_points", "min_agreement_percent"])
@pytest.mark.parametrize("value", [-0.01, 100.01, math.nan, math.inf])
def test_a_share_out_of_range_is_no_budget(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*0 to 100, got {value}"):
        Budget(**{name: value})


@pytest.mark.parametrize("value", [-0.01, 2.01, math.nan])
def test_a_brier_score_beyond_its_range_is_no_budget(value: float) -> None:
    with pytest.raises(ConfigError, match=f"max_brier_increase.*0 to 2, got {value}"):
        Budget(max_brier_increase=value)


@pytest.mark.parametrize("name", ["max_p90_ms", "max_size_kib", "max_memory_mib"])
@pytest.mark.parametrize("value", [-1, 0, math.nan, math.inf])
def test_a_size_or_time_out_of_range_is_no_budget(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*above 0, got {value}"):
        Budget(**{name: value})


def test_the_ends_of_the_ranges_are_budgets() -> None:
    assert Budget(0, 0) != Budget(100, 100, 1e-9, 1e-9, 1e-9)


def shares(losses: float, gains: float, images: int, sets: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return how often the gate gives each verdict on test sets from a model that loses and gains images with these chances."""
    # It is slow, and only needed for the text.
    monkeypatch.setattr("edgecnn.benchmarks.gate.accuracy_checks.images_to_decide", lambda *flips: Need(None, None, None))
    monkeypatch.setattr("edgecnn.benchmarks.gate.accuracy_checks.chance_to_pass", lambda *flips: 0.0)

    @cache
    def status(lost: int, gained: int) -> str:
        return judge(figures(measured(lost, gained, images)), Budget(0.5)).status

    drawn = np.random.default_rng(0).multinomial(images, [losses, gains, 1 - losses - gains], sets)
    said = [status(int(lost), int(gained)) for lost, gained, _ in drawn]
    return {name: said.count(name) / sets for name in (PASS, FAIL, UNDECIDED, INVALID)}


# Three standard errors of 2.5 % for this many sets.
SETS = 10_000
RARE = 0.025 + 3 * math.sqrt(0.025 * 0.975 / SETS)


@pytest.mark.parametrize(("losses", "gains", "images"), [(0.005, 0, 2_000), (0.006, 0.001, 2_000), (0.0055, 0.0005, 10_000)])
def test_a_true_drop_on_the_limit_passes_and_fails_in_one_of_forty_test_sets_at_most(
    losses: float, gains: float, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shares(losses, gains, images, SETS, monkeypatch)
    assert 0.001 < said[PASS] < RARE  # Above 0: a gate that never decides is no gate.
    assert 0.001 < said[FAIL] < RARE


def test_a_model_without_loss_passes_nearly_always_with_ten_thousand_images(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shares(0.001, 0.001, 10_000, 2_000, monkeypatch)[PASS] > 0.99


def test_a_model_that_loses_twice_the_limit_fails_nearly_always_with_ten_thousand_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shares(0.0105, 0.0005, 10_000, 2_000, monkeypatch)[FAIL] > 0.95


def test_without_a_limit_nothing_is_judged_which_is_no_pass() -> None:
    none = Budget(max_drop_points=None)
    assert judge(figures(), none) == judge(figures(accuracy=None), none) == Verdict(UNJUDGED, ())
    assert judge(figures(accuracy=None), none, (LOAD,)).status == UNJUDGED
    assert judge(figures(accuracy=None), none, (LOAD,), Policy(strict=True)).status == INVALID
    assert judge(figures(accuracy=None), replace(none, max_size_kib=10)).status == PASS


def test_accuracy_that_was_not_measured_can_not_be_judged() -> None:
    for budget in (Budget(), Budget(None, 99)):
        with pytest.raises(ValueError, match="accuracy must have been measured"):
            judge(figures(accuracy=None), budget)


@pytest.mark.parametrize(
    ("others", "status"), [((), UNJUDGED), ((PASS,), PASS), ((PASS, FAIL), FAIL), ((UNDECIDED,), UNDECIDED)]
)
def test_files_without_a_limit_count_only_where_no_file_has_one(others: tuple[Status, ...], status: Status) -> None:
    assert join(tuple(Verdict(name, ()) for name in (UNJUDGED, *others, UNJUDGED))).status == status


def test_the_reference_is_called_by_its_name() -> None:
    drop, agreement = judge(figures(measured(200, 10), reference="float.tflite"), Budget(0.5, 99)).checks
    assert "is 1.90 points below float.tflite," in drop.text
    assert "images have float.tflite's class (" in agreement.text

"""The judgement at and next to each of its borders."""

import math
from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.checks import judge
from edgecnn.benchmarks.gate.gate import (
    FAIL,
    INVALID,
    PASS,
    STATUSES,
    UNDECIDED,
    UNJUDGED,
    Check,
    Figures,
    Policy,
    Status,
    Verdict,
    join,
)
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.export_records import Interval
from tests.benchmarks.gate.judged import DIGITS, DRIFT, FAST, LOAD, PERFECT, figures, measured

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
        "accuracy 88.10% is 1.90 points below the float Keras model, the drop lies in "
        f"+{low:.3f} to +{high:.3f} (95 %), the limit is 0.50"
    )
    assert verdict == Verdict(FAIL, (Check(FAIL, text),))


@pytest.mark.parametrize(
    ("counts", "allowed", "status", "said"),
    [
        ((0, 100), 0.5, PASS, ("accuracy 91.00% is 1.00 points above the float Keras model", "lies in -1.2")),
        ((3, 3), 0.5, PASS, ("accuracy 90.00% is 0.00 points below the float Keras model, the drop lies in -0.",)),
        ((2, 1, 1000), 0.5, UNDECIDED, ("1,000 images do not decide", "as good as the reference", "passes on 53%")),
        ((2, 1, 1000), 0.5, UNDECIDED, ("about 2,500 images", "80 % of cases", "(80 % range: 740 to ", "look once")),
        # Too few for the limit: the smallest that they can decide.
        ((0, 0, 400), 0.5, UNDECIDED, ("; 400 images can't decide", "limit below 0.92", ": about ")),
        ((1, 0, 400), 0.5, UNDECIDED, ("; 400 images can't decide", "limit below 0.92", ": about ")),
        ((0, 0, 400), 0.92, PASS, ()),
        ((0, 0, 400), 0.91, UNDECIDED, ()),
        # The limit is within the range, or the drop is the limit itself.
        ((30, 5, 1000), 2, UNDECIDED, ("about 11,000 images", "80 % of cases", "(80 % range: 1,500 or more)")),
        ((50, 0), 0.5, UNDECIDED, ("; no number of images like these would decide",)),
        ((500, 0), 0.5, FAIL, ()),
    ],
)
def test_a_drop_is_told_with_its_evidence_and_what_would_decide(
    counts: tuple[int, ...], allowed: float, status: str, said: tuple[str, ...]
) -> None:
    (check,) = judge(figures(measured(*counts)), Budget(allowed)).checks
    assert check.status == status
    assert [part for part in said if part not in check.text] == []
    assert ("images" in check.text) == (status == UNDECIDED)


def test_images_that_are_too_few_for_a_share_say_the_largest_that_they_can_show() -> None:
    verdict = judge(figures(measured(0, 0, 400)), Budget(None, min_agreement_percent=99.5))
    assert verdict.status == UNDECIDED
    assert all(said in verdict.checks[0].text for said in ("; 400 images can't show", "more than 99.08 %", ": about "))
    assert judge(figures(measured(0, 0, 400)), Budget(None, min_agreement_percent=99.08)).status == PASS


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.97, 0.9899, FAIL), (0.97, 0.99, UNDECIDED), (0.9899, 0.999, UNDECIDED), (0.99, 0.999, PASS)],
)
def test_agreement_is_judged_by_its_interval_too(low: float, high: float, status: str) -> None:
    # 9,700 of 10,000: the same share of about 900 is certainly below 99 %.
    accuracy = replace(PERFECT, same_class=9_700, agreement=Interval(0.985, low, high))
    verdict = judge(figures(accuracy, class_names=DIGITS), Budget(min_agreement_percent=99))
    assert (verdict.status, verdict.checks[1].status) == (status, status)
    text = (
        f"98.50 % of images have the float Keras model's class ({100 * low:.2f} to {100 * high:.2f} %, 95 %), "
        "the limit is at least 99.00 %"
    )
    assert verdict.checks[1].text.startswith(text)
    undecided = "; 10,000 images do not decide: about "
    assert (undecided in verdict.checks[1].text) == (status == UNDECIDED)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ({"max_size_kib": 9.99}, "size is 10 KiB, the limit is 9.99"),
        ({"max_memory_mib": 49.9}, "peak memory is 50 MiB, the limit is 49.9"),
    ],
)
def test_size_and_memory_beyond_their_limit_fail(budget: dict[str, float], text: str) -> None:
    verdict = judge(figures(), Budget(**budget))
    assert (verdict.status, verdict.checks[1]) == (FAIL, Check(FAIL, text))


def test_limits_come_in_a_fixed_order_and_size_and_memory_at_theirs_pass() -> None:
    verdict = judge(figures(), Budget(max_size_kib=10, max_memory_mib=50), (LOAD,))
    assert [check.text for check in verdict.checks[1:]] == [
        "size is 10 KiB, the limit is 10",
        "peak memory is 50 MiB, the limit is 50",
    ]
    assert verdict.status == PASS
    checks = judge(figures(), Budget(0.5, 99, 3, 100, 100), (DRIFT,), Policy(strict=True)).checks
    starts = ("accuracy", "100.00 % of images", "p90", "size", "peak memory", "the measurement is unstable")
    assert len(checks) == len(starts)
    for check, start in zip(checks, starts, strict=True):
        assert check.text.startswith(start)


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


@pytest.mark.parametrize("limit", [field.name for field in fields(Budget)])
def test_every_limit_is_judged(limit: str) -> None:
    reference = np.arange(1000) % 10
    few = np.where(np.arange(1000) < 500, 0, reference)
    probabilities = np.eye(10, dtype=np.float32)
    accuracy = compare(probabilities[few], probabilities[reference], reference)
    # Without a limit there is no check, so a limit that nothing judges would let every file pass.
    verdict = judge(figures(accuracy, class_names=DIGITS), Budget(**({"max_drop_points": None} | {limit: 0.5})))
    assert verdict.checks[0].status == (PASS if limit.startswith("min") else FAIL)


def test_the_verdict_on_all_is_the_worst_and_nothing_measured_has_none() -> None:
    with pytest.raises(ValueError, match="at least one, got none"):
        join(())
    verdicts = [(status, Verdict(status, (Check(PASS, "one"), Check(status, "two")))) for status in STATUSES]
    for worst, status in enumerate(STATUSES):
        some = verdicts[: worst + 1]
        checks = [Check(PASS, f"{', '.join(STATUSES[: worst + 1])}: one"), *(Check(name, f"{name}: two") for name, _ in some)]
        assert join(some) == Verdict(status, tuple(checks))
        assert join(some[::-1]).status == status


@pytest.mark.parametrize(
    ("names", "range_text", "values"),
    [
        (("max_drop_points", "min_agreement_percent"), "0 to 100", (-0.01, 100.01, math.nan, math.inf)),
        (("max_brier_increase",), "0 to 2", (-0.01, 2.01, math.nan)),
        (("max_p90_ms", "max_size_kib", "max_memory_mib"), "above 0", (-1, 0, math.nan, math.inf)),
    ],
)
def test_a_limit_out_of_range_is_no_budget(names: tuple[str, ...], range_text: str, values: tuple[float, ...]) -> None:
    for name, value in product(names, values):
        with pytest.raises(ConfigError, match=f"{name}.*{range_text}, got {value}"):
            Budget(**{name: value})


def test_the_ends_of_the_ranges_are_budgets() -> None:
    assert Budget(0, 0) != Budget(100, 100, 1e-9, 1e-9, 1e-9)


def test_without_a_limit_nothing_is_judged_and_without_accuracy_no_limit_of_it() -> None:
    none = Budget(max_drop_points=None)
    assert judge(figures(), none) == judge(figures(accuracy=None), none) == Verdict(UNJUDGED, ())
    assert judge(figures(accuracy=None), none, (LOAD,)).status == UNJUDGED
    assert judge(figures(accuracy=None), none, (LOAD,), Policy(strict=True)).status == INVALID
    assert judge(figures(accuracy=None), replace(none, max_size_kib=10)).status == PASS
    for budget in (Budget(), Budget(None, 99)):
        with pytest.raises(ValueError, match="accuracy must have been measured"):
            judge(figures(accuracy=None), budget)


@pytest.mark.parametrize(
    ("others", "status"), [((), UNJUDGED), ((PASS,), PASS), ((PASS, FAIL), FAIL), ((UNDECIDED,), UNDECIDED)]
)
def test_files_without_a_limit_count_only_where_no_file_has_one(others: tuple[Status, ...], status: Status) -> None:
    assert join([("a", Verdict(name, ())) for name in (UNJUDGED, *others, UNJUDGED)]).status == status


def test_the_reference_is_called_by_its_name() -> None:
    drop, agreement = judge(figures(measured(200, 10), reference="float.tflite"), Budget(0.5, 99)).checks
    assert "is 1.90 points below float.tflite," in drop.text
    assert "images have float.tflite's class (" in agreement.text

"""The judgement, at and beside its border."""

import pytest

from benchmarks.accuracy import Accuracy
from benchmarks.gate import FAIL, PASS, Budget, Verdict, join, judge
from edge.errors import ConfigError

FAILED = Verdict(FAIL, ("int8.tflite: too low",))
PASSED = Verdict(PASS, ())


def measured(correct: int, reference_correct: int, images: int = 10_000) -> Accuracy:
    lost, gained = max(reference_correct - correct, 0), max(correct - reference_correct, 0)
    return Accuracy(images, correct, reference_correct, lost, gained, images - lost - gained, 0.1)


@pytest.mark.parametrize(
    ("correct", "images", "max_drop"),
    [(9_849, 10_000, 0.5), (9_899, 10_000, 0.0), (9_898, 10_000, 0.01), (9_890, 10_000, 0.09), (6_599, 10_000, 33.0)],
)
def test_the_gate_fails_when_one_image_more_is_lost_than_the_budget(correct: int, images: int, max_drop: float) -> None:
    assert judge("int8.tflite", measured(correct, 9_900, images), Budget(max_drop)).status == FAIL


@pytest.mark.parametrize(("correct", "max_drop"), [(9_850, 0.5), (9_851, 0.5), (9_843, 0.57)])
def test_the_gate_passes_a_drop_that_equals_the_budget(correct: int, max_drop: float) -> None:
    assert judge("int8.tflite", measured(correct, 9_900), Budget(max_drop)) == PASSED


@pytest.mark.parametrize("max_drop", [0.0, 0.5])
def test_the_gate_passes_a_file_that_is_as_good_or_better(max_drop: float) -> None:
    assert judge("int8.tflite", measured(9_900, 9_900), Budget(max_drop)) == PASSED
    assert judge("int8.tflite", measured(9_999, 9_900), Budget(max_drop)) == PASSED


def test_gained_images_make_up_for_lost_ones() -> None:
    assert judge("int8.tflite", Accuracy(100, 90, 90, 5, 5, 90, 0.1), Budget(0)) == PASSED


def test_a_reason_names_the_file_its_accuracy_and_both_numbers() -> None:
    (reason,) = judge("int8.tflite", measured(9_700, 9_900), Budget(0.5)).reasons
    assert reason == "int8.tflite: accuracy 97.00% is 2.00 points below the float Keras model, allowed are 0.50"


def test_nothing_measured_is_nothing_passed() -> None:
    with pytest.raises(ValueError, match="at least one, got none"):
        join(())


def test_one_failed_file_fails_them_all_and_every_reason_is_kept() -> None:
    other = Verdict(FAIL, ("int8.onnx: too low",))
    assert join((PASSED, FAILED, PASSED, other)) == Verdict(FAIL, FAILED.reasons + other.reasons)


def test_files_that_all_pass_pass() -> None:
    assert join((PASSED, PASSED)) == PASSED


@pytest.mark.parametrize("max_drop", [-0.01, 100.01, float("nan"), float("inf")])
def test_a_budget_out_of_range_is_refused(max_drop: float) -> None:
    with pytest.raises(ConfigError, match=f"--max-drop must be 0 to 100 percentage points, got {max_drop}"):
        Budget(max_drop)


@pytest.mark.parametrize("max_drop", [0, 100])
def test_the_ends_of_the_range_are_budgets(max_drop: float) -> None:
    assert Budget(max_drop).max_drop_points == max_drop

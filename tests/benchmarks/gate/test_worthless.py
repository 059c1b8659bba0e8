"""Verdicts that must not pass: with a worthless reference, on copies, with a class or all confidence lost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, ClassCounts
from edgecnn.benchmarks.gate.checks import worst_class
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED, UNJUDGED, join
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.edge.export_records import Interval
from edgecnn.edge.model.preprocess import Floats
from tests.benchmarks.gate.judged import CLASSES, DIGITS, judged

pytestmark = pytest.mark.workstation("exact sums and simulations take minutes under emulation")


def answers(chosen: Sequence[int] | NDArray[np.int64], sure: float = 0.99) -> Floats:
    """Return probabilities (n, 10) that predict these classes."""
    rows = np.full((len(chosen), CLASSES), (1 - sure) / (CLASSES - 1), np.float32)
    rows[np.arange(len(chosen)), chosen] = sure
    return rows


def status(accuracy: Accuracy, **limits: float | None) -> str:
    return judged(accuracy, None, **limits).status


def labels(count: int) -> NDArray[np.int64]:
    return np.arange(count) % CLASSES


@pytest.mark.parametrize("right", [0.0, 0.0004, 0.1, 0.101])
def test_a_reference_no_better_than_a_guess_judges_nothing(right: float) -> None:
    true = labels(10_000)
    wrong = np.arange(10_000) >= round(right * 10_000)
    same = answers(np.where(wrong, (true + 1) % CLASSES, true))
    verdict = judged(compare(same, same, true), max_drop_points=0.5, max_size_kib=64)
    assert verdict.status == UNJUDGED
    assert verdict.refuses
    (reason,) = [check.text for check in verdict.checks if check.status == UNJUDGED]
    assert all(said in reason for said in ("float32.tflite, the reference", f"is right on {right:.2%}", "the 10.00%"))
    # The file's size is still judged, but does not make it pass.
    assert [check.status for check in verdict.checks] == [UNJUDGED, PASS]
    assert join([("a", verdict), ("b", judged(compare(answers(true), answers(true), true)))]).status == UNJUDGED


def test_a_reference_that_names_the_commonest_class_alone_judges_nothing() -> None:
    true = np.where(np.arange(1000) < 900, 0, labels(1000))
    always = answers(np.zeros(1000, np.int64))
    assert status(compare(always, always, true)) == UNJUDGED
    assert status(compare(answers(true), answers(true), true)) == PASS


@pytest.mark.parametrize("limits", [{"max_drop_points": 1.0}, {"max_drop_points": None, "min_accuracy_percent": 50.0}])
def test_images_that_are_all_copies_of_training_images_judge_nothing(limits: dict[str, float | None]) -> None:
    true = labels(1000)
    good = compare(answers(true), answers(true), true)
    assert status(good, **limits) == PASS
    assert status(replace(good, all_learnt=True), **limits) == UNJUDGED


def test_a_reference_clearly_better_than_a_guess_judges() -> None:
    true = labels(10_000)
    third = answers(np.where(np.arange(10_000) % 3 == 0, true, (true + 1) % CLASSES))
    assert status(compare(third, third, true)) == PASS
    # Accuracy under wrong preprocessing is no guess: only a limit on accuracy distinguishes it from a good model.
    assert status(compare(third, third, true), min_accuracy_percent=90) == FAIL


@pytest.mark.parametrize(("right", "verdict"), [(960, PASS), (930, UNDECIDED), (880, FAIL)])
def test_the_least_accuracy_is_judged_with_its_interval(right: int, verdict: str) -> None:
    true = labels(1000)
    file = answers(np.where(np.arange(1000) < right, true, (true + 1) % CLASSES))
    found = compare(file, answers(true), true)
    assert found.right
    assert found.right.low < right / 1000 < found.right.high
    assert status(found, max_drop_points=None, min_accuracy_percent=92) == verdict
    # The reference must reach it too, although it is compared with nothing.
    assert status(compare(file, file, true), max_drop_points=None, min_accuracy_percent=92) == verdict


def rare() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels and the answers of a file that never predicts the rarest class: 25 of 9,016 images."""
    true = np.concatenate([np.arange(8991) % 9, np.full(25, 9)])
    return true, np.where(true == 9, 4, true)


def test_a_file_that_lost_a_class_does_not_pass() -> None:
    true, without = rare()
    found = compare(answers(without), answers(true), true)
    verdict = judged(found, max_drop_points=0.5)
    assert [check.status for check in verdict.checks] == [PASS, FAIL]
    assert all(said in verdict.checks[1].text for said in ("class digit 9: 0 of", " 0 of 25 images", ", 25 by the reference"))
    assert found.classes[9].p == pytest.approx(10 * 2 * 0.5**25)
    assert status(compare(answers(true), answers(true), true), max_drop_points=0.5) == PASS


def test_a_limit_of_each_class_is_judged_class_by_class() -> None:
    true, without = rare()
    assert status(compare(answers(without), answers(true), true), max_class_drop_points=5) == FAIL
    # 25 images can't exclude a loss below 13.7 points, even if all are right.
    same = compare(answers(true), answers(true), true)
    assert [status(same, max_class_drop_points=limit) for limit in (5, 13, 14)] == [UNDECIDED, UNDECIDED, PASS]
    assert status(compare(answers(without), answers(true), true), max_class_drop_points=100) == PASS


def test_among_many_classes_one_that_seems_worse_by_chance_fails_no_file() -> None:
    # One class of ten loses 6 of 1,000 and gains none: p is 0.03 by itself, 0.31 among ten.
    true = labels(10_000)
    chosen = true.copy()
    chosen[np.flatnonzero(true == 3)[:6]] = 8
    found = compare(answers(chosen), answers(true), true)
    assert found.classes[3].p == pytest.approx(10 * 2 * 0.5**6)
    assert status(found, max_class_drop_points=0.01) == UNDECIDED


@pytest.mark.parametrize("sure", [0.12, 0.5])
def test_destroyed_confidence_fails_a_limit_of_the_brier_score_where_accuracy_is_the_same(sure: float) -> None:
    true = labels(2000)
    chosen = np.where(np.arange(2000) % 50 == 0, (true + 1) % CLASSES, true)
    found = compare(answers(chosen, sure), answers(chosen), true)
    assert (found.lost, found.gained) == (0, 0)
    assert status(found) == PASS
    assert status(found, max_brier_increase=0.05) == FAIL
    assert found.brier_increase
    assert found.brier_increase.low > 0.05
    assert found.calibration_error == pytest.approx(0.98 - sure, abs=1e-6)
    assert found.reference_calibration_error == pytest.approx(0.01, abs=1e-6)
    assert found.reference_loss is not None
    assert found.loss > found.reference_loss + 0.3


def test_an_equal_file_passes_where_images_are_many_and_one_image_decides_nothing() -> None:
    def same(count: int) -> Accuracy:
        return compare(answers(labels(count)), answers(labels(count)), labels(count))

    assert status(same(3000), max_brier_increase=0.02) == PASS
    assert status(same(500), max_brier_increase=0.02) == UNDECIDED
    assert same(1).brier_increase == Interval(0, -2, 2)


def test_nan_is_no_probability_of_either_side() -> None:
    good, broken = answers([1, 2]), answers([1, 2])
    broken[1, 3] = np.nan
    for pair in ((good, broken), (broken, good)):
        with pytest.raises(ValueError, match="finite"):
            compare(*pair, np.array([1, 2]))


def test_a_worthless_reference_does_not_pass_on_the_command_line(exported: Path, terminal: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 12, 12), np.uint8)
    true = np.arange(300) % 3
    for name in ("float32.tflite", "int8.tflite"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    np.savez(tmp_path / "wrong.npz", x_train=255 - images, y_train=true, x_test=images, y_test=true)
    files = [tmp_path / "float32.tflite", tmp_path / "int8.tflite"]
    quick = ["--preprocess", "unit", "--min-runs", "20", "--min-seconds", "0", "--launches", "1", "--max-size-kib", "9999"]
    terminal.fails(3, "bench", *files, "--data", tmp_path / "wrong.npz", *quick)
    first = " ".join(terminal.out.split("\n\n")[0].split())
    assert first.startswith("UNJUDGED: int8.tflite: accuracy can't be")
    assert " judged: float32.tflite" in first
    assert "PASS" not in first
    assert "No file is named to ship: there is nothing to judge accuracy by." in terminal.out


def test_the_limit_of_each_class_errs_in_one_of_forty_test_sets_at_most() -> None:
    """Of ten classes of 200 images one drops by the limit; by more it passes more rarely, by less it fails more rarely."""
    rng, sets = np.random.default_rng(0), 400
    images, classes = 200, [0.0] * 9 + [0.05]
    base = compare(answers(labels(10)), answers(labels(10)), labels(10))
    said = []
    for row in rng.binomial(images, classes, (sets, CLASSES)).tolist():
        counts = tuple(ClassCounts(images, images - lost, images, lost, 0, None) for lost in row)
        found = worst_class(replace(base, classes=counts), 5.0, DIGITS)
        assert found
        said.append(found.status)
    assert max(said.count(PASS), said.count(FAIL)) / sets <= 0.025 + 0.01

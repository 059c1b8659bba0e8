"""A class on which a file is never right: few images, groups, and how often an equally good file is stopped by chance."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import Accuracy, ClassCounts
from edgecnn.benchmarks.gate.checks import never_right
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED
from edgecnn.benchmarks.gate.tally import Tally
from edgecnn.benchmarks.show.remarks import moved_classes
from tests.benchmarks.gate.judged import CLASSES, DIGITS, judged

Numbers = NDArray[np.int64]


def without_nine(nines: int, grouped: bool = False) -> Accuracy:
    """Return the accuracy of a file that never predicts 9, with this many images of 9 among 9,000 others."""
    labels = np.concatenate([np.arange(9000) % 9, np.full(nines, 9)])
    return tallied(np.where(labels == 9, 4, labels), labels, np.arange(len(labels)) // 2 if grouped else None)


def tallied(chosen: Numbers, labels: Numbers, groups: Numbers | None = None, reference: Numbers | None = None) -> Accuracy:
    """Count answers compared with those of a reference, which is always right where none is given."""
    rows, tally = np.eye(CLASSES, dtype=np.float32), Tally(CLASSES)
    tally.add(rows[chosen], rows[labels if reference is None else reference], labels, groups=groups)
    return tally.accuracy()


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
@pytest.mark.parametrize("nines", [2, 5, 10, 20])
def test_a_file_that_is_never_right_on_a_class_does_not_pass_however_few_its_images(nines: int, grouped: bool) -> None:
    accuracy = without_nine(nines, grouped)
    verdict = judged(accuracy)
    assert verdict.status == UNDECIDED
    (check,) = [check for check in verdict.checks if check.status == UNDECIDED]
    named = f"never right on class digit 9: 0 of {nines} where the reference is right on {nines}"
    assert named in check.text
    assert f"int8.tflite is {named}." in moved_classes("int8.tflite", accuracy, DIGITS)


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
def test_a_class_that_is_shown_to_be_lost_still_fails(grouped: bool) -> None:
    assert judged(without_nine(60, grouped)).status == FAIL


def test_a_class_of_one_image_or_one_that_the_reference_loses_stops_nothing_and_a_set_limit_decides_instead() -> None:
    assert judged(without_nine(1)).status == PASS
    assert judged(without_nine(0)).status == PASS
    half_lost = np.concatenate([np.arange(9000) % 9, [9, 9, 9, 9]])
    chosen = half_lost.copy()
    chosen[-2:] = 4
    assert judged(tallied(chosen, half_lost)).status == PASS
    assert judged(without_nine(5), max_class_drop_points=99).status == UNDECIDED
    assert judged(without_nine(5), max_class_drop_points=100).status == PASS
    assert moved_classes("int8.tflite", without_nine(5), DIGITS)


def test_only_so_many_lost_classes_are_named() -> None:
    labels = np.arange(1000) % 10
    (said, *_) = moved_classes("int8.tflite", tallied(np.zeros(1000, np.int64), labels), DIGITS)
    assert said.count("0 of 100") == 5
    assert said.endswith("and 4 more.")


def test_a_group_is_one_piece_of_evidence_of_what_a_class_lost() -> None:
    labels = np.repeat(np.arange(10), 100)
    chosen = np.where((labels == 3) & (np.arange(1000) % 100 < 24), 8, labels)
    accuracy = tallied(chosen, labels, np.arange(1000) // 2)
    # 24 images, which are 12 groups, among 10 classes.
    assert accuracy.classes[3].p == pytest.approx(10 * 2 * 0.5**12)
    assert [of.p for of in accuracy.classes[:3]] == [1] * 3
    (said,) = moved_classes("int8.tflite", accuracy, DIGITS)
    assert all(part in said for part in ("digit 3 (76 of 100", ", the reference 100"))
    # A group that loses and gains equally is no evidence: half of each pair, in both directions.
    wrong = (labels + 1) % CLASSES
    even = np.arange(1000) % 2 == 0
    alike = tallied(np.where(even, labels, wrong), labels, np.arange(1000) // 2, np.where(even, wrong, labels))
    assert [of.p for of in alike.classes] == [1] * CLASSES


def test_a_class_whose_images_are_one_group_is_one_piece_of_evidence_however_many_groups_the_others_are() -> None:
    labels = np.concatenate([np.arange(18_000) % 9, np.full(40, 9)])
    chosen, groups = np.where(labels == 9, 8, labels), np.minimum(np.arange(18_040), 18_000)
    accuracy = tallied(chosen, labels, groups)
    assert accuracy.mcnemar_p == 1  # One group lost.
    assert [of.weight for of in accuracy.classes] == [pytest.approx(1 / 40 if place == 9 else 1) for place in range(10)]
    assert judged(accuracy).status == UNDECIDED
    assert judged(tallied(chosen, labels)).status == FAIL


def test_an_equally_good_file_is_stopped_in_fewer_than_one_of_a_hundred_test_sets() -> None:
    """Each image changes with 0.3 % probability; all changes lose, which is worse than an equally good file.

    Classes of two images are the most easily lost; fewer classes, or more images of each, stop fewer files.
    """
    rng, sets, classes, images = np.random.default_rng(0), 2000, 300, 2
    base = without_nine(2)
    lost = (rng.random((sets, classes, images)) < 0.003).sum(axis=2)
    stopped = 0
    for row in lost[lost.any(axis=1)].tolist():
        counts = tuple(ClassCounts(images, images - of, images, of, 0, None) for of in row)
        stopped += bool(never_right(replace(base, classes=counts)))
    assert stopped / sets < 0.01

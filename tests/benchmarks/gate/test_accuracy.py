"""A file compared with its reference, on hand-made probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from edgecnn.benchmarks.gate.accuracy import Accuracy, ClassCounts, Flip
from edgecnn.benchmarks.gate.tally import Tally, compare
from edgecnn.edge.export_records import Interval
from edgecnn.edge.model.preprocess import Floats


def certain(*classes: int) -> Floats:
    """Return probabilities (n, 3) that are certain of these classes."""
    return np.eye(3, dtype=np.float32)[list(classes)]


# Right in both, lost, lost, gained, wrong alike, wrong differently, right in both, right in both.
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
CANDIDATE = certain(0, 0, 0, 0, 2, 0, 0, 1)
REFERENCE = certain(0, 1, 2, 1, 2, 1, 0, 1)


@pytest.mark.parametrize(
    ("candidate", "reference", "labels"),
    [
        (certain(0, 1), certain(0, 1, 2), 3),
        (certain(0, 1, 2), certain(0, 1, 2), 2),
        (certain(0, 1)[:, :2], certain(0, 1), 2),
    ],
    ids=["images", "labels", "classes"],
)
def test_shapes_that_do_not_fit_are_refused_and_named(candidate: Floats, reference: Floats, labels: int) -> None:
    with pytest.raises(ValueError, match="must be alike") as caught:
        compare(candidate, reference, np.zeros(labels, np.int64))
    for part in (str(candidate.shape), str(reference.shape), f"{labels} labels"):
        assert part in str(caught.value)


def test_images_are_counted_by_what_the_file_and_the_reference_say_of_them() -> None:
    result = compare(CANDIDATE, REFERENCE, LABELS)
    assert (result.images, result.correct, result.reference_correct) == (8, 4, 5)
    assert (result.lost, result.gained, result.same_class) == (2, 1, 4)
    assert (result.accuracy, result.drop.estimate, result.agreement.estimate) == (0.5, 0.125, 0.5)
    # Clopper and Pearson's interval: tables give 15.70 to 84.30 % for 4 of 8.
    assert [result.agreement.low, result.agreement.high] == pytest.approx([0.1570128, 0.8429872], abs=1e-7)
    # The true label, this file's class and how many, where there are any.
    assert result.confusion == ((0, 0, 3), (1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 0, 2))
    assert result.classes == (
        ClassCounts(3, 3, 2, lost=0, gained=1, p=1),
        ClassCounts(3, 1, 2, lost=1, gained=0, p=1),
        ClassCounts(2, 0, 1, lost=1, gained=0, p=1),
    )


@pytest.mark.parametrize(("candidate", "reference", "drop"), [((0, 0), (0, 1), 0.5), ((0, 1), (0, 0), -0.5)])
def test_a_worse_file_drops_and_a_better_one_drops_less_than_nothing(
    candidate: tuple[int, ...], reference: tuple[int, ...], drop: float
) -> None:
    result = compare(certain(*candidate), certain(*reference), np.array([0, 1])).drop
    assert result.estimate == drop
    assert result.low < drop < result.high


def test_the_upper_end_of_a_drop_without_gains_is_clopper_and_pearsons() -> None:
    # 2 of 10: tables give 55.61 %. Two flips alone do not exclude that there is no drop.
    result = compare(certain(*[1] * 2, *[0] * 8), certain(*[0] * 10), np.zeros(10, np.int64)).drop
    assert [result.estimate, result.high] == pytest.approx([0.2, 0.5560955], abs=2e-5)
    assert result.low < 0


@pytest.mark.parametrize(("lost", "gained", "p"), [(0, 0, 1), (1, 0, 1), (5, 0, 0.0625), (0, 6, 0.03125), (5, 1, 0.21875)])
def test_p_is_mcnemars_exact_one(lost: int, gained: int, p: float) -> None:
    candidate = certain(*[1] * lost, *[0] * (gained + 2))
    reference = certain(*[0] * lost, *[2] * gained, 0, 0)
    assert compare(candidate, reference, np.zeros(len(candidate), np.int64)).mcnemar_p == pytest.approx(p)


def test_a_class_without_images_has_counts_of_nothing() -> None:
    assert compare(certain(0), certain(1), np.array([1])).classes == (
        ClassCounts(0, 0, 0, lost=0, gained=0),
        ClassCounts(1, 0, 1, lost=1, gained=0, p=1),
        ClassCounts(0, 0, 0, lost=0, gained=0),
    )


def test_every_flip_is_listed_with_both_classes_and_their_own_confidences() -> None:
    candidate = np.array([[0.9, 0.06, 0.04], [0.5, 0.25, 0.25], [0.125, 0.25, 0.625], [0.5, 0.375, 0.125]], np.float32)
    reference = np.array([[0.8, 0.1, 0.1], [0.25, 0.75, 0.0], [0.125, 0.25, 0.625], [0.0, 0.0625, 0.9375]], np.float32)
    result = compare(candidate, reference, np.array([0, 1, 0, 1]))
    assert result.flips == (
        Flip(image=1, label=1, reference=1, candidate=0, reference_confidence=0.75, candidate_confidence=0.5),
        Flip(image=3, label=1, reference=2, candidate=0, reference_confidence=0.9375, candidate_confidence=0.5),
    )


def test_the_change_of_confidence_is_that_of_the_references_class_and_the_loss_the_candidates() -> None:
    # 0.25 more, 0.5 less, and 0.75 less at the flip, where the candidate's own class changes by 1.
    candidate = np.array([[0.75, 0.25, 0], [0.5, 0.25, 0.25], [0, 1, 0]], np.float32)
    reference = np.array([[0.5, 0.25, 0.25], [1, 0, 0], [0.75, 0, 0.25]], np.float32)
    result = compare(candidate, reference, np.array([2, 2, 2]))
    assert (result.largest_confidence_change, result.mean_confidence_change) == (0.75, 0.5)
    candidate = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], np.float32)
    result = compare(candidate, certain(0, 1), np.array([0, 2]))
    assert result.loss == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_a_file_compared_with_itself_loses_nothing() -> None:
    probabilities = certain(0, 1, 1)
    result = compare(probabilities, probabilities, np.array([0, 1, 2]))
    assert result == Accuracy(
        images=3,
        correct=2,
        reference_correct=2,
        lost=0,
        gained=0,
        same_class=3,
        drop=Interval(0, result.drop.low, result.drop.high),
        agreement=Interval(1, result.agreement.low, 1),
        mcnemar_p=1,
        loss=result.loss,
        largest_confidence_change=0,
        mean_confidence_change=0,
        classes=tuple(ClassCounts(1, right, right, lost=0, gained=0, p=1) for right in (1, 1, 0)),
        confusion=((0, 0, 1), (1, 1, 1), (2, 1, 1)),
        flips=(),
        right=result.reference_right,
        reference_right=result.right,
        reference_loss=result.loss,
        brier_increase=Interval(0, -2, 2),
        calibration_error=1 / 3,
        reference_calibration_error=1 / 3,
    )
    assert result.loss == pytest.approx(-np.log(1e-7) / 3)
    assert result.drop.low == -result.drop.high < 0


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 7), (0, 3)])
def test_chunks_are_as_good_as_the_whole(cuts: tuple[int, ...]) -> None:
    tally = Tally(3)
    parts = (np.split(array, cuts) for array in (CANDIDATE, REFERENCE, LABELS))
    for candidate, reference, labels in zip(*parts, strict=True):
        tally.add(candidate, reference, labels)
    whole = compare(CANDIDATE, REFERENCE, LABELS)
    made = tally.accuracy()
    assert made == replace(whole, loss=made.loss)
    assert made.loss == pytest.approx(whole.loss)


def test_accepted_answers_and_the_errors_among_them_are_counted_over_all_chunks() -> None:
    right = CANDIDATE.argmax(axis=1) == LABELS
    accepted = np.arange(len(LABELS)) != np.flatnonzero(~right)[0]
    tally = Tally(3)
    for part in (slice(0, 3), slice(3, None)):
        tally.add(CANDIDATE[part], REFERENCE[part], LABELS[part], accepted=accepted[part])
    found = tally.accuracy()
    assert (found.accepted, found.accepted_wrong) == (int(accepted.sum()), int((accepted & ~right).sum()))
    assert 0 < found.accepted_wrong < int((~right).sum())
    assert compare(CANDIDATE, REFERENCE, LABELS).accepted is None


def test_a_chunk_of_other_classes_and_no_image_at_all_are_refused() -> None:
    tally = Tally(3)
    tally.add(CANDIDATE, REFERENCE, LABELS)
    with pytest.raises(ValueError, match=r"alike, got \(8, 2\)"):
        tally.add(CANDIDATE[:, :2], REFERENCE[:, :2], LABELS)
    with pytest.raises(ValueError, match=r"images.*at least one, got none"):
        Tally(3).accuracy()


def test_what_is_kept_grows_with_the_confusions_and_not_with_the_square_of_the_classes() -> None:
    labels = np.arange(1000)
    probabilities = np.eye(1000, dtype=np.float32)
    assert compare(probabilities, probabilities, labels).confusion == tuple((label, label, 1) for label in range(1000))

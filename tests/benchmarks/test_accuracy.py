"""A file beside its reference, on hand-made probabilities."""

import numpy as np
import pytest

from benchmarks.accuracy import Accuracy, compare
from edge.preprocess import Floats


def certain(*classes: int) -> Floats:
    """Return probabilities (n, 3) that are sure of these classes."""
    return np.eye(3, dtype=np.float32)[list(classes)]


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


def test_lost_and_gained_images_are_counted_apart() -> None:
    # Right in both, lost, lost, gained, wrong alike, wrong differently, right in both, right in both.
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    result = compare(certain(0, 0, 0, 0, 2, 0, 0, 1), certain(0, 1, 2, 1, 2, 1, 0, 1), labels)
    assert (result.images, result.correct, result.reference_correct) == (8, 4, 5)
    assert (result.lost, result.gained, result.same_class) == (2, 1, 4)
    assert (result.accuracy, result.drop_points, result.agreement) == (0.5, 12.5, 0.5)


@pytest.mark.parametrize(("candidate", "reference", "drop"), [((0, 0), (0, 1), 50), ((0, 1), (0, 0), -50)])
def test_a_worse_file_drops_and_a_better_one_drops_less_than_nothing(
    candidate: tuple[int, ...], reference: tuple[int, ...], drop: float
) -> None:
    assert compare(certain(*candidate), certain(*reference), np.array([0, 1])).drop_points == drop


def test_the_loss_is_the_candidates_own_in_nats() -> None:
    candidate = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], np.float32)
    result = compare(candidate, certain(0, 1), np.array([0, 2]))
    assert result.loss == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_a_file_compared_with_itself_loses_nothing() -> None:
    probabilities = certain(0, 1, 1)
    result = compare(probabilities, probabilities, np.array([0, 1, 2]))
    assert result == Accuracy(3, 2, 2, 0, 0, 3, result.loss)
    assert (result.drop_points, result.agreement) == (0, 1)
    assert result.loss == pytest.approx(-np.log(1e-7) / 3)

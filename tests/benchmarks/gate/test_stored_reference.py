"""A stored reference from which the files did not come, with and without the Keras model."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE, Accuracy, differs, doubt
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED, UNJUDGED
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.edge.export_records import Parity
from tests.benchmarks.gate.judged import CLASSES, judged

IMAGES = 10_000
LABELS = np.arange(IMAGES) % CLASSES
# The file gave another class than Keras for one image of 10,000.
RECORDED = Parity(IMAGES, IMAGES - 1, 0.06, 1.0)


def wrong_on(*places: range) -> NDArray[np.int64]:
    """Return answers that are right except for these images."""
    chosen = LABELS.copy()
    for of in places:
        chosen[of] = (chosen[of] + 1) % CLASSES
    return chosen


def beside(file: NDArray[np.int64], stored: NDArray[np.int64]) -> Accuracy:
    rows = np.eye(CLASSES, dtype=np.float32)
    return compare(rows[file], rows[stored], LABELS)


def status(accuracy: Accuracy, recorded: Parity | None = RECORDED, **limits: float | None) -> str:
    return judged(accuracy, recorded, **limits).status


TRUE = wrong_on(range(86))


@pytest.mark.parametrize("limit", [0.5, 45.0, 0.0, None])
def test_beside_a_reference_of_which_forty_percent_were_spoilt_no_file_passes(limit: float | None) -> None:
    accuracy = beside(TRUE, wrong_on(range(4000)))
    for recorded in (RECORDED, Parity(IMAGES, 6000, 0.06)):  # The manifest's record may be altered too.
        if limit == 45 and recorded is not RECORDED:
            continue  # Neither exceeds its record.
        assert status(accuracy, recorded, max_drop_points=limit, min_agreement_percent=1) == UNJUDGED
    # A file named as the reference may be worse than another.
    assert status(accuracy, None, max_drop_points=0.5) == PASS


def test_a_reference_that_is_as_right_on_other_images_judges_nothing() -> None:
    accuracy = beside(TRUE, wrong_on(range(5000, 5086)))
    assert (accuracy.lost, accuracy.gained) == (86, 86)
    assert status(accuracy) == UNJUDGED
    reason = doubt(accuracy, RECORDED, 0.5, KERAS_REFERENCE)
    assert reason
    assert all(said in reason for said in ("172 of 10,000 images", "export for 1 of 10,000"))
    assert KERAS_REFERENCE in reason


@pytest.mark.parametrize(("lost", "expected"), [(300, FAIL), (20, PASS), (50, UNDECIDED)])
def test_a_file_that_computes_worse_on_this_machine_is_judged_by_its_limits(lost: int, expected: str) -> None:
    accuracy = beside(wrong_on(range(86), range(1000, 1000 + lost)), TRUE)
    assert doubt(accuracy, RECORDED, 0.5, KERAS_REFERENCE) is None
    assert status(accuracy) == expected


@pytest.mark.parametrize("flips", [0, 1, 4])
def test_a_file_that_does_what_it_did_at_its_export_passes(flips: int) -> None:
    assert status(beside(wrong_on(range(flips, 86 + flips)), TRUE)) == PASS
    assert status(beside(wrong_on(range(flips, 86)), TRUE)) == PASS


def test_a_file_that_agreed_as_little_at_its_export_passes_whatever_copies_did_not_count() -> None:
    accuracy = beside(TRUE, wrong_on(range(20, 106)))
    assert status(accuracy, Parity(IMAGES, IMAGES - 40, 0.3)) == PASS
    # Every second image is a copy, but none of the changed ones.
    half = replace(beside(TRUE, wrong_on(range(10, 96))), images=IMAGES // 2, same_class=IMAGES // 2 - 20, copies=IMAGES // 2)
    assert doubt(half, Parity(IMAGES, IMAGES - 20, 0.3), 0.5, KERAS_REFERENCE) is None
    accuracy = beside(TRUE, wrong_on(range(4000)))
    assert status(accuracy, max_drop_points=None, min_accuracy_percent=90) == PASS


def test_a_model_that_gives_what_was_stored_of_it_does_not_differ() -> None:
    same = beside(TRUE, TRUE)
    assert differs(same, 1e-4) is None
    assert differs(replace(same, largest_confidence_change=1e-4), 1e-4) is None
    off = differs(replace(same, largest_confidence_change=0.002), 1e-4)
    assert off
    assert "0.002" in off
    assert "4,000 of 10,000" in str(differs(beside(LABELS, wrong_on(range(4000))), 1e-4))

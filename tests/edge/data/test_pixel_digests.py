"""Finding identical images, and those with contradicting labels."""

import numpy as np

from edgecnn.edge.data.pixel_digests import conflict_note, first_seen, held_out, pixel_digests

# The third is the first again, the fourth the second.
IMAGES = np.array([0, 1, 0, 1], np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)


def test_copies_are_told_across_chunks_and_those_with_another_label_apart() -> None:
    digests, labels = pixel_digests(IMAGES), np.array([5, 6, 5, 7])
    seen: dict[bytes, int] = {}
    fresh, conflicting = first_seen(digests[:3], labels[:3], seen)
    assert (fresh.tolist(), conflicting.tolist()) == ([True, True, False], [False] * 3)
    fresh, conflicting = first_seen(digests[3:], labels[3:], seen)
    assert (fresh.tolist(), conflicting.tolist()) == ([False], [True])


def test_the_first_of_several_labels_is_what_others_are_compared_with() -> None:
    _, conflicting = first_seen(pixel_digests(IMAGES[[0, 0, 0, 0]]), np.array([1, 2, 2, 1]), {})
    assert conflicting.tolist() == [False, True, True, False]


def test_copies_are_held_out_together() -> None:
    held = held_out(pixel_digests(IMAGES))
    assert held[:2].tolist() == held[2:].tolist()


def test_nothing_is_said_of_no_conflict() -> None:
    assert conflict_note(0) == []
    assert "1 test image has the pixels" in conflict_note(1)[0]
    assert "1,200 test images have the pixels" in conflict_note(1200)[0]

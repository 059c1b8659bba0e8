"""Finding identical images, and those with contradicting labels."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.edge.data.pixel_digests import (
    conflict_note,
    evidence,
    first_seen,
    held_out,
    learnt_images,
    learnt_note,
    pixel_digests,
)
from edgecnn.edge.data.splits import ArraySplit, FileSplit
from edgecnn.edge.errors import ArtifactError

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
    assert "1 test image has" in conflict_note(1)[0]
    assert "1,200 test images have" in conflict_note(1200)[0]


def arrays(*values: int) -> ArraySplit:
    return ArraySplit(
        np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8), np.zeros(len(values), int)
    )


def files(folder: Path, *contents: bytes) -> FileSplit:
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number}.png").write_bytes(content)
    names = tuple(f"{number}.png" for number in range(len(contents)))
    return FileSplit(folder, names, np.zeros(len(names), int), (4, 4, 3), "letterbox")


def test_copies_of_training_images_are_found_by_their_pixels_in_arrays() -> None:
    assert learnt_images(arrays(1, 2, 3), arrays(9, 3, 8, 1, 3)) == (1, 3, 4)
    assert learnt_images(arrays(1, 2, 3), arrays(4, 5)) == ()


def test_copies_of_training_images_are_found_by_their_bytes_in_files_and_nothing_is_decoded(tmp_path: Path) -> None:
    train = files(tmp_path / "train", b"cat", b"dog", b"longer")
    assert learnt_images(train, files(tmp_path / "test", b"dig", b"dog", b"a long one", b"cat")) == (1, 3)
    (tmp_path / "train" / "2.png").unlink()
    with pytest.raises(ArtifactError, match=r"2\.png can't be read"):
        learnt_images(train, train)
    (tmp_path / "train" / "2.png").mkdir()
    with pytest.raises(ArtifactError, match=r"2\.png can't be read \(Is a directory"):
        learnt_images(train, train)


def test_a_copy_of_a_training_image_is_no_evidence() -> None:
    counted, _ = evidence(arrays(1, 2, 2, 3), (0, 1))
    assert counted.tolist() == [False, False, True, True]


def test_how_many_test_images_were_learnt_is_said() -> None:
    assert learnt_note(0, 10) == []
    assert "3 of 1,000 test images" in learnt_note(3, 1000)[0]
    assert "all 1,000 test images" in learnt_note(1000, 1000)[0]

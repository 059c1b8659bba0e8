"""Finding identical images, and those with contradicting labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
from edgecnn.edge.manifest import DatasetRecord, Fitted, SplitOff

# The third is the first again, the fourth the second.
IMAGES = np.array([0, 1, 0, 1], np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)


def test_copies_are_told_across_chunks_and_those_with_another_label_than_the_first_apart() -> None:
    digests, labels = pixel_digests(IMAGES), np.array([5, 6, 5, 7])
    seen: dict[bytes, int] = {}
    fresh, conflicting = first_seen(digests[:3], labels[:3], seen)
    assert (fresh.tolist(), conflicting.tolist()) == ([True, True, False], [False] * 3)
    fresh, conflicting = first_seen(digests[3:], labels[3:], seen)
    assert (fresh.tolist(), conflicting.tolist()) == ([False], [True])
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


def test_copies_of_training_images_are_found_by_their_pixels_and_are_no_evidence() -> None:
    assert learnt_images(arrays(1, 2, 3), arrays(9, 3, 8, 1, 3)) == (1, 3, 4)
    assert learnt_images(arrays(1, 2, 3), arrays(4, 5)) == ()
    counted, _ = evidence(arrays(1, 2, 2, 3), (0, 1))
    assert counted.tolist() == [False, False, True, True]


def test_copies_of_training_images_are_found_by_their_bytes_even_in_files_that_can_not_be_decoded(tmp_path: Path) -> None:
    train = files(tmp_path / "train", b"cat", b"dog", b"longer")
    assert learnt_images(train, files(tmp_path / "test", b"dig", b"dog", b"a long one", b"cat")) == (1, 3)
    (tmp_path / "train" / "2.png").unlink()
    with pytest.raises(ArtifactError, match=r"2\.png can't be read"):
        learnt_images(train, train)
    (tmp_path / "train" / "2.png").mkdir()
    with pytest.raises(ArtifactError, match=r"2\.png can't be read \(Is a directory"):
        learnt_images(train, train)


def test_a_training_picture_that_was_saved_again_without_loss_is_a_copy(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 30, 3)).astype(np.uint8)
    parts = {}
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        parts[part] = FileSplit(tmp_path / part, ("0.png", "1.jpg", "2.png", "3.png"), np.zeros(4, int), (8, 8, 3), "stretch")
    for number in (0, 2, 3):
        Image.fromarray(pixels[number]).save(tmp_path / "train" / f"{number}.png", compress_level=0)
    Image.fromarray(pixels[1]).save(tmp_path / "train" / "1.jpg")
    decoded = Image.open(tmp_path / "train" / "1.jpg")
    decoded.save(tmp_path / "test" / "0.png")  # A JPEG saved as PNG.
    decoded.save(tmp_path / "test" / "1.jpg", quality=20)  # A JPEG compressed again has other pixels.
    Image.fromarray(pixels[2]).save(tmp_path / "test" / "2.png", compress_level=9)
    (tmp_path / "test" / "3.png").write_bytes((tmp_path / "train" / "3.png").read_bytes()[:200])  # Broken: read by nobody.
    assert learnt_images(parts["train"], parts["test"]) == (0, 2)


def test_a_jpeg_that_lost_or_got_metadata_is_a_copy_and_a_broken_one_is_none(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    parts = {part: FileSplit(tmp_path / part, ("0.jpg", "1.jpg"), np.zeros(2, int), (8, 8, 3), "stretch") for part in "ab"}
    told = Image.Exif()
    told[0x010E] = "a photo of a cat" * 99
    for part in parts:
        (tmp_path / part).mkdir()
        one, other = Image.fromarray(pixels), Image.fromarray(pixels + np.uint8(part == "a"))
        if part == "a":
            one.save(tmp_path / part / "0.jpg", exif=told, comment=b"mine")
            other.save(tmp_path / part / "1.jpg", exif=told, progressive=True)
        else:
            one.save(tmp_path / part / "0.jpg")
            other.save(tmp_path / part / "1.jpg", progressive=True)
    assert learnt_images(parts["a"], parts["b"]) == (0,)
    data = (tmp_path / "a" / "0.jpg").read_bytes()
    for broken in (data[:2], data[:9], data[:4] + b"\0\0" + data[6:], b"\xff\xd8" + b"\xff\xfe\0\0" * 9):
        (tmp_path / "b" / "0.jpg").write_bytes(broken)
        assert learnt_images(parts["a"], parts["b"]) == ()


def test_what_a_file_holds_counts_and_not_how_its_name_ends(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8))
    for part, level in (("a", 0), ("b", 9)):
        (tmp_path / part).mkdir()
        picture.save(tmp_path / part / "0.jpg", "PNG", compress_level=level)
    one, other = (FileSplit(tmp_path / part, ("0.jpg",), np.zeros(1, int), (8, 8, 3), "stretch") for part in "ab")
    assert learnt_images(one, other) == (0,)


def test_how_many_test_images_were_learnt_is_said() -> None:
    record = DatasetRecord("pets", "/data/pets", "", "hash")
    assert learnt_note(record, 10) == []
    assert "3 of 1,000 test images" in learnt_note(replace(record, learnt=(1, 2, 3)), 1000)[0]
    assert "all 1,000 test images" in learnt_note(replace(record, learnt=tuple(range(1000))), 1000)[0]


def test_images_that_may_be_learnt_are_said_with_what_to_do_and_how_they_were_fitted() -> None:
    drawn = DatasetRecord("pets", "/data/pets", "", "hash", Fitted((8, 8, 3), "letterbox"), SplitOff(0.2, 0))
    assert learnt_note(drawn, 10) == []
    (note,) = learnt_note(drawn.of_unknown_training(), 10)
    assert all(part in note for part in ("20% of each class of pets", "no test result", "letterbox", "give fit"))
    assert all(fix in note for fix in (" test/ folder", "test_list=FILE", "test_share=1"))
    bundled = replace(drawn.of_unknown_training(), split_off=None, fitted=None)
    assert len(learnt_note(bundled.of_unknown_training(), 10)) == 1  # A bundle does not say how its images were drawn.
    for stated in (replace(drawn, split_off=SplitOff(1.0, 0)), replace(drawn, split_off=None, test_list=("cat/1.png",))):
        assert learnt_note(stated.of_unknown_training(), 10) == []

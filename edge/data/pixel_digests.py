"""Finds identical images: a copy of an image adds no evidence."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.splits import FileSplit, Split, chunks
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import open_file
from edgecnn.edge.model.preprocess import Images

_DIGEST_BYTES = 16


def pixel_digests(images: Images) -> list[bytes]:
    """Return 16 bytes for each image of uint8 (n, h, w, c): equal for equal pixels only."""
    return [hashlib.sha256(image.tobytes()).digest()[:_DIGEST_BYTES] for image in images]


def first_seen(
    digests: Sequence[bytes], labels: NDArray[np.int64], seen: dict[bytes, int], learnt: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images have pixels not seen before, and which repeat the pixels of an image with another label.

    Args:
        digests: `pixel_digests` of the images.
        labels: int64 (n,).
        seen: Label of the first image with each digest; new ones are added.
        learnt: Which images are passed over as copies of training images (n,); None for none.

    Returns:
        Two arrays of bool (n,); no image is in both, and none that is passed over is in one.
    """
    fresh, conflicting = np.zeros((2, len(digests)), bool)
    for place, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        if learnt is not None and learnt[place]:
            continue
        fresh[place] = digest not in seen
        conflicting[place] = seen.setdefault(digest, label) != label
    return fresh, conflicting


def evidence(test: Split, learnt: Sequence[int]) -> tuple[NDArray[np.bool_], list[bytes]]:
    """Return which images (n,) are no copy of an earlier or a training image, and the digest of each; read in chunks.

    `learnt` are the places of the copies of training images.
    """
    digests = [digest for images in chunks(test) for digest in pixel_digests(images)]
    return first_seen(digests, test.labels, {}, np.isin(np.arange(len(digests)), learnt))[0], digests


def learnt_images(train: Split, test: Split) -> tuple[int, ...]:
    """Return the places of the test images that are exact copies of training images, which a model may know by heart.

    Image files are copies if their bytes are equal: nothing is decoded, and only files of equal size are read. Images in arrays
    are copies if their pixels are equal.

    Raises:
        ArtifactError: If an image can't be read.
    """
    if isinstance(train, FileSplit) and isinstance(test, FileSplit):
        learnt, tested = ([split.folder / name for name in split.names] for split in (train, test))
        sizes = {_size(path) for path in learnt} & {_size(path) for path in tested}
        known = {_file_digest(path) for path in learnt if _size(path) in sizes}
        return tuple(place for place, path in enumerate(tested) if _size(path) in sizes and _file_digest(path) in known)
    known = {digest for images in chunks(train) for digest in pixel_digests(images)}
    return tuple(place for place, digest in enumerate(evidence(test, ())[1]) if digest in known)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}): remove or replace it") from error


def _file_digest(path: Path) -> bytes:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def learnt_note(learnt: int, images: int) -> list[str]:
    """Return a warning that `learnt` of `images` test images are copies of training images; none for 0."""
    if not learnt:
        return []
    many, proof = f"{learnt:,} of {images:,}", "they prove nothing, and bench does not count them"
    if learnt == images:
        many, proof = f"all {images:,}", "their accuracy proves nothing"
    copies = "exact copies of training images, which a model may know by heart"
    return [f"Doubtful: {many} test images are {copies}: {proof}. edgecnn data names them."]


def conflict_note(count: int) -> list[str]:
    """Return a warning about `count` images with the pixels of an earlier image but another label; none for 0."""
    if not count:
        return []
    images, have = ("image", "has") if count == 1 else ("images", "have")
    return [
        f"{count:,} test {images} {have} the pixels of an earlier image but another label: one label is wrong; edgecnn data "
        "names them."
    ]


def held_out(digests: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return which images (n,) are held out for the final judgement while the others choose: half, by their pixels alone.

    So the same images are held out in any order and in any part of the dataset.
    """
    return np.array([digest[0] % 2 == 1 for digest in digests], bool)

"""Finds identical images: a copy of an image adds no evidence."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.splits import Split, chunks
from edgecnn.edge.model.preprocess import Images

_DIGEST_BYTES = 16


def pixel_digests(images: Images) -> list[bytes]:
    """Return 16 bytes for each image of uint8 (n, h, w, c): equal for equal pixels only."""
    return [hashlib.sha256(image.tobytes()).digest()[:_DIGEST_BYTES] for image in images]


def first_seen(
    digests: Sequence[bytes], labels: NDArray[np.int64], seen: dict[bytes, int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images have pixels not seen before, and which repeat the pixels of an image with another label.

    Args:
        digests: `pixel_digests` of the images.
        labels: int64 (n,).
        seen: Label of the first image with each digest; new ones are added.

    Returns:
        Two arrays of bool (n,); no image is in both.
    """
    fresh, conflicting = np.zeros((2, len(digests)), bool)
    for place, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        fresh[place] = digest not in seen
        conflicting[place] = seen.setdefault(digest, label) != label
    return fresh, conflicting


def distinct(test: Split) -> tuple[NDArray[np.bool_], list[bytes]]:
    """Return which images (n,) are no copy of an earlier one, and the digest of each; read a chunk at a time."""
    digests = [digest for images in chunks(test) for digest in pixel_digests(images)]
    return first_seen(digests, test.labels, {})[0], digests


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

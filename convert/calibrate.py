"""Choosing the training images that set the activation ranges of quantised files."""

import numpy as np
from numpy.typing import NDArray

from convert.dataset import Dataset
from edge.errors import ConversionError
from edge.files import sha256
from edge.manifest import Calibration
from edge.preprocess import Images

COUNT = 500
SEED = 0

# TFLite's converter takes the smallest and largest activation. ONNX Runtime offers more; of minmax, entropy and
# percentile, entropy lost least accuracy on the mission's CNN.
METHOD = {"tflite": "minmax", "onnx": "entropy"}


def choose_calibration(dataset: Dataset, count: int = COUNT, seed: int = SEED) -> tuple[Images, Calibration]:
    """Draw `count` training images, as even over the classes as there are images, none of them a test image.

    A training image with the very pixels of a test image is passed over, so that accuracy is never measured on an image
    that set a range.

    Returns:
        The images uint8 (n, h, w, c), and the record of the draw.

    Raises:
        ConversionError: If no training image is left.
    """
    rng = np.random.default_rng(seed)
    test = {image.tobytes() for image in dataset.test.images}
    images, labels = dataset.train.images, dataset.train.labels
    free = np.array([image.tobytes() not in test for image in images])
    pools = [rng.permutation(np.flatnonzero(free & (labels == index))) for index in range(len(dataset.class_names))]
    chosen: list[int] = []
    # One class after the other, so that a small class runs out without leaving the others uneven.
    for place in range(max(len(pool) for pool in pools)):
        for pool in pools:
            if len(chosen) < count and place < len(pool):
                chosen.append(int(pool[place]))
        if len(chosen) == count:
            break
    if not chosen:
        raise ConversionError(f"{dataset.name}: every training image is also a test image: nothing is left to calibrate on")
    indices: NDArray[np.int64] = np.array(sorted(chosen))
    return images[indices], Calibration(METHOD, tuple(indices.tolist()), sha256(images[indices].tobytes()), seed)

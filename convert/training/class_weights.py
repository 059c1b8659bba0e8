"""Weights for classes of uneven size."""

import numpy as np

from edgecnn.edge.data.splits import Labels
from edgecnn.edge.model.preprocess import Floats


def balanced_weights(labels: Labels, classes: int) -> Floats:
    """Return the weight of each class, with which all classes count the same in the loss, float32 (classes,).

    It is n / (k * n_c), as `class_weight="balanced"` of scikit-learn
    (https://scikit-learn.org/stable/modules/generated/sklearn.utils.class_weight.compute_class_weight.html): n images, k
    classes that have any, n_c of class c. The mean over all images is 1, so that the learning rate keeps its meaning. A class
    without images has the weight 1, which nothing uses.

    Args:
        labels: int64 (n,), from 0; the training labels.
        classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights[counts == 0] = 1
    found: Floats = weights.astype(np.float32)
    return found

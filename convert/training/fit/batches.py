"""Batches for training and for validation, one at a time, as TensorFlow takes them."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.training.fit.augmentation import varied
from edgecnn.convert.training.fit.readers import Batch, BatchReader
from edgecnn.convert.training.prepared_model import PreparedModel
from edgecnn.convert.training.records import TrainingRun
from edgecnn.edge.data.splits import Indices, Labels, Split
from edgecnn.edge.model.preprocess import Floats, Images


def training_batches(run: TrainingRun, reader: BatchReader, prepared: PreparedModel, done: int) -> Any:
    """Return a `tf.data.Dataset`, each iteration of which is the next epoch in an order of its own, from that after `done`."""
    split, config, classifier, teacher = run.dataset.train, run.config, prepared.classifier, prepared.teacher
    weights = _weights(run)

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng([config.seed, epoch]).permutation(len(split.labels))

        def chosen(index: int) -> Indices:
            found: Indices = order[index * config.batch_size : (index + 1) * config.batch_size]
            return found

        def ready(index: int, images: Images) -> Batch:
            images = varied(config.variation, images, np.random.default_rng([config.seed, epoch, index]))
            labels = split.labels[chosen(index)]
            batch = classifier.inputs(images), teacher.targets(images, labels) if teacher else labels
            return batch if weights is None else (*batch, weights[labels])

        return reader.batches(run.batches, chosen, ready)

    epochs = count(done + 1)
    return _dataset(lambda: batches(next(epochs)), run.batches, next(batches(done + 1)))


def validation_batches(run: TrainingRun, split: Split, reader: BatchReader, prepared: PreparedModel) -> Any:
    """Return a `tf.data.Dataset` of the validation images, in order, never varied.

    The targets are the labels alone; where a teacher's loss takes shares of all classes, they are shares too. Class weights are
    those of training: without them, the loss would choose an epoch in which the frequent class is always answered.
    """
    size, identity = run.config.batch_size, np.eye(len(run.dataset.class_names), dtype=np.float32)
    number, weights = -(-len(split.labels) // size), _weights(run)

    def chosen(index: int) -> Indices:
        return np.arange(index * size, min((index + 1) * size, len(split.labels)))

    def ready(index: int, images: Images) -> Batch:
        labels = split.labels[chosen(index)]
        batch = prepared.classifier.inputs(images), identity[labels] if prepared.teacher else labels
        return batch if weights is None else (*batch, weights[labels])

    def batches() -> Iterator[Batch]:
        return reader.batches(number, chosen, ready)

    return _dataset(batches, number, next(batches()))


def _dataset(batches: Callable[[], Iterator[Batch]], number: int, first: Batch) -> Any:
    """Return a dataset of a number of batches, with the shapes of one of them except the first dimension.

    Not Keras's `PyDataset`: it has TensorFlow tune how batches are read, in a thread that misses the end of an epoch if the
    machine is busy. The next epoch waits for that thread, up to a minute.
    """
    data = load_tensorflow().data
    options = data.Options()
    options.autotune.enabled = False
    signature = tuple(load_tensorflow().TensorSpec((None, *part.shape[1:]), part.dtype) for part in first)
    # TensorFlow's graph keeps the generator for ever, and through it would keep the model that makes the inputs.
    held = ref(batches)

    def generated() -> Iterator[Batch]:
        found = held()
        assert found  # noqa: S101  # The dataset holds it.
        return found()

    dataset = data.Dataset.from_generator(generated, output_signature=signature)
    dataset = dataset.apply(data.experimental.assert_cardinality(number)).with_options(options)
    dataset.batches = batches
    return dataset


def _weights(run: TrainingRun) -> Floats | None:
    """Return the weight of each class; None if all images count the same."""
    if run.config.class_weights != "balanced":
        return None
    return balanced_weights(run.dataset.train.labels, len(run.dataset.class_names))


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

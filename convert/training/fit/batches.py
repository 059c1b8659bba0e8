"""Batches for training and for validation, one at a time."""

from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.class_weights import balanced_weights
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.convert.training.fit.augmentation import augment
from edgecnn.convert.training.teacher import Teacher
from edgecnn.convert.training.training_run import TrainingRun
from edgecnn.edge.data.splits import Split
from edgecnn.edge.inference.classifier import Classifier


def training_batches(
    run: TrainingRun, classifier: Classifier, teacher: Teacher | None, first_epoch: int, worker: SingleWorker
) -> Any:
    """Return a Keras data source that reads and converts one batch at a time, in a different order each epoch.

    Args:
        run: Images, batch size, seed, and whether images are varied.
        classifier: Makes the inputs, as it does wherever the model runs.
        teacher: Makes the targets; None for the labels alone.
        first_epoch: Number of the first epoch, from 0.
        worker: Takes its part of each batch.
    """
    split, config = run.dataset.train, run.config
    balanced = config.class_weights == "balanced"
    weights = balanced_weights(split.labels, len(run.dataset.class_names)) if balanced else None

    class Batches(load_keras().utils.PyDataset):  # type: ignore[misc]  # Keras has no types.
        def __init__(self) -> None:
            super().__init__()
            self.epoch = first_epoch
            self.order = self.shuffled()

        def shuffled(self) -> Any:
            return np.random.default_rng([config.seed, self.epoch]).permutation(len(split.labels))

        def __len__(self) -> int:
            return run.batches

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            chosen = self.order[index * config.batch_size : (index + 1) * config.batch_size]
            images = split.images(chosen)
            if config.augment:
                images = augment(images, np.random.default_rng([config.seed, self.epoch, index]))
            images, labels = worker.part(images), worker.part(split.labels[chosen])
            batch = classifier.inputs(images), teacher.targets(images, labels) if teacher else labels
            return batch if weights is None else (*batch, weights[labels])

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self.shuffled()

    return Batches()


def validation_batches(run: TrainingRun, split: Split, classifier: Classifier, one_hot: bool) -> Any:
    """Return a Keras data source of the validation images, in order, never varied; the same on all workers.

    Args:
        run: Batch size and classes.
        split: The images.
        classifier: Makes the inputs, as it does wherever the model runs.
        one_hot: Whether the model's loss takes shares of all classes; the targets are the labels alone, without a teacher.
    """
    size, identity = run.config.batch_size, np.eye(len(run.dataset.class_names), dtype=np.float32)

    class Batches(load_keras().utils.PyDataset):  # type: ignore[misc]  # Keras has no types.
        def __len__(self) -> int:
            return -(-len(split.labels) // size)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            chosen = np.arange(index * size, min((index + 1) * size, len(split.labels)))
            labels = split.labels[chosen]
            return classifier.inputs(split.images(chosen)), identity[labels] if one_hot else labels

    return Batches()

"""Batches for training and for validation, one at a time."""

from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.class_weights import balanced_weights
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.convert.training.fit.augmentation import varied
from edgecnn.convert.training.prepared_model import PreparedModel
from edgecnn.convert.training.reading.readers import Batch, BatchReader
from edgecnn.convert.training.training_run import TrainingRun
from edgecnn.edge.data.splits import Indices, Split
from edgecnn.edge.model.preprocess import Images


def training_batches(
    run: TrainingRun, reader: BatchReader, prepared: PreparedModel, first_epoch: int, worker: SingleWorker
) -> Any:
    """Return a Keras data source that reads and converts a batch at a time, in a different order each epoch.

    Args:
        run: Images, batch size, seed, and how images are varied.
        reader: Reads the images.
        prepared: Makes the inputs, as wherever the model runs, and the targets, if there is a teacher.
        first_epoch: Number of the first epoch, from 0.
        worker: Takes its part of each batch.
    """
    split, config, classifier, teacher = run.dataset.train, run.config, prepared.classifier, prepared.teacher
    balanced = config.class_weights == "balanced"
    weights = balanced_weights(split.labels, len(run.dataset.class_names)) if balanced else None

    class Batches(load_keras().utils.PyDataset):  # type: ignore[misc]  # Keras has no types.
        def __init__(self) -> None:
            super().__init__()
            self.epoch = first_epoch
            self.order = self.shuffled()

        def shuffled(self) -> Any:
            return np.random.default_rng([config.seed, self.epoch]).permutation(len(split.labels))

        def chosen(self, index: int) -> Indices:
            found: Indices = self.order[index * config.batch_size : (index + 1) * config.batch_size]
            return found

        def __len__(self) -> int:
            return run.batches

        def __getitem__(self, index: int) -> Batch:
            return reader.batch(index, run.batches, self.chosen, self.prepared)

        def prepared(self, index: int, images: Images) -> Batch:
            images = varied(config.variation, images, np.random.default_rng([config.seed, self.epoch, index]))
            images, labels = worker.part(images), worker.part(split.labels[self.chosen(index)])
            batch = classifier.inputs(images), teacher.targets(images, labels) if teacher else labels
            return batch if weights is None else (*batch, weights[labels])

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self.shuffled()
            reader.next_epoch()

    return Batches()


def validation_batches(run: TrainingRun, split: Split, reader: BatchReader, prepared: PreparedModel) -> Any:
    """Return a Keras data source of the validation images, in order, never varied; the same on all workers.

    Args:
        run: Batch size and classes.
        split: The images.
        reader: Reads them.
        prepared: Makes the inputs, as wherever the model runs. If it has a teacher, its loss takes shares of all classes; the
            targets are the labels alone, without a teacher.
    """
    size, identity = run.config.batch_size, np.eye(len(run.dataset.class_names), dtype=np.float32)

    class Batches(load_keras().utils.PyDataset):  # type: ignore[misc]  # Keras has no types.
        def chosen(self, index: int) -> Indices:
            return np.arange(index * size, min((index + 1) * size, len(split.labels)))

        def __len__(self) -> int:
            return -(-len(split.labels) // size)

        def __getitem__(self, index: int) -> Batch:
            return reader.batch(index, len(self), self.chosen, self.prepared)

        def prepared(self, index: int, images: Images) -> Batch:
            labels = split.labels[self.chosen(index)]
            return prepared.classifier.inputs(images), identity[labels] if prepared.teacher else labels

        def on_epoch_end(self) -> None:
            reader.next_epoch()

    return Batches()

"""Trains the network of an export for int8: with its training images, varied as they were in its own training."""

from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import ExportJob
from edgecnn.convert.export.converters import Learnt, Ranges
from edgecnn.convert.qat.graph import require_same
from edgecnn.convert.qat.learn import Lessons, learn
from edgecnn.convert.training.fit.augmentation import varied
from edgecnn.convert.training.fit.readers import Batch, BatchReader, open_readers
from edgecnn.convert.training.recipes import Augment
from edgecnn.edge.data.splits import Indices, Split
from edgecnn.edge.model.preprocess import Images

_BATCH_SIZE = 64
_SEED = 0


def train_for_integers(job: ExportJob, float32: bytes, inputs: NDArray[Any], ranges: Ranges, precision: str) -> Learnt:
    """Train a float32 .tflite file for `job.config.qat` epochs.

    The images are those of the job's dataset; its validation images choose the epoch, the last one is kept without them. The
    same job on the same machine learns the same.

    Args:
        job: The export.
        float32: The trusted file, which takes one image at a time.
        inputs: Model inputs (n, ...) for which what is trained must compute what the file does.
        ranges: Calibrated range of each of its activations.
        precision: One of `TRAINED`.

    Raises:
        NotTrainable: If an operator of the file can't be trained, or TensorFlow computes something else of its graph.
        ArtifactError: If an image can't be read.
    """
    require_same(float32, inputs)
    train, val, epochs = job.dataset.train, job.dataset.val, job.config.qat or 0
    total = -(-len(train.labels) // _BATCH_SIZE)

    def on_batch(epoch: int, batch: int, loss: float) -> None:
        name = f"training for {precision}, epoch {epoch}/{epochs}"
        job.on_batch((epoch - 1) * total + batch, epochs * total, name, f"divergence {loss:.5f}")
        if batch == total:
            job.on_step(f"{name}: mean divergence from {job.manifest.source_name} {loss:.5f}")

    with open_readers(job.dataset, job.on_step) as readers:
        validation = partial(_in_order, readers.val, val, job) if val and readers.val else None
        lessons = Lessons(epochs, total, partial(_varied, readers.train, train, job, total), validation, on_batch)
        return learn(float32, ranges, lessons, precision)


def _varied(reader: BatchReader, split: Split, job: ExportJob, total: int, epoch: int) -> Iterator[NDArray[Any]]:
    """Yield the model inputs of an epoch's batches, in an order of its own."""
    order, variation = np.random.default_rng([_SEED, epoch]).permutation(len(split.labels)), _variation(job)

    def chosen(index: int) -> Indices:
        found: Indices = order[index * _BATCH_SIZE : (index + 1) * _BATCH_SIZE]
        return found

    def ready(index: int, images: Images) -> Batch:
        return (job.model.inputs(varied(variation, images, np.random.default_rng([_SEED, epoch, index]))),)

    for (inputs,) in reader.batches(total, chosen, ready):
        yield inputs


def _in_order(reader: BatchReader, split: Split, job: ExportJob) -> Iterator[NDArray[Any]]:
    """Yield the model inputs of all images of a split."""
    count = len(split.labels)

    def chosen(index: int) -> Indices:
        return np.arange(index * _BATCH_SIZE, min((index + 1) * _BATCH_SIZE, count))

    for (inputs,) in reader.batches(-(-count // _BATCH_SIZE), chosen, lambda index, images: (job.model.inputs(images),)):
        yield inputs


def _variation(job: ExportJob) -> Augment:
    """Return how the images of the model's own training were varied; not at all for a model from elsewhere."""
    said = job.manifest.provenance.train_config.get("augment")
    return next((name for name in get_args(Augment) if name == said), "none")

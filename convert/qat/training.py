"""Trains the network of an export for int8: with its training images, varied as they were in its own training."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import ExportJob
from edgecnn.convert.export.converters import Learnt, Ranges
from edgecnn.convert.qat.graph import require_same
from edgecnn.convert.qat.learn import Lesson, Lessons, learn
from edgecnn.convert.training.fit.augmentation import varied
from edgecnn.convert.training.fit.readers import BatchReader, open_readers
from edgecnn.convert.training.recipes import Augment
from edgecnn.edge.data.splits import Indices
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
        NotTrainable: If an operator of the file can't be trained, TensorFlow computes something else of its graph, or the
            training diverges.
        ArtifactError: If an image can't be read.
    """
    require_same(float32, inputs)
    train, val, epochs = job.dataset.train, job.dataset.val, job.config.qat or 0
    total = -(-len(train.labels) // _BATCH_SIZE)

    def on_batch(epoch: int, batch: int, loss: float) -> None:
        name = f"training for {precision}, epoch {epoch}/{epochs}"
        job.on_batch((epoch - 1) * total + batch, epochs * total, name, f"loss {loss:.5f}")
        if batch == total:
            job.on_step(f"{name}: mean loss {loss:.5f}")

    with open_readers(job.dataset, job.on_step) as readers:
        validation = None
        if val and readers.val:
            order = np.arange(len(val.labels))
            validation = partial(_batches, readers.val, val.labels, order, lambda index, images: job.model.inputs(images))
        lessons = Lessons(epochs, total, partial(_varied, readers.train, job), validation, on_batch)
        return learn(float32, ranges, lessons, precision)


def _varied(reader: BatchReader, job: ExportJob, epoch: int) -> Iterator[Lesson]:
    """Return an epoch's batches, in an order of its own, varied as in the model's own training."""
    said = job.manifest.provenance.train_config.get("augment")
    # A model from elsewhere does not say; its images are not varied.
    variation: Augment = next((name for name in get_args(Augment) if name == said), "none")
    order = np.random.default_rng([_SEED, epoch]).permutation(len(job.dataset.train.labels))

    def inputs(index: int, images: Images) -> NDArray[Any]:
        return job.model.inputs(varied(variation, images, np.random.default_rng([_SEED, epoch, index])))

    return _batches(reader, job.dataset.train.labels, order, inputs)


def _batches(
    reader: BatchReader,
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    inputs_of: Callable[[int, Images], NDArray[Any]],
) -> Iterator[Lesson]:
    """Yield the batches of images in an order; `inputs_of` makes inputs of the number of a batch and its images."""

    def chosen(index: int) -> Indices:
        return order[index * _BATCH_SIZE : (index + 1) * _BATCH_SIZE]

    count = -(-len(order) // _BATCH_SIZE)
    return reader.batches(count, chosen, lambda index, images: (inputs_of(index, images), labels[chosen(index)]))

"""A worker's part of a shared training run, and its step; a single process shares nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.training.fit.interrupt import HeldInterrupt


def shared_step(model: Any, strategy: Any, workers: int, asks: Any, stopped: Any) -> Callable[[Any], dict[str, Any]]:
    """Return the replacement for Keras's `train_step`: one step of all workers together.

    Args:
        model: The Keras model, compiled.
        strategy: Result of `connected`.
        workers: Number of workers.
        asks: Variable that is not 0 if this worker was asked to stop.
        stopped: Variable that is set to the sum of all workers' `asks`.
    """
    tf = load_tensorflow()
    counters = [variable for metric in model.metrics for variable in metric.variables]

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow has no types.
    def replica(inputs: Any, targets: Any, weights: Any = None) -> list[Any]:
        count = tf.cast(tf.shape(targets)[0], "float32")
        with _batch_wide_normalization(model), tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = model.compute_loss(x=inputs, y=targets, y_pred=outputs, sample_weight=weights, training=True)
            # Keras has divided by the number of workers, as if all had equally many images.
            loss = loss * workers
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        for counter in counters:
            counter.assign(tf.zeros_like(counter))
        for metric in model.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=count)
            else:
                metric.update_state(targets, outputs)
        present = [tf.convert_to_tensor(gradient) * count for gradient in gradients if gradient is not None]
        used[:] = [gradient is not None for gradient in gradients]
        return _added_up([count, asks.value(), *(counter.value for counter in counters), *present])

    used: list[bool] = []

    def train_step(data: Any) -> dict[str, Any]:
        before = [tf.identity(counter.value) for counter in counters]
        count, asked, *sums = strategy.run(replica, args=data)
        stopped.assign(asked)
        for counter, old, added in zip(counters, before, sums[: len(counters)], strict=True):
            counter.assign(old + added)
        left = iter(sums[len(counters) :])
        moved = [variable for variable, is_used in zip(model.trainable_variables, used, strict=True) if is_used]
        # Outside the strategy, whose optimizer step would sum the gradients a second time.
        model.optimizer.apply_gradients([(gradient / count, variable) for variable, gradient in zip(moved, left, strict=True)])
        metrics: dict[str, Any] = model.get_metrics_result()
        return metrics

    return train_step


def all_reduced(flat: Any) -> Any:
    """Return a tensor's sum over the workers; call it in the strategy's replica context."""
    tf = load_tensorflow()
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(flat))


def _added_up(parts: list[Any]) -> list[Any]:
    """Return each tensor's sum over the workers, in one message, since many small ones cost more."""
    tf = load_tensorflow()
    sizes = [int(np.prod(part.shape)) for part in parts]
    flat = tf.concat([tf.reshape(part, [-1]) for part in parts], 0)
    summed = tf.split(all_reduced(flat), sizes)
    return [tf.reshape(total, part.shape) for total, part in zip(summed, parts, strict=True)]


@contextmanager
def _batch_wide_normalization(model: Any) -> Iterator[None]:
    """Make batch normalisation use the whole batch's mean and variance while the step is traced; the saved layer is unchanged.

    The statistics of one worker's part alone would be noisier, and give another learning curve.
    """
    normalization = load_keras().layers.BatchNormalization
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, normalization) and not layer.synchronized]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


# Seed gap between workers, larger than any model's number of dropout layers.
_SEED_STEP = 1_000_003


class SingleWorker:
    """The only worker of an ordinary run, with nothing to share.

    Attributes:
        number: Index of this worker, from 0.
        count: Number of workers.
    """

    number = 0
    count = 1

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.number == 0

    @property
    def seed_offset(self) -> int:
        """The worker's offset of dropout seeds, so that no two workers drop the same."""
        return self.number * _SEED_STEP

    def part(self, values: Any) -> Any:
        """Return this worker's part of an array over a batch."""
        return values

    def agree(self, number: int) -> int:
        """Return the chief's value of a number."""
        return number

    def prepare(self, model: Any, batch: Any) -> None:
        """Make `model.fit` train together with the others, from the chief's weights, on batches such as this one."""
        model.optimizer.build(model.trainable_variables)  # Else TensorFlow traces a step twice, the first time to make these.

    def check(self, held: HeldInterrupt) -> None:
        """Raise KeyboardInterrupt after a batch if Ctrl-C was pressed."""
        held.check()

    def settle(self, model: Any) -> None:
        """After an epoch, make everything that is saved the same on all workers."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raise an error of one line if another worker is lost in the block."""
        yield

"""A worker of a run: the only one, or one of several processes or machines, each with a part of every batch.

The engine is TensorFlow's MultiWorkerMirroredStrategy. Keras 3's `fit` does not work in its scope over several machines.
So `fit` and the model stay outside, and only the step is replaced: gradients and metrics are summed over the workers in
one message, and each worker then applies the same update to the same weights.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.training.distributed.meeting import Cluster, Facts, meet
from edgecnn.convert.training.distributed.strategy import START_SECONDS, all_reduced, check_model, connected, shared_step
from edgecnn.convert.training.fit.process import HeldInterrupt
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.files import sha256

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


class WorkerLost(EdgeCnnError):
    """Another worker was lost, which ends the run."""


class ClusterWorker(SingleWorker):
    """One of several workers.

    Raises:
        ConfigError: If other workers are missing or have other settings, or TensorFlow can't start.
    """

    def __init__(self, cluster: Cluster, facts: Facts, on_text: Callable[[str], None]) -> None:
        self.number, self.count = cluster.worker, len(cluster.addresses)
        self._cluster, self._on_text = cluster, on_text
        meet(cluster, facts, on_text)
        on_text(f"All {self.count} workers are there: connecting them, which may take {START_SECONDS} s")
        self._strategy = connected(cluster)
        tf = load_tensorflow()
        with self.guarded():
            self._asks, self._stopped = tf.Variable(0.0), tf.Variable(0.0)
        self._sum_flat = tf.function(
            lambda flat: self._strategy.run(all_reduced, args=(flat,)),
            # One trace for all messages between steps.
            input_signature=[tf.TensorSpec([None], "float64")],
            autograph=False,
        )

    def part(self, values: Any) -> Any:
        """See `SingleWorker`."""
        return values[self.number :: self.count]

    def agree(self, number: int) -> int:
        """See `SingleWorker`."""
        with self.guarded():
            (agreed,) = self._from_chief([np.float64(number)])
        return int(agreed)

    def prepare(self, model: Any, batch: Any) -> None:
        """See `SingleWorker`."""
        check_model(model)
        model.optimizer.build(model.trainable_variables)
        self._compare(model)
        # The same seed made the same weights, unless CPUs compute differently; a resumed chief has other weights.
        self._take_over([*model.variables, *model.optimizer.variables])
        inputs, targets, *_ = batch  # Class weights may follow.
        model.test_on_batch(inputs[:1], targets[:1])  # Keras creates its metrics at their first use.
        model.reset_metrics()
        model.train_step = shared_step(model, self._strategy, self.count, self._asks, self._stopped)

    def check(self, held: HeldInterrupt) -> None:
        """See `SingleWorker`."""
        try:
            held.check()
        except KeyboardInterrupt:
            self._asks.assign(1.0)  # All workers learn of it with the next batch, and stop at the same one.
        if float(self._stopped.numpy()):
            raise KeyboardInterrupt

    def settle(self, model: Any) -> None:
        """See `SingleWorker`."""
        trained = [*model.trainable_variables, *(v for v in model.optimizer.variables if v.dtype == "float32")]
        moved = self._take_over(trained)
        drifts = self._gathered(moved)
        if drifts.max() > 0 and self.chief:
            self._on_text(
                f"{self._cluster.name(int(drifts.argmax()))} drifted from worker 0's weights by up to {drifts.max():.1e}, "
                "since different CPUs round differently: all continue with worker 0's"
            )
        # Statistics that a layer keeps of its images, which differ between workers.
        seen = [variable for variable in model.non_trainable_variables if variable.dtype == "float32"]
        for variable, total in zip(seen, self._sum([np.asarray(variable) for variable in seen]), strict=True):
            variable.assign(total / self.count)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """See `SingleWorker`."""
        errors = load_tensorflow().errors
        lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError)
        try:
            yield
        except errors.OpError as error:
            others = [worker for worker in range(self.count) if worker != self.number]
            named = [worker for worker in others if re.search(rf"task:{worker}\b", str(error))]
            if not named and not isinstance(error, lost):
                raise  # The error is this worker's.
            who = " or ".join(self._cluster.name(worker) for worker in named or others)
            raise WorkerLost(
                f"{who} no longer answers ({type(error).__name__}): see its messages there, then start all workers again with "
                f"the same commands and {field('resume')}"
            ) from error

    def _sum(self, arrays: list[Any]) -> list[Any]:
        """Return each array's sum over the workers in float64, which holds all of a model's values exactly."""
        flat = np.concatenate([np.zeros(0), *(np.asarray(array, np.float64).ravel() for array in arrays)])
        parts = np.split(self._sum_flat(flat).numpy(), np.cumsum([np.size(array) for array in arrays]))
        # np.split leaves an empty part after the last one.
        return [part.reshape(np.shape(array)) for part, array in zip(parts, arrays, strict=False)]

    def _gathered(self, number: float) -> Any:
        """Return each worker's value of this number."""
        (numbers,) = self._sum([np.where(np.arange(self.count) == self.number, number, 0.0)])
        return numbers

    def _compare(self, model: Any) -> None:
        """Raise if the models differ: their sums would mean nothing, and might not fail."""
        # An optimizer's names depend on whether the model was loaded from a file.
        named = [variable.name for variable in model.variables]
        shapes = str(named) + str([(tuple(v.shape), v.dtype) for v in (*model.variables, *model.optimizer.variables)])
        made = self._gathered(int(sha256(shapes.encode())[:12], 16))  # 48 bits, which float64 holds exactly.
        for worker in range(self.count):
            if made[worker] != made[0]:
                raise ConfigError(
                    f"{field('addresses')}: the model of {self._cluster.name(worker)} has other weights than worker 0's: run "
                    "the same code everywhere"
                )

    def _from_chief(self, arrays: list[Any]) -> list[Any]:
        """Return the chief's arrays; adding zeros to them is exact."""
        return self._sum([array if self.chief else np.zeros_like(array) for array in arrays])

    def _take_over(self, variables: list[Any]) -> float:
        """Assign the chief's values, and return the largest difference from them."""
        moved = 0.0
        mine = [np.asarray(variable) for variable in variables]
        for variable, old, value in zip(variables, mine, self._from_chief(mine), strict=True):
            moved = max(moved, float(np.abs(value - old).max(initial=0.0)))
            variable.assign(value.astype(old.dtype))
        return moved


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of all weights that training changes or keeps."""
    kept = [variable for variable in model.variables if variable.dtype == "float32"]
    return sha256(b"".join(np.asarray(variable).tobytes() for variable in kept))

"""Data-parallel training: several processes or machines, each with its part of every batch.

The engine is TensorFlow's MultiWorkerMirroredStrategy. Keras 3's `fit` does not work in its scope over several machines,
so that `fit` and the model stay outside, and only the step is replaced: gradients and metrics are added up over the
workers in one message, and each worker then does the same update to the same weights.
"""

import faulthandler
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from convert.interrupt import HeldInterrupt
from convert.meeting import Cluster, Facts, meet, split_address
from convert.tensorflow import load_keras, load_tensorflow
from convert.train_records import TrainConfig, option
from edge.errors import ConfigError, EdgeCnnError
from edge.files import sha256
from edge.interface import Interface
from edge.manifest import DatasetRecord
from edge.quiet import quiet

# All have met, and TensorFlow connects them: seconds.
_START = 60
# Apart for dropout: far more than a model has layers that draw.
_SEED_STEP = 1_000_003


class WorkerLost(EdgeCnnError):
    """Another worker is gone, and the run with it."""


class Alone:
    """The only worker of an ordinary run: it has nothing to share.

    Attributes:
        number: Of this worker, from 0.
        count: Of all workers.
    """

    number = 0
    count = 1

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.number == 0

    @property
    def seed_offset(self) -> int:
        """What a worker adds to the seeds of dropout, so that no two drop alike."""
        return self.number * _SEED_STEP

    def part(self, values: Any) -> Any:
        """Return this worker's part of an array over a batch."""
        return values

    def agree(self, epochs_done: int) -> int:
        """Return how many epochs the chief has done."""
        return epochs_done

    def prepare(self, model: Any, batches: Any) -> None:
        """Make `model.fit` train together with the others, from the chief's weights. `batches` is what it learns from."""

    def check(self, held: HeldInterrupt) -> None:
        """Raise KeyboardInterrupt after a batch if Ctrl-C was pressed."""
        held.check()

    def settle(self, model: Any) -> None:
        """Make all that is saved the same on all workers, after an epoch."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Say it in one line if another worker is lost meanwhile."""
        yield


class Together(Alone):
    """One of several workers.

    Raises:
        ConfigError: If the others do not come, or would do something else; or TensorFlow can't start.
    """

    def __init__(self, cluster: Cluster, facts: Facts, on_text: Callable[[str], None]) -> None:
        self.number, self.count = cluster.worker, len(cluster.addresses)
        self._cluster, self._on_text = cluster, on_text
        meet(cluster, facts, on_text)
        on_text(f"All {self.count} workers are there: connecting them, for {_START} s at most")
        self._strategy = _start(cluster)
        tf = load_tensorflow()
        with self.guarded():
            self._asks, self._stopped = tf.Variable(0.0), tf.Variable(0.0)
        self._sum_flat = tf.function(
            lambda flat: self._strategy.run(_all_reduced, args=(flat,)),
            # One trace for all that is said between steps.
            input_signature=[tf.TensorSpec([None], "float64")],
            autograph=False,
        )

    def part(self, values: Any) -> Any:
        """See `Alone`."""
        return values[self.number :: self.count]

    def agree(self, epochs_done: int) -> int:
        """See `Alone`."""
        with self.guarded():
            (agreed,) = self._from_chief([np.float64(epochs_done)])
        return int(agreed)

    def prepare(self, model: Any, batches: Any) -> None:
        """See `Alone`."""
        check_model(model)
        model.optimizer.build(model.trainable_variables)
        self._compare(model)
        # The same seed made the same weights but where a CPU computes otherwise; a resumed chief has others.
        self._take_over([*model.variables, *model.optimizer.variables])
        inputs, targets = batches[0]
        model.test_on_batch(inputs[:1], targets[:1])  # Keras makes its metrics when they are first used.
        model.reset_metrics()
        model.train_step = self._step_of(model)

    def check(self, held: HeldInterrupt) -> None:
        """See `Alone`."""
        try:
            held.check()
        except KeyboardInterrupt:
            self._asks.assign(1.0)  # With the next batch all workers hear it, and stop at the same one.
        if float(self._stopped.numpy()):
            raise KeyboardInterrupt

    def settle(self, model: Any) -> None:
        """See `Alone`."""
        trained = [*model.trainable_variables, *(v for v in model.optimizer.variables if v.dtype == "float32")]
        moved = self._take_over(trained)
        drifts = self._gathered(moved)
        if drifts.max() > 0 and self.chief:
            self._on_text(
                f"{self._cluster.name(int(drifts.argmax()))} had drifted from worker 0's weights by up to {drifts.max():.1e}, "
                "as other CPUs round otherwise: all go on with worker 0's"
            )
        # What a layer keeps of the images that it has seen, each worker of its own part.
        seen = [variable for variable in model.non_trainable_variables if variable.dtype == "float32"]
        for variable, total in zip(seen, self._sum([np.asarray(variable) for variable in seen]), strict=True):
            variable.assign(total / self.count)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """See `Alone`."""
        errors = load_tensorflow().errors
        lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError)
        try:
            yield
        except errors.OpError as error:
            others = [worker for worker in range(self.count) if worker != self.number]
            named = [worker for worker in others if re.search(rf"task:{worker}\b", str(error))]
            if not named and not isinstance(error, lost):
                raise  # It is of this worker.
            who = " or ".join(self._cluster.name(worker) for worker in named or others)
            raise WorkerLost(
                f"{who} no longer answers ({type(error).__name__}): look at what it says there, then start all again with the "
                "same commands and --resume"
            ) from error

    def _sum(self, arrays: list[Any]) -> list[Any]:
        """Return each array's sum over the workers, float64, which holds all that a model has to the bit."""
        flat = np.concatenate([np.zeros(0), *(np.asarray(array, np.float64).ravel() for array in arrays)])
        parts = np.split(self._sum_flat(flat).numpy(), np.cumsum([np.size(array) for array in arrays]))
        # After the last one np.split leaves an empty part.
        return [part.reshape(np.shape(array)) for part, array in zip(parts, arrays, strict=False)]

    def _gathered(self, number: float) -> Any:
        """Return what each worker has for this number."""
        (numbers,) = self._sum([np.where(np.arange(self.count) == self.number, number, 0.0)])
        return numbers

    def _compare(self, model: Any) -> None:
        """Refuse models that differ: their sums would mean nothing, and need not fail."""
        # An optimizer's names tell whether a model was loaded from a file.
        named = [variable.name for variable in model.variables]
        shapes = str(named) + str([(tuple(v.shape), v.dtype) for v in (*model.variables, *model.optimizer.variables)])
        made = self._gathered(int(sha256(shapes.encode())[:12], 16))  # 48 bits, which float64 holds.
        for worker in range(self.count):
            if made[worker] != made[0]:
                raise ConfigError(
                    f"--distribute: the model of {self._cluster.name(worker)} has other weights than worker 0's: give all the "
                    "same code"
                )

    def _from_chief(self, arrays: list[Any]) -> list[Any]:
        """Return the chief's arrays: the sum of them and zeros is exact."""
        return self._sum([array if self.chief else np.zeros_like(array) for array in arrays])

    def _take_over(self, variables: list[Any]) -> float:
        """Assign the chief's values, and return how far the furthest was from them."""
        moved = 0.0
        mine = [np.asarray(variable) for variable in variables]
        for variable, old, value in zip(variables, mine, self._from_chief(mine), strict=True):
            moved = max(moved, float(np.abs(value - old).max(initial=0.0)))
            variable.assign(value.astype(old.dtype))
        return moved

    def _step_of(self, model: Any) -> Callable[[Any], dict[str, Any]]:
        """Return what takes the place of Keras's `train_step`: a step of all workers together."""
        tf = load_tensorflow()
        counters = [variable for metric in model.metrics for variable in metric.variables]

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow has no types.
        def replica(inputs: Any, targets: Any) -> list[Any]:
            count = tf.cast(tf.shape(targets)[0], "float32")
            with _batch_wide_normalization(model), tf.GradientTape() as tape:
                outputs = model(inputs, training=True)
                loss = model.compute_loss(x=inputs, y=targets, y_pred=outputs, training=True)
                # Keras has divided by the number of workers, as if all had the same number of images.
                loss = loss * self.count
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
            parts = [count, self._asks.value(), *(counter.value for counter in counters), *present]
            return _add_up(parts)

        used: list[bool] = []

        def train_step(data: Any) -> dict[str, Any]:
            before = [tf.identity(counter.value) for counter in counters]
            count, stopped, *sums = self._strategy.run(replica, args=data)
            self._stopped.assign(stopped)
            for counter, old, added in zip(counters, before, sums[: len(counters)], strict=True):
                counter.assign(old + added)
            left = iter(sums[len(counters) :])
            moved = [variable for variable, is_used in zip(model.trainable_variables, used, strict=True) if is_used]
            # Outside of the strategy, whose own optimizer step would add the gradients up a second time.
            model.optimizer.apply_gradients(
                [(gradient / count, variable) for variable, gradient in zip(moved, left, strict=True)]
            )
            metrics: dict[str, Any] = model.get_metrics_result()
            return metrics

        return train_step


def cluster_of(distribute: str | None, worker: int | None, wait_seconds: float) -> Cluster | None:
    """Return who trains together, from the command line's options; None for an ordinary run. Errors as `Cluster`."""
    if distribute is None:
        if worker is not None:
            raise ConfigError("--worker is for --distribute: give both, or leave it away")
        return None
    addresses = tuple(address.strip() for address in distribute.split(","))
    if worker is None:
        raise ConfigError(f"--distribute {distribute}: say which of them this is, with --worker 0 to {len(addresses) - 1}")
    return Cluster(addresses, worker, wait_seconds)


def facts_of(
    cluster: Cluster, config: TrainConfig, record: DatasetRecord, interface: Interface, resume: bool, made_with: dict[str, str]
) -> Facts:
    """Return what must be the same at all workers."""
    return {
        "--distribute": ",".join(cluster.addresses),
        "--resume": str(resume),
        **{option(name): value for name, value in config.settings().items()},
        "training images' SHA-256": record.train_sha256,
        "test images' SHA-256": record.test_sha256,
        "preprocessing": str(interface.preprocessing),
        "output": interface.output,
        "classes": ", ".join(interface.class_names),
        **made_with,
    }


def hold_engine_back() -> None:
    """Keep TensorFlow's own lines about a lost worker off the terminal, if it is not imported yet: ours says it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def check_batches(images: int, batch_size: int, workers: int) -> None:
    """Refuse batches of which a worker would get nothing.

    Raises:
        ConfigError: If the last one has fewer images than there are workers.
    """
    last = images % batch_size or batch_size
    if last < workers:
        raise ConfigError(
            f"--distribute: the last batch of {images:,} images would have {last}, fewer than the {workers} workers: give "
            "another --batch-size"
        )


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of all weights that training moves or keeps."""
    kept = [variable for variable in model.variables if variable.dtype == "float32"]
    return sha256(b"".join(np.asarray(variable).tobytes() for variable in kept))


def _all_reduced(flat: Any) -> Any:
    """Return a tensor's sum over the workers; in the strategy's replica context, where alone the copy is of it."""
    tf = load_tensorflow()
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(flat))


def _add_up(parts: list[Any]) -> list[Any]:
    """Return each tensor's sum over the workers, by one message: many small ones cost more."""
    tf = load_tensorflow()
    sizes = [int(np.prod(part.shape)) for part in parts]
    flat = tf.concat([tf.reshape(part, [-1]) for part in parts], 0)
    summed = tf.split(_all_reduced(flat), sizes)
    return [tf.reshape(total, part.shape) for total, part in zip(summed, parts, strict=True)]


def check_model(model: Any) -> None:
    """Refuse a model whose step can't be replaced.

    Raises:
        ConfigError: If it has a step of its own, or other weights than float32 to train.
    """
    if type(model).train_step is not load_keras().Model.train_step:
        raise ConfigError(
            f"--distribute: {type(model).__name__} has a train_step of its own, which would train alone: train it without"
        )
    odd = sorted({variable.dtype for variable in model.trainable_variables} - {"float32"})
    if odd or not model.trainable_variables:
        raise ConfigError(f"--distribute takes models with weights of float32 to train, got {odd or 'none'}: train without")


@contextmanager
def _batch_wide_normalization(model: Any) -> Iterator[None]:
    """Make batch normalisation take the whole batch's mean and variance while the step is traced; the saved layer is as it was.

    Of each worker's part alone they would be noisier, and the curve another one.
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


def _start(cluster: Cluster) -> Any:
    """Return the strategy, connected."""
    tf = load_tensorflow()
    spec = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type="worker", task_id=cluster.worker, rpc_layer="grpc"
    )
    try:
        with bounded(_START), quiet():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"--distribute: {_first(error)}: a module that --model or --trust names must compute nothing when it is imported"
        ) from error
    except tf.errors.OpError as error:
        port = split_address(cluster.addresses[cluster.worker])[1]
        raise ConfigError(f"--distribute: TensorFlow can't start on port {port} ({_first(error)}): give another") from error
    if strategy.num_replicas_in_sync != len(cluster.addresses):
        raise ConfigError(
            "--distribute: a worker takes one GPU at most: choose it with CUDA_VISIBLE_DEVICES, or start more workers"
        )
    return strategy


@contextmanager
def bounded(seconds: int) -> Iterator[None]:
    """End the process if the block does not end: it waits in C++ and holds Python's lock, so that no Python code can.

    Ctrl-C ends it too. TensorFlow takes SIGTERM for itself, which is taken back.
    """
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            signal.signal(number, signal.SIG_DFL)
            stack.callback(signal.signal, number, before)
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.callback(faulthandler.cancel_dump_traceback_later)
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        yield


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:160]

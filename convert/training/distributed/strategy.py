"""TensorFlow's MultiWorkerMirroredStrategy, connected to the other workers: what it requires of a run, and a step of it."""

import faulthandler
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.training.distributed.meeting import Cluster, Facts, split_address
from edgecnn.convert.training.model.normalization import batch_wide_normalization
from edgecnn.convert.training.records import TrainingRun
from edgecnn.edge.errors import ConfigError, field, why
from edgecnn.edge.native_output import quiet
from edgecnn.edge.sandbox.child import child_environment, python_command
from edgecnn.edge.text import printable


def facts_of(run: TrainingRun, cluster: Cluster, made_with: dict[str, str]) -> Facts:
    """Return what must be the same on all workers, with the version of each package here."""
    record, interface = run.dataset.record(), run.interface
    return {
        field("addresses"): ",".join(cluster.addresses),
        field("resume"): str(run.resume),
        **{field(name): value for name, value in run.config.settings().items()},
        "training images' SHA-256": record.train_sha256,
        "test images' SHA-256": record.test_sha256,
        "validation images' SHA-256": record.validation.val_sha256 if record.validation else "none",
        "preprocessing": str(interface.preprocessing),
        "output": interface.output,
        "classes": ", ".join(interface.class_names),
        **made_with,
    }


def check_batches(images: int, batch_size: int, workers: int) -> None:
    """Raise if a worker would get no image of a batch.

    Raises:
        ConfigError: If the last batch has fewer images than there are workers.
    """
    last = images % batch_size or batch_size
    if last < workers:
        raise ConfigError(
            f"{field('addresses')}: the last batch of {images:,} images would have {last}, fewer than the {workers} workers: "
            f"give another {field('batch_size')}"
        )


def check_model(model: Any) -> None:
    """Raise if the training step of a model can't be replaced.

    Raises:
        ConfigError: If it has its own step, or trainable weights that are not float32.
    """
    if type(model).train_step is not load_keras().Model.train_step:
        raise ConfigError(
            f"{field('addresses')}: {type(model).__name__} has its own train_step, which would not share gradients: omit "
            f"{field('addresses')}"
        )
    odd = sorted({variable.dtype for variable in model.trainable_variables} - {"float32"})
    if odd or not model.trainable_variables:
        raise ConfigError(
            f"{field('addresses')} needs models with trainable float32 weights, got {odd or 'none'}: train without"
        )


START_SECONDS = 60
"""Time limit in seconds for TensorFlow to connect workers that have all met."""
_SAYING_SECONDS = 5


def hold_engine_back() -> None:
    """Keep TensorFlow's messages about a lost worker off the terminal, if it is not imported yet: ours reports it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def connected(cluster: Cluster) -> Any:
    """Return the strategy.

    Raises:
        ConfigError: If TensorFlow can't start it.
    """
    tf = load_tensorflow()
    spec = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type="worker", task_id=cluster.worker, rpc_layer="grpc"
    )
    try:
        others = " or ".join(cluster.name(worker) for worker in range(len(cluster.addresses)) if worker != cluster.worker)
        late = f"{others} was there, and then did not connect within {START_SECONDS} s: see its messages there"
        with bounded(START_SECONDS, late), quiet():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"{field('addresses')}: {why(error)}: a module that {field('model')} or {field('trust')} names must compute "
            "nothing at import"
        ) from error
    except tf.errors.OpError as error:
        port = split_address(cluster.addresses[cluster.worker])[1]
        raise ConfigError(
            f"{field('addresses')}: TensorFlow can't start on port {port} ({why(error)}): give another port"
        ) from error
    if strategy.num_replicas_in_sync != len(cluster.addresses):
        raise ConfigError(
            f"{field('addresses')}: a worker uses at most one GPU: choose it with CUDA_VISIBLE_DEVICES, or start more workers"
        )
    return strategy


@contextmanager
def bounded(seconds: int, late: str) -> Iterator[None]:
    """End the process if the block does not end: it waits in C++ and holds Python's lock, so no Python code can end it.

    A child process says why, and then the exit code is that of `EdgeCnnError`. Ctrl-C ends it too. TensorFlow installs its own
    SIGTERM handler, which is removed again.
    """
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            signal.signal(number, signal.SIG_DFL)
            stack.callback(signal.signal, number, before)
        said = f"edgecnn: {printable(late)}\n".encode(errors="replace")
        # Both count from now on, however long the child takes to start.
        wait = f"import os, time; time.sleep(max(0, {time.monotonic() + seconds} - time.monotonic())); os.write(2, {said!r})"
        watch = subprocess.Popen(python_command(wait), env=child_environment(), stdin=subprocess.DEVNULL)
        stack.callback(watch.wait)
        stack.callback(watch.kill)
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.callback(faulthandler.cancel_dump_traceback_later)
        faulthandler.dump_traceback_later(seconds + _SAYING_SECONDS, exit=True, file=nowhere)
        yield


def shared_step(model: Any, strategy: Any, workers: int, asks: Any, stopped: Any) -> Callable[[Any], dict[str, Any]]:
    """Return the replacement for a compiled model's `train_step`: one step of all workers together.

    The variable `asks` is not 0 if this worker was asked to stop; `stopped` is set to the sum of all workers' `asks`.
    """
    tf = load_tensorflow()
    counters = [variable for metric in model.metrics for variable in metric.variables]

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow has no types.
    def replica(inputs: Any, targets: Any, weights: Any = None) -> list[Any]:
        count = tf.cast(tf.shape(targets)[0], "float32")
        with batch_wide_normalization(model), tf.GradientTape() as tape:
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

"""Dataset -> model.keras."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from convert.checkpoint import TRAIN_NAME, checkpoint_bytes, load_checkpoint, load_last, prune, save_epoch
from convert.dataset import SHIPPED, Dataset, Split
from convert.interrupt import HeldInterrupt
from convert.keras_runtime import OPENER
from convert.model import build_cnn
from convert.tensorflow import load_keras, load_tensorflow
from convert.train_records import Checkpoint, Epoch, TrainConfig, TrainResult
from convert.versions import versions
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.files import make_folder, sha256, write_bytes
from edge.images import background
from edge.manifest import (
    MANIFEST_NAME,
    SCHEMA,
    Artifact,
    DatasetRecord,
    Manifest,
    Preprocessing,
    Provenance,
    TensorSpec,
)
from edge.metrics import correct, cross_entropy
from edge.preprocess import input_table, to_input
from edge.records import to_json

MODEL_NAME = "model.keras"


@dataclass(frozen=True)
class TrainState:
    """Where a run is: `batch` of `batches` in `epoch` of `epochs`, all from 1; means over the epoch so far; seconds in it."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    seconds: float


def train(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    resume: bool = False,
    on_text: Callable[[str], None] = lambda text: None,
    on_batch: Callable[[TrainState], None] = lambda state: None,
) -> TrainResult:
    """Train the CNN and write model.keras, train.json, manifest.json, checkpoint/ and logs/ into `folder`.

    Same seed, machine and versions give the same weights, resumed or not: the order of an epoch's images and its
    dropout depend on the seed and the epoch alone, and TensorFlow's deterministic kernels are turned on, for the whole process.

    A KeyboardInterrupt after the first finished epoch keeps the finished epoch of lowest training loss. The test set
    chooses nothing. Files that were exported from an earlier model stay, and loading one says that it is stale.

    Args:
        dataset: What to learn from and what to be measured on.
        config: The settings.
        folder: Where everything is written.
        resume: Go on after the last finished epoch of `folder/checkpoint`.
        on_text: Gets the model's summary, and a line for each step after training.
        on_batch: Gets the state after every batch.

    Raises:
        ConfigError: If `folder` can't be written, a resume does not fit the checkpoint, or the loss becomes NaN.
        ArtifactError: If the checkpoint is damaged.
        MissingDependency: If TensorFlow is not installed.
        KeyboardInterrupt: If interrupted before an epoch ended; no model is written then.
    """
    earlier = _earlier_manifest(folder, on_text)
    record = DatasetRecord(dataset.name, dataset.source, dataset.train.sha256, dataset.test.sha256)
    checkpoint = load_checkpoint(folder, config, record) if resume else None
    make_folder(folder)

    made_with = versions("tensorflow", "keras", "numpy")
    keras = load_keras()
    load_tensorflow().config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    model = load_last(folder, checkpoint) if checkpoint else _new_model(dataset, config)
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    on_text("\n".join(lines))

    fit = "digit" if dataset.source == SHIPPED else "letterbox"
    preprocessing = Preprocessing(1 / 255, fit, background(dataset.train.images))
    log_folder = f"logs/{datetime.now(UTC):%Y%m%d-%H%M%S}"
    held = HeldInterrupt()
    watcher = _watcher(checkpoint, config, record, folder, on_batch, held)
    board = keras.callbacks.TensorBoard(str(folder / log_folder), update_freq=1)
    done = len(checkpoint.history) if checkpoint else 0
    batches = _batches(dataset.train, config, preprocessing, done)
    interrupted = False
    try:
        with held:
            model.fit(batches, initial_epoch=done, epochs=config.epochs, shuffle=False, verbose=0, callbacks=[board, watcher])
    except KeyboardInterrupt:
        if watcher.checkpoint is None:
            on_text("Interrupted before the first epoch ended: no model was written.")
            raise
        interrupted = True

    checkpoint = watcher.checkpoint
    data = checkpoint_bytes(folder, checkpoint.best if interrupted else checkpoint.last)
    # Gone until it is true again.
    (folder / TRAIN_NAME).unlink(missing_ok=True)
    write_bytes(folder / MODEL_NAME, data)
    _manifest(earlier, dataset, record, config, preprocessing, data, model).save(folder)
    on_text(f"Measuring on {len(dataset.test.labels):,} test images")
    # Read back through the path of every other file, so that `edgecnn evaluate` says the same.
    probabilities = Classifier.load(folder / MODEL_NAME, opener=OPENER).probabilities(dataset.test.images)
    result = TrainResult(
        config=config,
        dataset=record,
        model_path=MODEL_NAME,
        model_sha256=sha256(data),
        parameters=model.count_params(),
        trainable_parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        history=checkpoint.history,
        epoch=checkpoint.best_epoch if interrupted else len(checkpoint.history),
        interrupted=interrupted,
        seconds=sum(epoch.seconds for epoch in checkpoint.history),
        test_images=len(dataset.test.labels),
        test_accuracy=float(correct(probabilities, dataset.test.labels).mean()),
        test_loss=cross_entropy(probabilities, dataset.test.labels),
        versions=made_with,
        log_folder=log_folder,
    )
    write_bytes(folder / TRAIN_NAME, to_json(result).encode())
    return result


def _earlier_manifest(folder: Path, on_text: Callable[[str], None]) -> Manifest | None:
    if not (folder / MANIFEST_NAME).exists():
        return None
    try:
        return Manifest.load(folder)
    except ArtifactError as error:
        on_text(f"A new manifest will be written: {error}")
        return None


def _new_model(dataset: Dataset, config: TrainConfig) -> Any:
    height, width, channels = dataset.train.images.shape[1:]
    model = build_cnn((height, width, channels), len(dataset.class_names), config.dropout)
    optimizer = load_keras().optimizers.Adam(config.learning_rate)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _batches(split: Split, config: TrainConfig, preprocessing: Preprocessing, done: int) -> Any:
    """Return a Keras data source that converts one batch at a time, each epoch in an order of its own."""
    table = input_table(preprocessing, TensorSpec("image", (), "float32"))

    class Batches(load_keras().utils.PyDataset):  # type: ignore[misc]  # Keras has no types.
        def __init__(self) -> None:
            super().__init__()
            self.epoch = done
            self.order = self.shuffled()

        def shuffled(self) -> Any:
            return np.random.default_rng([config.seed, self.epoch]).permutation(len(split.labels))

        def __len__(self) -> int:
            return -(-len(split.labels) // config.batch_size)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            chosen = self.order[index * config.batch_size : (index + 1) * config.batch_size]
            return to_input(split.images[chosen], table), split.labels[chosen]

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self.shuffled()

    return Batches()


def _watcher(
    checkpoint: Checkpoint | None,
    config: TrainConfig,
    record: DatasetRecord,
    folder: Path,
    on_batch: Callable[[TrainState], None],
    held: HeldInterrupt,
) -> Any:
    """Return a Keras callback that tells where training is and saves every finished epoch."""

    class Watcher(load_keras().callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint = checkpoint
            self.epoch = 0
            self.started = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch, self.started = epoch + 1, time.monotonic()
            # A .keras file does not keep the state of dropout's random numbers (a seed and a counter of batches): set
            # here, a resumed epoch drops what it would have dropped.
            states = [variable for variable in self.model.variables if variable.name == "seed_generator_state"]
            for index, state in enumerate(states):
                state.assign(np.array([(config.seed + index) % 2**32, epoch * self.params["steps"]], np.uint32))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
            on_batch(TrainState(self.epoch, config.epochs, batch + 1, self.params["steps"], loss, accuracy, seconds))
            held.check()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            finished = Epoch(epoch + 1, float(logs["loss"]), float(logs["accuracy"]), seconds)
            if not np.isfinite(finished.loss):
                raise ConfigError(f"the loss is {finished.loss} after epoch {epoch + 1}: lower --learning-rate")
            self.checkpoint = save_epoch(self.checkpoint, self.model, finished, config, record, folder)
            prune(self.checkpoint, folder)
            held.check()

    return Watcher()


def _manifest(
    earlier: Manifest | None,
    dataset: Dataset,
    record: DatasetRecord,
    config: TrainConfig,
    preprocessing: Preprocessing,
    data: bytes,
    model: Any,
) -> Manifest:
    spec_in = TensorSpec(model.inputs[0].name, tuple(model.inputs[0].shape), "float32")
    spec_out = TensorSpec(model.outputs[0].name, tuple(model.outputs[0].shape), "float32")
    artifact = Artifact("keras", "float32", MODEL_NAME, len(data), sha256(data), None, spec_in, spec_out, None, None)
    settings = {name: str(value) for name, value in asdict(config).items()}
    provenance = Provenance(
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        exported=None,
        seed=config.seed,
        train_config=settings,
        versions=versions("tensorflow", "keras", "numpy"),
        export_versions={},
        calibration=None,
    )
    manifest = Manifest(SCHEMA, dataset.class_names, preprocessing, record, provenance, None, ())
    if earlier:
        manifest = replace(manifest, reference=earlier.reference).with_artifacts(*earlier.artifacts)
    return manifest.with_artifacts(artifact)

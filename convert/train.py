"""Dataset -> model.keras."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from convert.checkpoint import TRAIN_NAME, checkpoint_bytes, load_checkpoint, load_last, prune, save_epoch
from convert.dataset import Dataset
from convert.distribute import Alone, Together, check_batches, facts_of, hold_engine_back, weights_digest
from convert.fused_norm import fuse_batch_normalization
from convert.interrupt import HeldInterrupt
from convert.keras_runtime import KerasRuntime, keras_opener
from convert.meeting import Cluster
from convert.own_model import (
    compile_model,
    module_of,
    needed_modules,
    new_model,
    open_fitting,
    resolved,
    unsettled_share,
)
from convert.recipes import augment, new_optimizer, optimizer_text, resumed_optimizer
from convert.teacher import Teacher
from convert.tensorflow import load_keras, load_tensorflow
from convert.train_records import Checkpoint, Epoch, TrainConfig, TrainResult
from convert.versions import versions
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.files import make_folder, sha256, write_bytes
from edge.interface import Interface
from edge.manifest import MANIFEST_NAME, SCHEMA, Artifact, DatasetRecord, Manifest, Preprocessing, Provenance, is_foreign
from edge.metrics import correct, cross_entropy
from edge.model_file import ModelFile
from edge.quiet import quiet
from edge.records import to_json
from edge.splits import Split

MODEL_NAME = "model.keras"
# So many outputs are looked at before training: no chance that logits look like probabilities, or the reverse.
_LOOK = 32
# More than this of what batch normalisation began with is told.
_UNSETTLED = 0.01


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
    preprocessing: Preprocessing,
    output: str = "probabilities",
    trust: tuple[str, ...] = (),
    resume: bool = False,
    on_text: Callable[[str], None] = lambda text: None,
    on_batch: Callable[[TrainState], None] = lambda state: None,
) -> TrainResult:
    """Train a model and write model.keras, train.json, manifest.json, checkpoint/ and logs/ into `folder`.

    Same seed, machine and versions give the same weights, resumed or not: an epoch's order, variations and
    dropout depend on the seed and the epoch alone, and TensorFlow's deterministic kernels are turned on, for the whole process.

    A KeyboardInterrupt after the first finished epoch keeps the finished epoch of lowest training loss. The test set
    chooses nothing. Files that were exported from an earlier model stay, and loading one says that it is stale.

    Args:
        dataset: What to learn from and what to be measured on; images are read a batch at a time.
        config: The settings.
        folder: Where everything is written.
        preprocessing: How the model takes pixels.
        output: `probabilities` or `logits`, what the model gives.
        trust: Names of modules whose code a .keras file in `config` needs.
        resume: Go on after the last finished epoch of `folder/checkpoint`.
        on_text: Gets the model's summary, and a line for each step.
        on_batch: Gets the state after every batch.

    Raises:
        ConfigError: If `folder` can't be written, the model does not come or does not fit the images, a resume does not fit
            the checkpoint, or the loss becomes NaN.
        ArtifactError: If the checkpoint or a .keras file is damaged, or the model does not give what `output` says.
        MissingDependency: If TensorFlow is not installed.
        KeyboardInterrupt: If interrupted before an epoch ended; no model is written then.
    """
    interface = Interface(preprocessing, output, dataset.class_names)
    result = _train(None, dataset, config, folder, interface, trust, resume, on_text, on_batch)
    if result is None:
        raise AssertionError("who trains alone is the chief")
    return result


def train_together(
    cluster: Cluster,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    interface: Interface,
    trust: tuple[str, ...] = (),
    resume: bool = False,
    on_text: Callable[[str], None] = lambda text: None,
    on_batch: Callable[[TrainState], None] = lambda state: None,
) -> TrainResult | None:
    """Be one worker of a distributed run; call it before anything in this process computes with TensorFlow.

    The chief writes and returns what `train` does, the others write nothing and return None. What a worker computes equals
    `train` but for rounding, and for dropout's draws.

    Args:
        cluster: Who trains together, and which of them this is.
        dataset: As in `train`, and the same on all workers; likewise `config`, whose `batch_size` is all workers' together.
        config: See above.
        folder: Where the chief writes; where it alone looks for what to resume.
        interface: How the model takes pixels, and what it gives.
        trust: As in `train`; likewise the others.
        resume: See above.
        on_text: See above.
        on_batch: See above; its figures are of all workers.

    Raises:
        ConfigError: Also if the workers don't meet, differ, or the model can't be trained so.
        WorkerLost: If another one ends before its time.
        EdgeCnnError: As `train`.
        KeyboardInterrupt: As `train`; Ctrl-C at one worker stops all at the same batch.
    """
    hold_engine_back()
    config = replace(config, workers=len(cluster.addresses))
    return _train(cluster, dataset, config, folder, interface, trust, resume, on_text, on_batch)


def _train(
    cluster: Cluster | None,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    interface: Interface,
    trust: tuple[str, ...],
    resume: bool,
    on_text: Callable[[str], None],
    on_batch: Callable[[TrainState], None],
) -> TrainResult | None:
    chief = cluster is None or cluster.worker == 0
    earlier = _earlier_manifest(folder, on_text) if chief else None
    record, output = dataset.record(), interface.output
    config, modules = resolved(config), tuple(dict.fromkeys((*trust, *module_of(config))))
    checkpoint = load_checkpoint(folder, config, record, interface) if resume and chief else None
    made_with = versions("tensorflow", "keras", "numpy")
    worker = Alone()
    if cluster:
        check_batches(len(dataset.train.labels), config.batch_size, config.workers)
        worker = Together(cluster, facts_of(cluster, config, record, interface, resume, made_with), on_text)
    if chief:
        make_folder(folder)

    keras = load_keras()
    load_tensorflow().config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # Layers are numbered from 1, also where a process trains several models.
    keras.utils.set_random_seed(config.seed)
    shape, classes = dataset.train.shape, len(dataset.class_names)
    model = load_last(folder, checkpoint, modules) if checkpoint else new_model(config, shape, classes, modules)
    runtime = open_fitting(model, config, shape, classes, modules)
    # What trains is what deploys: the same code makes the inputs of both.
    classifier = Classifier(ModelFile(Path(config.origin()), "keras", b"", None, None, "no file yet"), runtime, interface)
    classifier.probabilities(dataset.train.images(range(min(_LOOK, len(dataset.train.labels)))))
    steps = config.epochs * -(-len(dataset.train.labels) // config.batch_size)
    own = model.compiled and not checkpoint
    optimizer = new_optimizer(config.recipe, config.learning_rate, steps)
    if model.compiled:
        optimizer = model.optimizer if own else resumed_optimizer(model, optimizer)
    teacher = Teacher(config, dataset, modules) if config.teacher else None
    compile_model(model, int(runtime.output_spec.shape[-1] or 0), optimizer, output, taught=teacher is not None)
    if cluster is None:  # Workers together take means over all of their images, which the operator does not.
        fuse_batch_normalization(model)
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    on_text("\n".join(lines))
    optimizer_used = optimizer_text(model.optimizer)
    on_text(
        f"Optimizer: {optimizer_used}" + (", as the model was compiled; the loss is the labels' cross-entropy" if own else "")
    )

    done = worker.agree(len(checkpoint.history) if checkpoint else 0)
    log_folder = f"logs/{datetime.now(UTC):%Y%m%d-%H%M%S}"
    held = HeldInterrupt()
    watcher = _watcher(checkpoint, config, record, interface, folder, on_batch, held, worker)
    callbacks = [keras.callbacks.TensorBoard(str(folder / log_folder), update_freq=1), watcher] if chief else [watcher]
    batches = _batches(dataset.train, config, classifier, teacher, done, worker)
    with quiet():  # The first generator of a process makes TensorFlow's C++ tell of its memory.
        list(load_tensorflow().data.Dataset.from_generator(lambda: iter([0]), output_types="int32"))
    interrupted = False
    try:
        with held, worker.guarded():
            worker.prepare(model, batches)
            model.fit(batches, initial_epoch=done, epochs=config.epochs, shuffle=False, verbose=0, callbacks=callbacks)
    except KeyboardInterrupt:
        if not chief:
            raise
        if watcher.checkpoint is None:
            on_text("Interrupted before the first epoch ended: no model was written.")
            raise
        interrupted = True
    if cluster and not interrupted:
        on_text(f"Worker {worker.number} of {worker.count}: the weights' SHA-256 is {weights_digest(model)}")
    if not chief:
        return None

    checkpoint = watcher.checkpoint
    data = checkpoint_bytes(folder, checkpoint.best if interrupted else checkpoint.last)
    # Gone until it is true again.
    (folder / TRAIN_NAME).unlink(missing_ok=True)
    write_bytes(folder / MODEL_NAME, data)
    settings = {**config.settings(), "optimizer": optimizer_used}
    trusted = needed_modules(data, modules)
    _manifest(earlier, interface, record, config.seed, settings, trusted, data, runtime).save(folder)
    last = checkpoint.best_epoch if interrupted else len(checkpoint.history)
    seen = last * len(batches)
    share = unsettled_share(model, config, seen)
    if share > _UNSETTLED:
        on_text(
            f"Batch normalisation's averages are still {share:.0%} what they began with after {seen:,} batches, and the model "
            "may do far worse than in training: take more --epochs, a smaller --batch-size, or momentum=0.9 in its layers"
        )
    on_text(f"Measuring on {len(dataset.test.labels):,} test images")
    # Read back through the path of every other file, so that `edgecnn evaluate` says the same.
    measured = Classifier.load(folder / MODEL_NAME, opener=keras_opener(trusted))
    probabilities = measured.split_probabilities(dataset.test)
    result = TrainResult(
        config=config,
        dataset=record,
        model_path=MODEL_NAME,
        model_sha256=sha256(data),
        parameters=model.count_params(),
        trainable_parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        history=checkpoint.history,
        epoch=last,
        interrupted=interrupted,
        seconds=sum(epoch.seconds for epoch in checkpoint.history),
        test_images=len(dataset.test.labels),
        test_accuracy=float(correct(probabilities, dataset.test.labels).mean()),
        test_loss=cross_entropy(probabilities, dataset.test.labels),
        optimizer=settings["optimizer"],
        versions=made_with,
        log_folder=log_folder,
    )
    write_bytes(folder / TRAIN_NAME, to_json(result).encode())
    return result


def _earlier_manifest(folder: Path, on_text: Callable[[str], None]) -> Manifest | None:
    if is_foreign(folder):
        raise ConfigError(f"{folder / MANIFEST_NAME} is not edgecnn's: name another folder with --out")
    if not (folder / MANIFEST_NAME).exists():
        return None
    try:
        return Manifest.load(folder)
    except ArtifactError as error:
        on_text(f"A new manifest will be written: {error}")
        return None


def _batches(
    split: Split, config: TrainConfig, classifier: Classifier, teacher: Teacher | None, done: int, worker: Alone
) -> Any:
    """Return a Keras data source that reads and converts one batch at a time, each epoch in an order of its own."""

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
            images = split.images(chosen)
            if config.augment:
                images = augment(images, np.random.default_rng([config.seed, self.epoch, index]))
            images, labels = worker.part(images), worker.part(split.labels[chosen])
            return classifier.inputs(images), teacher.targets(images, labels) if teacher else labels

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self.shuffled()

    return Batches()


def _watcher(
    checkpoint: Checkpoint | None,
    config: TrainConfig,
    record: DatasetRecord,
    interface: Interface,
    folder: Path,
    on_batch: Callable[[TrainState], None],
    held: HeldInterrupt,
    worker: Alone,
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
            for seed, state in enumerate(states, start=config.seed + worker.seed_offset):
                state.assign(np.array([seed % 2**32, epoch * self.params["steps"]], np.uint32))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
            on_batch(TrainState(self.epoch, config.epochs, batch + 1, self.params["steps"], loss, accuracy, seconds))
            worker.check(held)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            finished = Epoch(epoch + 1, float(logs["loss"]), float(logs["accuracy"]), seconds)
            if not np.isfinite(finished.loss):
                raise ConfigError(f"the loss is {finished.loss} after epoch {epoch + 1}: lower --learning-rate")
            worker.settle(self.model)
            if worker.chief:
                self.checkpoint = save_epoch(self.checkpoint, self.model, finished, config, record, interface, folder)
                prune(self.checkpoint, folder)
            worker.check(held)

    return Watcher()


def _manifest(
    earlier: Manifest | None,
    interface: Interface,
    record: DatasetRecord,
    seed: int,
    settings: dict[str, str],
    trusted: tuple[str, ...],
    data: bytes,
    runtime: KerasRuntime,
) -> Manifest:
    specs = (runtime.input_spec, runtime.output_spec)
    artifact = Artifact("keras", "float32", MODEL_NAME, len(data), sha256(data), None, *specs, None, None)
    provenance = Provenance(
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        exported=None,
        seed=seed,
        train_config=settings,
        versions=versions("tensorflow", "keras", "numpy"),
        export_versions={},
        calibration=None,
    )
    manifest = Manifest(
        schema=SCHEMA,
        class_names=interface.class_names,
        preprocessing=interface.preprocessing,
        output=interface.output,
        trusted=trusted,
        dataset=record,
        provenance=provenance,
        reference=None,
        artifacts=(),
    )
    if earlier:
        manifest = replace(manifest, reference=earlier.reference).with_artifacts(*earlier.artifacts)
    return manifest.with_artifacts(artifact)

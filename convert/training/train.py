"""Trains a model: from a dataset to model.keras."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.keras.manifest import earlier_manifest
from edgecnn.convert.training.checkpoint import is_out_of_patience, load_checkpoint, needs_validation, writing
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed.cluster_worker import ClusterWorker, weights_digest
from edgecnn.convert.training.distributed.meeting import Cluster
from edgecnn.convert.training.distributed.strategy import check_batches, facts_of, hold_engine_back
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.convert.training.fit.augmentation import VARIATIONS
from edgecnn.convert.training.fit.batches import training_batches, validation_batches
from edgecnn.convert.training.fit.callbacks import board, epoch_callback, freed_memory_kept
from edgecnn.convert.training.fit.interrupt import HeldInterrupt
from edgecnn.convert.training.model.custom_model import module_of, resolved
from edgecnn.convert.training.phases import phases_of
from edgecnn.convert.training.prepared_model import PreparedModel, begin_phase, prepared_model
from edgecnn.convert.training.reading.readers import open_readers
from edgecnn.convert.training.records import Checkpoint, TrainResult
from edgecnn.convert.training.trained_model import FinishedFit, write_trained_model
from edgecnn.convert.training.training_run import TrainingRun, TrainState
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import require_writable
from edgecnn.edge.manifest import Output, Preprocessing
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import versions


def train(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    preprocessing: Preprocessing,
    output: Output = "probabilities",
    *,
    trust: tuple[str, ...] = (),
    resume: bool = False,
    on_text: Callable[[str], None] = lambda text: None,
    on_batch: Callable[[TrainState], None] = lambda state: None,
) -> TrainResult:
    """Train a model and write model.keras, train.json, manifest.json, checkpoint/ and logs/ into `folder`.

    The first three appear together, after the model was measured; until then the earlier ones stay whole.

    The same seed, machine and versions give the same weights, resumed or not: an epoch's order, variations and
    dropout depend only on the seed and the epoch, and TensorFlow's deterministic kernels are turned on for the whole process.

    With validation images the epoch with the lowest validation loss is kept. A KeyboardInterrupt after the first finished
    epoch keeps the best one so far; without validation images that is the one with the lowest training loss. The test set
    chooses nothing. Files exported from an earlier model stay; loading one reports that it is stale.

    Args:
        dataset: Training, test and perhaps validation images, read a batch at a time.
        config: The settings.
        folder: Output folder.
        preprocessing: How the model takes pixels.
        output: Kind of the model's output, `probabilities` or `logits`.
        trust: Names of modules whose code a .keras file in `config` needs.
        resume: Whether to continue after the last finished epoch of `folder/checkpoint`.
        on_text: Called with the model's summary, and with a line for each step.
        on_batch: Called with the state after every batch.

    Raises:
        ConfigError: If `folder` can't be written, the model can't be made or does not fit the images, a resume does not fit
            the checkpoint, a patience comes without validation images, or the loss becomes NaN.
        ArtifactError: If the checkpoint or a .keras file is damaged, or the model's output is not `output`.
        MissingDependency: If TensorFlow is not installed.
        KeyboardInterrupt: If interrupted before an epoch ended; then no model is written.
    """
    interface = Interface(preprocessing, output, dataset.class_names)
    run = TrainingRun(dataset, config, folder, interface, trust, resume, None, on_text, on_batch)
    result = _train(run)
    if result is None:
        raise AssertionError("who trains alone is the chief")
    return result


def train_together(
    cluster: Cluster,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    interface: Interface,
    *,
    trust: tuple[str, ...] = (),
    resume: bool = False,
    on_text: Callable[[str], None] = lambda text: None,
    on_batch: Callable[[TrainState], None] = lambda state: None,
) -> TrainResult | None:
    """Act as one worker of a distributed run; call this before anything in this process computes with TensorFlow.

    The chief writes and returns what `train` does; the others write nothing and return None. The result equals that of
    `train` except for rounding and the draws of dropout.

    Args:
        cluster: The workers, and the index of this one.
        dataset: As in `train`, and the same on all workers, like `config`, whose `batch_size` is that of all workers together.
        config: The settings.
        folder: Output folder of the chief, which alone looks there for a run to resume.
        interface: How the model takes pixels, and what it computes.
        trust: As in `train`.
        resume: As in `train`.
        on_text: As in `train`.
        on_batch: As in `train`; its figures are those of all workers.

    Raises:
        ConfigError: As in `train`, and if the workers don't meet, differ, or can't train this model together.
        WorkerLost: If another worker ends early.
        EdgeCnnError: As in `train`.
        KeyboardInterrupt: As in `train`; Ctrl-C at one worker stops all at the same batch.
    """
    hold_engine_back()
    config = replace(config, workers=len(cluster.addresses))
    interface = replace(interface, class_names=dataset.class_names)
    return _train(TrainingRun(dataset, config, folder, interface, trust, resume, cluster, on_text, on_batch))


def _train(run: TrainingRun) -> TrainResult | None:
    if run.config.patience is not None and run.dataset.val is None:
        raise needs_validation("patience", run.dataset)
    load_tensorflow()
    if run.chief:
        try:
            earlier_manifest(run.folder)  # Raises if the folder is another program's.
        except ArtifactError as error:
            run.on_text(f"A new manifest will be written: {error}")
    config = resolved(run.config, run.dataset.train.shape[2])
    run = replace(run, config=config, trust=tuple(dict.fromkeys((*run.trust, *module_of(config)))))
    record = run.dataset.record()
    checkpoint = load_checkpoint(run.folder, config, record, run.interface) if run.resume and run.chief else None
    made_with = versions("tensorflow", "keras", "numpy")
    worker = SingleWorker()
    if run.cluster:
        check_batches(len(run.dataset.train.labels), config.batch_size, config.workers)
        worker = ClusterWorker(run.cluster, facts_of(run, run.cluster, made_with), run.on_text)
    if run.chief:
        require_writable(run.folder)
    done = worker.agree(len(checkpoint.history) if checkpoint else 0)
    prepared = prepared_model(run, checkpoint, done)
    if config.variation in VARIATIONS:
        run.on_text(f"Each training image is varied, differently in each epoch: {VARIATIONS[config.variation]}")
    fit = _fit(run, prepared, checkpoint, worker, done)
    return write_trained_model(run, prepared, fit, made_with) if fit else None


def _remove_log(folder: Path) -> None:
    """Remove the TensorBoard log of a run, and the folder of logs if there are no others."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # Other runs' logs are there.
        folder.parent.rmdir()


def _fit(  # Longer than 50 lines: each way in which the epochs end.
    run: TrainingRun, prepared: PreparedModel, checkpoint: Checkpoint | None, worker: SingleWorker, done: int
) -> FinishedFit | None:
    """Run the epochs after `done`; None on a worker that writes nothing."""
    history = checkpoint.history if checkpoint else ()
    # A run that was stopped early may have been cut off before its result.
    epochs = worker.agree(done if is_out_of_patience(history, run.config) else run.config.epochs)
    log_folder = f"logs/{datetime.now(UTC):%Y%m%d-%H%M%S}"
    held = HeldInterrupt()
    watcher = epoch_callback(run, checkpoint, held, worker)
    with quiet():  # The first generator of a process makes TensorFlow's C++ print about its memory.
        list(load_tensorflow().data.Dataset.from_generator(lambda: iter([0]), output_types="int32"))
    model, val, interrupted, boards = prepared.model, run.dataset.val, False, []
    try:
        with (
            held,
            worker.guarded(),
            writing(run.folder) if run.chief else nullcontext(),
            open_readers(run.dataset, run.on_text) as readers,
            freed_memory_kept(),
        ):
            batches, first = training_batches(run, readers.train, prepared, done, worker)
            validation = validation_batches(run, val, readers.val, prepared) if val and readers.val else None
            worker.prepare(model, first)
            for phase in phases_of(run.config):
                start, end, later = max(done, phase.start), min(epochs, phase.end), phase.start > done
                if start >= end or model.stop_training:
                    continue
                if later:
                    begin_phase(run, prepared, phase)
                    worker.prepare(model, first)
                # Its count of batches begins again.
                name = f"{log_folder}-epoch-{start + 1}" if later else log_folder
                boards = [board(run.folder / name, run.batches)] if run.chief else []
                options = {"shuffle": False, "verbose": 0, "callbacks": [*boards, watcher], "validation_data": validation}
                model.fit(batches, initial_epoch=start, epochs=end, **options)
    except (KeyboardInterrupt, SystemExit) as error:
        for callback in boards:
            callback.on_train_end()  # Writes the last events, which fit does only if it succeeds.
        if not run.chief or isinstance(error, SystemExit):
            raise
        if watcher.checkpoint is None:
            run.on_text("Interrupted before the first epoch ended: no model was written.")
            raise
        interrupted = True
    except Exception:
        if run.chief and watcher.checkpoint is None:  # As on a full disk: no epoch is kept, so its log isn't either.
            _remove_log(run.folder / log_folder)
        raise
    if run.cluster and not interrupted:
        run.on_text(f"Worker {worker.number} of {worker.count}: the weights' SHA-256 is {weights_digest(model)}")
    # A resume that finished no epoch has the checkpoint of the earlier settings.
    return FinishedFit(replace(watcher.checkpoint, config=run.config), interrupted, log_folder) if run.chief else None

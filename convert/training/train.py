"""Trains a model: from images to model.keras."""

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgecnn.convert.keras.load import kernels_to_train, load_tensorflow
from edgecnn.convert.manifest import earlier_manifest
from edgecnn.convert.training.checkpoint import is_out_of_patience, load_checkpoint, needs_validation, writing
from edgecnn.convert.training.choices import Reasons, choose, chosen_text, reasons_of, validated
from edgecnn.convert.training.config import TrainConfig, is_keras_file, phases_of
from edgecnn.convert.training.fit.augmentation import variation_notes
from edgecnn.convert.training.fit.batches import training_batches, validation_batches
from edgecnn.convert.training.fit.callbacks import board, epoch_callback
from edgecnn.convert.training.fit.process import HeldInterrupt, freed_memory_kept
from edgecnn.convert.training.fit.readers import open_readers
from edgecnn.convert.training.model.custom_model import module_of, resolved
from edgecnn.convert.training.prepared_model import PreparedModel, begin_phase, prepared_model
from edgecnn.convert.training.records import Checkpoint, TrainingRun, TrainResult, TrainState
from edgecnn.convert.training.trained_model import FinishedFit, write_trained_model
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages
from edgecnn.edge.data.pixel_digests import learnt_images
from edgecnn.edge.data.recorded_images import recorded_model, recorded_source, recorded_training
from edgecnn.edge.data.splits import FileSplit, chunks
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field, refusal
from edgecnn.edge.files import read_bytes, require_writable
from edgecnn.edge.formats import format_of
from edgecnn.edge.manifest import DatasetRecord, Manifest, Validation
from edgecnn.edge.model.interface import HOW_TO_SAY, SCHEMES, Interface, as_interface, formula
from edgecnn.edge.model.layout import image_layout
from edgecnn.edge.model_file import read_model
from edgecnn.edge.native_output import quiet
from edgecnn.edge.packages import versions
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.sandbox.unverified import lacks_memory
from edgecnn.edge.text import counted, duration_text

# Seconds: when batches tell how long a run takes, and what is worth a line.
_TELLING, _LONG = 20, 300


@kernels_to_train()
def trained(
    data: Dataset | str | Path | None,
    out: str | Path | None,
    config: TrainConfig,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: tuple[str, ...] = (),
    resume: bool = False,
    progress: Progress = SILENT,
    summary: bool = True,
    chosen: Reasons | None = None,
) -> TrainResult:
    """Train in this process.

    Arguments and errors are those of `edgecnn.train`; `summary` is that of `TrainingRun`, and `chosen` too, where the caller
    has chosen what was open, and said so.
    """
    dataset, taken = _prepared(data, config, images, interface, progress)
    if summary:
        progress.say(dataset.describe())
    if chosen is None:
        chosen = reasons_of(data, dataset, images) | choose(config, dataset.train)[1]
        if chosen:
            progress.say(chosen_text(chosen))
    if not sys.modules.get("tensorflow"):
        progress.say("Starting TensorFlow")
    folder = Path(out) if out else Path("artifacts") / dataset.name
    run = TrainingRun(
        dataset, config, folder, taken, trust, resume, summary, chosen, on_text=progress.say, on_batch=shown(progress)
    )
    try:
        return replace(train(run), folder=folder)
    except Exception as error:
        if refused := refusal(error):
            raise refused from error
        # TensorFlow's, which must not be imported for its names; oneDNN's status 1 is dnnl_out_of_memory.
        name = type(error).__name__
        exhausted = name == "ResourceExhaustedError" or (name == "AbortedError" and "Status: 1," in str(error))
        if exhausted or (lacks_memory(error) and not isinstance(error, EdgeCnnError)):
            raise MemoryError(str(error)) from error
        raise


def train(run: TrainingRun) -> TrainResult:
    """Train a model and write model.keras, train.json, manifest.json, checkpoint/ and logs/ into the run's folder.

    The first three appear together, after the model was measured; until then the earlier ones stay whole.

    The same seed, machine and versions give the same weights, resumed or not: an epoch's order, variations and
    dropout depend only on the seed and the epoch, and TensorFlow's deterministic kernels are turned on for the whole process.

    With validation images the epoch with the lowest validation loss is kept. A KeyboardInterrupt after the first finished
    epoch keeps the best one so far; without validation images that is the one with the lowest training loss. The test set
    chooses nothing. Files exported from an earlier model stay; loading one reports that it is stale.

    Raises:
        ConfigError: If the folder can't be written, the model can't be made or does not fit the images, a resume does not fit
            the checkpoint, a patience comes without validation images, or the loss becomes NaN.
        ArtifactError: If the checkpoint or a .keras file is damaged, or the model's output is not the interface's.
        MissingDependency: If TensorFlow is not installed.
        KeyboardInterrupt: If interrupted before an epoch ended; then no model is written.
    """
    if run.config.patience is not None and run.dataset.val is None:
        raise needs_validation("patience", run.dataset)
    load_tensorflow()
    try:
        earlier_manifest(run.folder)  # Raises if the folder is another program's.
    except ArtifactError as error:
        run.on_text(f"A new manifest will be written: {error}")
    config = resolved(run.config, run.dataset.train)
    interface = replace(run.interface, class_names=run.dataset.class_names)
    run = replace(run, config=config, interface=interface, trust=tuple(dict.fromkeys((*run.trust, *module_of(config)))))
    record = run.dataset.record()
    checkpoint = load_checkpoint(run.folder, config, record, run.interface) if run.resume else None
    made_with = versions("tensorflow", "keras", "numpy")
    require_writable(run.folder)
    if isinstance(run.dataset.test, FileSplit):
        run.on_text(f"Reading {counted(run.dataset.test.labels, 'test image')} once")
        for _ in chunks(run.dataset.test):
            pass  # A broken one is an error here, not after all epochs.
    done = len(checkpoint.history) if checkpoint else 0
    prepared = prepared_model(run, checkpoint, done)
    for note in variation_notes(config.variation):
        run.on_text(note)
    return write_trained_model(run, prepared, _fit(run, prepared, checkpoint, done), made_with)


def _remove_log(folder: Path) -> None:
    """Remove the TensorBoard log of a run, and the folder of logs if there are no others."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # Other runs' logs are there.
        folder.parent.rmdir()


def _fit(run: TrainingRun, prepared: PreparedModel, checkpoint: Checkpoint | None, done: int) -> FinishedFit:
    """Run the epochs after `done`."""
    history = checkpoint.history if checkpoint else ()
    # A run that was stopped early may have been cut off before its result.
    epochs = done if is_out_of_patience(history, run.config) else run.config.epochs
    log_folder = f"logs/{datetime.now(UTC):%Y%m%d-%H%M%S}"
    held = HeldInterrupt()
    watcher = epoch_callback(run, checkpoint, held)
    with quiet():  # The first generator of a process makes TensorFlow's C++ print about its memory.
        list(load_tensorflow().data.Dataset.from_generator(lambda: iter([0]), output_types="int32"))
    model, val, interrupted, boards = prepared.model, run.dataset.val, False, []
    try:
        with (
            held,
            writing(run.folder),
            open_readers(run.dataset, run.on_text) as readers,
            freed_memory_kept(),
        ):
            batches = training_batches(run, readers.train, prepared, done)
            validation = validation_batches(run, val, readers.val, prepared) if val and readers.val else None
            run.on_text("TensorFlow is building the training step; the first batch waits for it")
            for phase in phases_of(run.config):
                start, end, later = max(done, phase.start), min(epochs, phase.end), phase.start > done
                if start >= end or model.stop_training:
                    continue
                if later:
                    begin_phase(run, prepared, phase)
                model.optimizer.build(model.trainable_variables)  # Else TensorFlow traces a step twice, first to make these.
                # Its count of batches begins again.
                name = f"{log_folder}-epoch-{start + 1}" if later else log_folder
                boards = [board(run.folder / name, run.batches)]
                options = {"shuffle": False, "verbose": 0, "callbacks": [*boards, watcher], "validation_data": validation}
                model.fit(batches, initial_epoch=start, epochs=end, **options)
    except (KeyboardInterrupt, SystemExit) as error:
        for callback in boards:
            callback.on_train_end()  # Writes the last events, which fit does only if it succeeds.
        if isinstance(error, SystemExit):
            raise
        if watcher.checkpoint is None:
            run.on_text("Interrupted before the first epoch ended: no model was written.")
            raise
        interrupted = True
    except Exception:
        if watcher.checkpoint is None:  # As on a full disk: no epoch is kept, so its log isn't either.
            _remove_log(run.folder / log_folder)
        raise
    # A resume that finished no epoch has the checkpoint of the earlier settings.
    return FinishedFit(replace(watcher.checkpoint, config=run.config), interrupted, log_folder)


def _prepared(
    data: Dataset | str | Path | None,
    config: TrainConfig,
    images: FolderOptions,
    interface: Interface | str | None,
    progress: Progress,
) -> tuple[Dataset, Interface]:
    """Return the images, and the model's preprocessing, output and classes."""
    said, known = as_interface(interface, images.fit or "letterbox"), _manifest_of(config)
    for file in filter(None, (config.weights, config.teacher)):
        read_bytes(Path(file))  # A missing file is an error before the images are read, which takes long.
    if config.backbone:
        if said:
            raise ConfigError(f"how {config.transfer} takes pixels is known: omit {field('interface')}")
        said = Interface(SCHEMES[config.backbone.scheme])
        progress.say(f"{config.transfer}: pixels go in as {formula(said.preprocessing)}, as in its training on ImageNet")
        if config.weights is None:
            progress.say(
                f"{config.transfer}: its weights are those in ~/.keras/models; Keras downloads them if they are not there"
            )
    if said is None and known:
        # The new last layer of a transferred model ends in softmax.
        said = Interface(known.preprocessing, known.output if config.model else "probabilities")
        named = config.start
        progress.say(f"{named}: pixels go in as {formula(known.preprocessing)}, as its manifest says")
    if said is None and config.start:
        raise ConfigError(f"how {config.start} takes pixels is not known: state it with {HOW_TO_SAY}")
    dataset = images_for(known if config.model else None, data, images, progress)
    if known:
        dataset = with_learnt(dataset, config.model or str(config.transfer), known, progress)
    dataset = perhaps_learnt(dataset, config)
    return dataset, fitted_interface(said or Interface(SCHEMES["unit"]), dataset)


def _manifest_of(config: TrainConfig) -> Manifest | None:
    """Return the manifest that lists the .keras file to train; None if there is no such file, or no manifest."""
    named = None if config.backbone else config.start
    return read_model(Path(named)).manifest if named and is_keras_file(named) else None


def perhaps_learnt(dataset: Dataset, config: TrainConfig) -> Dataset:
    """Return images as those of a training that may begin with weights of which nobody knows what they have learnt.

    Images of which it is known already stay as they are.
    """
    named = None if config.backbone else config.start
    began_elsewhere = config.weights is not None or (named is not None and format_of(Path(named)) is not None)
    return _doubtful(dataset) if began_elsewhere and dataset.may_be_learnt is None else dataset


def _doubtful(dataset: Dataset) -> Dataset:
    """Return images of which those that were drawn may be what weights from elsewhere have learnt."""
    drawn, val = dataset.split_off is not None and dataset.split_off.test_share < 1, dataset.val_share is not None
    return replace(dataset, may_be_learnt=drawn, val_may_be_learnt=dataset.val_may_be_learnt or val)


def with_learnt(dataset: Dataset, model: str, known: Manifest, progress: Progress) -> Dataset:
    """Return the images on which a model with a manifest is trained further, with what it may have learnt of them before.

    Messages call it `model`.

    Raises:
        ConfigError: If test images were drawn from pictures that it may have learnt.
    """
    before, now = known.dataset, dataset.record()
    if not now.has_source_of(before):
        with suppress(EdgeCnnError):  # The images that it was trained on before may be gone.
            dataset = replace(dataset, earlier=recorded_training(before, known.class_names))
    _require_unlearnt(model, before, now)
    if now.validation and _has_learnt_some(dataset, before, now, now.validation):
        progress.say(f"{model} may have learnt these validation images: the epoch that they choose may be too late a one")
        dataset = replace(dataset, val_may_be_learnt=True)
    is_known = known.provenance.train_config and not before.may_be_learnt
    return replace(dataset, may_be_learnt=False) if is_known else _doubtful(dataset)


def _require_unlearnt(model: str, before: DatasetRecord, now: DatasetRecord) -> None:
    """Raise if test images were drawn from pictures that a model may have learnt."""
    # Images of another size have another hash, although they may be drawn alike.
    resized, drawn_alike = before.fitted != now.fitted, before.split_off == now.split_off
    others = before.train_sha256 != now.train_sha256 and before.test_sha256 != now.test_sha256
    if not now.has_source_of(before) or not now.split_off or not others or (drawn_alike and resized):
        return
    first = before.split_off
    if first is None:
        fix = f"{now.source} had a test/ before: restore it"
    elif drawn_alike:
        fix = (
            f"{now.source} or the order of its classes has changed, so keep the earlier test images in a test/, the others in "
            "a train/"
        )
    else:
        fix = f"draw as before, with {field('test_share')}={first.test_share:g} and {field('split_seed')}={first.split_seed}"
    raise ConfigError(f"{model} may have learnt some of these test images, which were drawn again: {fix}")


def _has_learnt_some(dataset: Dataset, before: DatasetRecord, now: DatasetRecord, drawn: Validation) -> bool:
    """Return whether a model may have been trained on some of the validation images before, as far as can be known."""
    was = before.validation
    if was and (was.val_may_be_learnt or was.val_sha256 == drawn.val_sha256):
        return was.val_may_be_learnt
    if before.train_sha256 == now.train_sha256:
        return False
    if not now.has_source_of(before):
        return dataset.val is None or dataset.earlier is None or bool(learnt_images(dataset.earlier, dataset.val))
    # Images of another size have another hash, although they may be drawn alike.
    alike = was is not None and (was.val_share, was.val_seed) == (drawn.val_share, drawn.val_seed)
    return not (alike and drawn.val_share is not None and before.fitted != now.fitted)


def images_for(
    known: Manifest | None, data: Dataset | str | Path | None, images: FolderOptions, progress: Progress, needed: bool = False
) -> Dataset:
    """Return the images to train on; of a model that continues with its classes, its own, or those of `data` in its order.

    Its validation images are drawn as before, and other ones as `validated` says; if they are `needed`, in any case.
    """
    if isinstance(data, Dataset):
        return data
    if known is None:
        return load_dataset(data, validated(data, images, needed), progress=progress)
    record, rule = known.dataset, known.preprocessing
    model = recorded_model(record, known.class_names)
    if model is None:
        with suppress(ArtifactError):  # Of any size.
            shape = image_layout(known.source().input, known.source().path).shape
            model = ModelImages(shape, rule.fit, "any", known.class_names)
    place, options = recorded_source(record, data, images)
    return load_dataset(place, validated(place, options, needed=True) if needed else options, model, progress)


def fitted_interface(interface: Interface, dataset: Dataset) -> Interface:
    """Return an interface that fits image files as the dataset's were."""
    rule = dataset.image_rule
    taken = replace(interface.preprocessing, fit=rule.fit, background=rule.background)
    return replace(interface, preprocessing=taken)


def shown(progress: Progress) -> Callable[[TrainState], None]:
    """Return a function that reports batches as steps, finished epochs as lines, and once how long a long run will take."""
    started: TrainState | None = None
    told = False

    def show(state: TrainState) -> None:
        nonlocal started, told
        epoch, so_far = f"epoch {state.epoch.number}/{state.epochs}", state.epoch
        started = started or state  # The first batch waits for TensorFlow's graph.
        left = _seconds_left(started, state)
        if not told and left is not None:
            told = True
            if left >= _LONG:
                more = "fewer epochs take less, and an interrupted training keeps its best finished epoch"
                progress.say(f"About {duration_text(left)} are left of {counted(state.epochs, 'epoch')}: {more}")
        figures = f"loss {so_far.loss:.4f}  accuracy {so_far.accuracy:.4f}"
        if state.batch == state.batches:
            validation = ""
            if so_far.val_loss is not None:
                validation = f"  validation loss {so_far.val_loss:.4f}  accuracy {so_far.val_accuracy:.4f}"
            progress.say(f"{epoch}  {figures}{validation}  {so_far.seconds:.1f} s")
        else:
            progress.step(state.batch, state.batches, epoch, figures)

    return show


def _seconds_left(started: TrainState, state: TrainState) -> float | None:
    """Return how long the epochs will take from here on, by the first one's batches or all of the second; None before."""
    later = state.epochs - state.epoch.number
    if state.epoch.number > started.epoch.number:
        return later * state.epoch.seconds if state.batch == state.batches else None
    seconds = state.epoch.seconds - started.epoch.seconds
    if seconds < _TELLING:
        return None
    return seconds / (state.batch - started.batch) * (state.batches - state.batch + later * state.batches)

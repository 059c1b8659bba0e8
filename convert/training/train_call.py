"""Trains a model from images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.convert.keras.load import kernels_to_train
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed.meeting import Cluster
from edgecnn.convert.training.records import TrainResult
from edgecnn.convert.training.train import train as train_model
from edgecnn.convert.training.train import train_together
from edgecnn.convert.training.training_run import TrainState
from edgecnn.edge.data.dataset import Dataset, load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages
from edgecnn.edge.data.recorded_images import recorded_model, recorded_source, recorded_training
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field, refusal
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import format_of, is_exported
from edgecnn.edge.manifest import DatasetRecord, Manifest
from edgecnn.edge.model.interface import HOW_TO_SAY, SCHEMES, Interface, as_interface, formula
from edgecnn.edge.model_file import read_model
from edgecnn.edge.result import SILENT, Progress


@dataclass(frozen=True)
class TrainCall:
    """The arguments of a call of `edgecnn.train`, which it describes."""

    data: Dataset | str | Path | None
    out: str | Path | None
    config: TrainConfig
    images: FolderOptions = NO_OPTIONS
    interface: Interface | str | None = None
    trust: tuple[str, ...] = ()
    resume: bool = False
    progress: Progress = SILENT


@kernels_to_train()
def trained(call: TrainCall) -> TrainResult:
    """Train in this process. Errors are those of `edgecnn.train`."""
    dataset, folder, taken = _prepared(call)
    with _memory_named():
        found = train_model(
            dataset,
            call.config,
            folder,
            taken.preprocessing,
            taken.output,
            trust=call.trust,
            resume=call.resume,
            on_text=call.progress.say,
            on_batch=_shown(call.progress),
        )
    return replace(found, folder=folder)


@kernels_to_train()
def trained_together(cluster: Cluster, call: TrainCall) -> TrainResult | None:
    """Train as one of several workers. Errors are those of `edgecnn.train_worker`."""
    dataset, folder, taken = _prepared(call)
    with _memory_named():
        found = train_together(
            cluster,
            dataset,
            call.config,
            folder,
            taken,
            trust=call.trust,
            resume=call.resume,
            on_text=call.progress.say,
            on_batch=_shown(call.progress),
        )
    return None if found is None else replace(found, folder=folder)


def _prepared(call: TrainCall) -> tuple[Dataset, Path, Interface]:
    """Return the images, the folder, and the model's preprocessing."""
    data, config, images, interface, progress = call.data, call.config, call.images, call.interface, call.progress
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
        named = config.model or config.transfer
        progress.say(f"{named}: pixels go in as {formula(known.preprocessing)}, as its manifest says")
    if said is None and (config.model or config.transfer):
        raise ConfigError(f"how {config.model or config.transfer} takes pixels is not known: state it with {HOW_TO_SAY}")
    if isinstance(data, Dataset):
        dataset = data
    elif known and config.model:
        dataset = _images_of_model(known, data, images)
    else:
        dataset = load_dataset(data, images)
    progress.say(dataset.describe())
    if known:
        before = known.dataset
        if (before.source, before.name) != (dataset.source, dataset.name):
            with suppress(EdgeCnnError):  # The images that it was trained on before may be gone.
                dataset = replace(dataset, earlier=recorded_training(before, known.class_names))
        _require_unlearnt(config.model or str(config.transfer), before, dataset.record(), progress)
    folder = Path(call.out) if call.out else Path("artifacts") / dataset.name
    return dataset, folder, fitted_interface(said or Interface(SCHEMES["unit"]), dataset)


def _manifest_of(config: TrainConfig) -> Manifest | None:
    """Return the manifest that lists the .keras file to train; None if there is no such file, or no manifest."""
    named = None if config.backbone else config.model or config.transfer
    return read_model(Path(named)).manifest if named and not is_exported(format_of(Path(named))) else None


def _require_unlearnt(model: str, before: DatasetRecord, now: DatasetRecord, progress: Progress) -> None:
    """Raise if test images were drawn from pictures that a model may have learnt; say so of validation images."""
    if (before.source, before.name) != (now.source, now.name):
        return
    # Images of another size have another hash, although they may be drawn alike.
    resized, drawn_alike = before.fitted != now.fitted, before.split_off == now.split_off
    others = before.train_sha256 != now.train_sha256 and before.test_sha256 != now.test_sha256
    if now.split_off and others and not (drawn_alike and resized):
        first = before.split_off
        if first is None:
            fix = f"{now.source} had a test/ before: restore it"
        elif drawn_alike:
            fix = (
                f"{now.source} or the order of its classes has changed, so keep the earlier test images in a test/, the others "
                "in a train/"
            )
        else:
            fix = (
                f"draw as before, with {field('test_share')}={first.test_share:g} and {field('split_seed')}={first.split_seed}"
            )
        raise ConfigError(f"{model} may have learnt some of these test images, which were drawn again: {fix}")
    was, drawn = before.validation, now.validation
    if drawn is None or drawn.val_share is None or drawn == was:
        return
    if not (resized and was and (was.val_share, was.val_seed) == (drawn.val_share, drawn.val_seed)):
        progress.say(f"{model} may have learnt these validation images: the epoch that they choose may be too late a one")


def _images_of_model(known: Manifest, data: str | Path | None, images: FolderOptions) -> Dataset:
    """Return images for a model that continues with its classes, in its order: its own images, or those of `data`."""
    record, rule = known.dataset, known.preprocessing
    shape = known.keras_model().input.shape[1:]
    height, width, channels = shape if len(shape) == 3 else (*shape, 1)
    model = recorded_model(record, known.class_names)
    if model is None and height and width and channels:
        model = ModelImages((height, width, channels), rule.fit, "any", known.class_names)
    return load_dataset(*recorded_source(record, data, images), model)


def fitted_interface(interface: Interface, dataset: Dataset) -> Interface:
    """Return an interface that fits image files as the dataset's were."""
    rule = dataset.image_rule
    taken = replace(interface.preprocessing, fit=rule.fit, background=rule.background)
    return replace(interface, preprocessing=taken)


def _shown(progress: Progress) -> Callable[[TrainState], None]:
    """Return a function that reports each batch as a step, and each finished epoch as a line."""
    progress.step(0, 1, "starting TensorFlow")

    def show(state: TrainState) -> None:
        epoch = f"epoch {state.epoch}/{state.epochs}"
        figures = f"loss {state.loss:.4f}  accuracy {state.accuracy:.4f}"
        if state.batch == state.batches:
            validation = ""
            if state.val_loss is not None:
                validation = f"  validation loss {state.val_loss:.4f}  accuracy {state.val_accuracy:.4f}"
            progress.say(f"{epoch}  {figures}{validation}  {state.seconds:.1f} s")
        else:
            progress.step(state.batch, state.batches, epoch, figures)

    return show


@contextmanager
def _memory_named() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if found := refusal(error):
            raise found from error
        # TensorFlow's, which must not be imported for its names; oneDNN's status 1 is dnnl_out_of_memory.
        name = type(error).__name__
        if name == "ResourceExhaustedError" or (name == "AbortedError" and "Status: 1," in str(error)):
            raise MemoryError(str(error)) from error
        raise

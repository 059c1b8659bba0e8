"""The test images that a model or a result belongs to, and the reference's stored probabilities on them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import IMAGES, find, listed_names, load_dataset, load_test
from edgecnn.edge.data.folder_options import FolderOptions, ModelImages
from edgecnn.edge.data.image_folder import has_parts, load_image_folder
from edgecnn.edge.data.npz import read_npy
from edgecnn.edge.data.pixel_digests import learnt_images
from edgecnn.edge.data.recorded_images import recorded_source, recorded_training, require_recorded
from edgecnn.edge.data.splits import FileSplit, Split
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field, setting, why
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import DatasetRecord, Fitted, Manifest
from edgecnn.edge.model.preprocess import Floats, are_probabilities, correct
from edgecnn.edge.result import SILENT, Progress

_NAMES_SHOWN = 10


def model_images(classifier: Classifier) -> ModelImages:
    """Return a model's image settings."""
    rule = classifier.preprocessing
    known = classifier.manifest is not None or bool(classifier.interface.class_names)
    return ModelImages(classifier.shape, rule.fit, rule.background, classifier.class_names, known)


def model_test_images(
    name: str | Path,
    classifier: Classifier,
    data: str | Path | None,
    options: FolderOptions,
    progress: Progress = SILENT,
) -> Split:
    """Load the model's own test images, or those of `data`, and check that they have the model's shape.

    A folder of images is read as `edgecnn predict` reads a file for this model, whatever it was trained on. Messages call the
    model's file `name`.

    Raises:
        ConfigError: If they have another shape, or `data` is None and they are not the model's own, or a file without a
            manifest comes without `data`.
        ArtifactError: If they can't be loaded.
    """
    record = classifier.manifest.dataset if classifier.manifest else None
    if record is None and data is None:
        raise ConfigError(f"{name} does not say which images it was made for: name them with {field('data')}")
    test = load_test(*recorded_source(record, data, options), model_images(classifier), progress)
    if record and not data:
        require_recorded(record, test, options)
    require_shape(name, classifier, test)
    return test


def require_shape(name: str | Path, classifier: Classifier, images: Split) -> None:
    """Raise ConfigError if images have another shape than those of the model, which the message calls `name`."""
    if images.shape != classifier.shape:
        raise ConfigError(f"{name} takes images of {classifier.shape}, not {images.shape}: name others with {field('data')}")


def model_test_record(classifier: Classifier, data: str | Path | None, test: Split, options: FolderOptions) -> DatasetRecord:
    """Return the record of what `model_test_images` loaded; images other than the model's own have no known training part.

    Copies of training images among the model's own are those of its manifest. Others are looked for among the images that the
    manifest's model was trained on, if they are here, else in the training part of the test images' own source.
    """
    record = classifier.manifest.dataset if classifier.manifest else None
    if record and data is None:
        return record
    data, options = recorded_source(record, data, options)
    found = find(data)
    own_images = record is not None and record.test_sha256 == test.sha256
    learnt = record.learnt if record and own_images else _learnt(record, data, options, model_images(classifier), test)
    own = DatasetRecord(found.name, found.source, "", test.sha256, learnt=learnt)
    if not isinstance(test, FileSplit):
        return own
    own = replace(own, fitted=Fitted(test.shape, test.fit, test.background))
    if has_parts(found.path, ("test",)):
        return own
    own = replace(own, split_off=options.split_off(), test_list=listed_names(test))
    if record and classifier.manifest and classifier.manifest.provenance.train_config:
        return replace(own, may_be_learnt=record.may_be_learnt and own.is_drawn)
    return own.of_unknown_training()


def learnt_by(models: Mapping[Path, Manifest], test: Split) -> tuple[set[int], list[str]]:
    """Return which test images one of the models learnt, by their places, and doubts about those of which that is not known.

    Models with other test images of their own may have been trained on these.
    """
    places, doubts = set[int](), list[str]()
    for path, manifest in models.items():
        record = manifest.dataset
        if record.test_sha256 == test.sha256:
            places |= {*record.learnt}
            continue
        try:
            places |= {*learnt_images(recorded_training(record, manifest.class_names), test)}
        except EdgeCnnError as error:
            doubts.append(
                f"Doubtful: {path} was made with other test images, and may have learned these: its training images can't be "
                f"read ({why(error)})."
            )
    return places, doubts


def _learnt(
    record: DatasetRecord | None, data: str | Path | None, options: FolderOptions, model: ModelImages, test: Split
) -> tuple[int, ...]:
    """Return which test images are copies of training images; a device has none of these, and finds none."""
    with suppress(EdgeCnnError):
        if record:
            return learnt_images(recorded_training(record, model.class_names), test)
    found = find(data)
    with suppress(EdgeCnnError):
        if found.kind != IMAGES or has_parts(found.path):
            return load_dataset(data, options, model).learnt
    return ()


def split_note(record: DatasetRecord) -> list[str]:
    """Return a note if only a share of a folder are test images, since whoever named the folder may not know.

    Where the model may have been trained on them, `learnt_note` says so instead.
    """
    drawn = record.split_off
    if drawn is None or drawn.test_share == 1 or record.may_be_learnt:
        return []
    return [
        f"Test images: {drawn.of_each_class} of {record.name}, which has no test/, split seed "
        f"{drawn.split_seed}. A test share of 1 takes all."
    ]


def assumed_classes(classifier: Classifier, data: str | Path | None, options: FolderOptions) -> tuple[str, ...]:
    """Return the names that a folder of images gives the outputs of a model without names; none of other images or models."""
    model = model_images(classifier)
    if model.known or data is None:
        return ()
    found = find(data)
    if found.kind != IMAGES:
        return ()
    names = load_image_folder(found.path, replace(options, keep_together=False), model, ("test",)).class_names
    return () if names == model.class_names else names


def order_note(names: tuple[str, ...]) -> list[str]:
    """Return a note if a model's outputs were matched to a folder's classes in an assumed order: `assumed_classes`."""
    if not names:
        return []
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    shown = ", ".join(names[:_NAMES_SHOWN])
    fix = f"Give {setting('labels')} to change it."
    return [f"The outputs are assumed to be the classes {shown}{more}, in this order. {fix}"]


def load_reference(folder: Path, manifest: Manifest, labels: NDArray[np.int64]) -> Floats:
    """Return the float Keras model's probabilities float32 (n, classes) on the manifest's test images.

    Even with matching hashes, the stored numbers may not be a model's. So each row must be probabilities, and as many rows
    must agree with their label in `labels`, int64 (n,), as the export counted.

    Raises:
        ArtifactError: If they are missing, damaged, from an earlier model, or contradict the manifest.
    """
    record = manifest.reference
    fix = f"run edgecnn export {folder / manifest.source().path}"
    if record is None:
        raise ArtifactError(f"{folder} has no reference to judge by: {fix}")
    path = folder / record.path
    data = read_bytes(path)
    if sha256(data) != record.sha256:
        raise ArtifactError(f"{path} is not the file that the manifest lists: {fix}")
    if (record.source_sha256, record.test_sha256) != (manifest.source().sha256, manifest.dataset.test_sha256):
        raise ArtifactError(f"{path} is stale: it is from an earlier model: {fix}")
    probabilities = read_npy(data, f"{path} is not an array", fix)
    shape = (len(labels), len(manifest.class_names))
    if (probabilities.shape, probabilities.dtype) != (shape, np.dtype("<f4")):
        raise ArtifactError(f"{path} holds {probabilities.dtype} {probabilities.shape}, not float32 {shape}: {fix}")
    if not are_probabilities(probabilities):
        raise ArtifactError(f"{path} does not hold class probabilities, whose rows sum to 1: {fix}")
    right = int(correct(probabilities, labels).sum())
    if (right, len(labels)) != (record.correct, record.images):
        raise ArtifactError(
            f"{path} is right on {right:,} of {len(labels):,} test images, but its manifest says {record.correct:,} of "
            f"{record.images:,}: {fix}"
        )
    return probabilities

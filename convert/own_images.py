"""The test images that a model or a result belongs to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convert.data_options import NO_OPTIONS, FolderOptions, ModelImages
from convert.dataset import IMAGES, find, load_test, recorded_model, recorded_source, require_recorded
from convert.image_folder import has_parts, load_image_folder, split_of
from edge.classifier import Classifier
from edge.errors import ConfigError, EdgeCnnError
from edge.manifest import DatasetRecord
from edge.splits import FileSplit, Split

_NAMES_SHOWN = 10


def model_images(classifier: Classifier) -> ModelImages:
    """Return what a model says of its images."""
    rule = classifier.preprocessing
    known = classifier.manifest is not None or bool(classifier.interface.class_names)
    return ModelImages(classifier.shape, rule.fit, rule.background, classifier.class_names, known)


def recorded_images(
    record: DatasetRecord,
    data: str | Path | None,
    class_names: tuple[str, ...],
    options: FolderOptions = NO_OPTIONS,
) -> Split:
    """Load a record's own test images, from `data` if given, and check that they are the same.

    Args:
        record: Of a manifest or a result.
        data: Where the images are now; None is where the record says.
        class_names: Of the same manifest or result; they number the classes of a folder of images.
        options: What the user says.

    Raises:
        ConfigError: If they are others.
        ArtifactError: If they can't be loaded.
    """
    test = load_test(*recorded_source(record, data, options), recorded_model(record, class_names))
    require_recorded(record, test)
    return test


def test_images(file: Path, classifier: Classifier, data: str | Path | None, options: FolderOptions) -> Split:
    """Load the model's own test images, or those of `data`, and check that the model takes them.

    A folder of images is read as `edgecnn predict` reads a file for this model, whatever the model learned from.

    Raises:
        ConfigError: If they are of another shape, or not the model's own where no others were named, or if a file without a
            manifest comes without `data`.
        ArtifactError: If they can't be loaded.
    """
    record = classifier.manifest.dataset if classifier.manifest else None
    if record is None and data is None:
        raise ConfigError(f"{file} does not say what its images are: name them with --data")
    test = load_test(*recorded_source(record, data, options), model_images(classifier))
    if record and not data:
        require_recorded(record, test)
    if test.shape != classifier.shape:
        raise ConfigError(f"{file} takes images of {classifier.shape}, these are {test.shape}: name others with --data")
    return test


def test_record(classifier: Classifier, data: str | Path | None, test: Split, options: FolderOptions) -> DatasetRecord:
    """Return the record of what `test_images` loaded; of other images than the model's own, no training part is known."""
    record = classifier.manifest.dataset if classifier.manifest else None
    if record and data is None:
        return record
    data, options = recorded_source(record, data, options)
    found = find(data)
    own = DatasetRecord(found.name, found.source, "", test.sha256)
    if not isinstance(test, FileSplit):
        return own
    own = replace(own, shape=test.shape, fit=test.fit, background=test.background)
    if has_parts(found.path, ("test",)):
        return own
    share, seed = split_of(options)
    return replace(own, test_share=share, split_seed=seed)


def split_note(record: DatasetRecord) -> list[str]:
    """Return a sentence if only a share of a folder are test images, which whoever named the folder may not know."""
    if record.test_share in (None, 1):
        return []
    return [
        f"Test images: {record.test_share:.0%} of each class of {record.name}, which has no test/, split seed "
        f"{record.split_seed}; --test-share 1 takes all."
    ]


def order_note(classifier: Classifier, data: str | Path | None, options: FolderOptions) -> list[str]:
    """Return a sentence if a model's outputs were taken for a folder's classes in an order that nobody said."""
    model = model_images(classifier)
    if model.known or data is None:
        return []
    found = find(data)
    if found.kind != IMAGES:
        return []
    names = load_image_folder(found.path, options, model, ("test",)).class_names
    if names == model.class_names:
        return []
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return [f"The outputs are taken for the classes {shown}{more}, in this order; --labels gives another."]


def images_at_hand(
    record: DatasetRecord,
    data: str | Path | None,
    class_names: tuple[str, ...],
    on_text: Callable[[str], None],
    options: FolderOptions = NO_OPTIONS,
) -> Split | None:
    """Return the test images of a record, or None, said aloud, where they are not at hand. Arguments as `recorded_images`."""
    try:
        return recorded_images(record, data, class_names, options)
    except EdgeCnnError as error:
        if data:
            raise
        on_text(f"flipped images are shown by number only: {error}")
        return None

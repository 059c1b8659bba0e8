"""The test images that a model or a result belongs to."""

from collections.abc import Callable
from pathlib import Path

from convert.dataset import Split, load_split, recorded_folder, require_recorded
from edge.classifier import Classifier
from edge.errors import ConfigError, EdgeCnnError
from edge.manifest import DatasetRecord
from edge.preprocess import Images


def recorded_images(record: DatasetRecord, data: Path | None) -> Split:
    """Load a record's own test images, from `data` if given, and check that they are the same.

    Raises:
        ConfigError: If they are others.
        ArtifactError: If they can't be loaded.
    """
    test = load_split(recorded_folder(record, data), "test")
    require_recorded(record, test)
    return test


def test_images(file: Path, classifier: Classifier, data: Path | None) -> Split:
    """Load the model's own test images, or those of `data`, and check that the model takes them."""
    record = classifier.manifest.dataset if classifier.manifest else None
    test = load_split(recorded_folder(record, data), "test")
    if record and not data:
        require_recorded(record, test)
    if test.images.shape[1:] != classifier.shape:
        raise ConfigError(
            f"{file} takes images of {classifier.shape}, these are {test.images.shape[1:]}: name others with --data"
        )
    return test


def images_at_hand(record: DatasetRecord, data: Path | None, on_text: Callable[[str], None]) -> Images | None:
    """Return the test images of a record, or None, said aloud, where they are not at hand."""
    try:
        return recorded_images(record, data).images
    except EdgeCnnError as error:
        if data:
            raise
        on_text(f"flipped images are shown by number only: {error}")
        return None

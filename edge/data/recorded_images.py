"""Finds the images that a manifest records, and checks that they are the same."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgecnn.edge.data.dataset import IMAGES, KERAS, SHIPPED, find, has_validation, load_test, load_train
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages
from edgecnn.edge.data.image_folder import has_parts
from edgecnn.edge.data.splits import FileSplit, RowSplit, Split, Subset
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.manifest import DatasetRecord


def recorded_source(
    record: DatasetRecord | None, data: str | Path | None = None, options: FolderOptions = NO_OPTIONS
) -> tuple[str | Path | None, FolderOptions]:
    """Return where and how to load a record's images: from `data` if given, else from the recorded source.

    What `options` leaves open for a folder of images, and about validation images that were drawn, is taken from the record,
    wherever the images are now.

    Raises:
        ConfigError: If the recorded folder or file is not on this machine.
    """
    if record is None:
        return data, options
    if data is None:
        data = record.name if record.source in (SHIPPED, KERAS) else Path(record.source)
        if isinstance(data, Path) and not data.exists():
            raise ConfigError(
                f"the model's images ({record.name}, {record.source}) are not here: name their folder with {field('data')}"
            )
    found = find(data)
    if found.kind == IMAGES and record.fitted:
        height, width, channels = record.fitted.shape
        options = _completed(options, {"size": (height, width), "channels": channels, "fit": record.fitted.fit})
        if options.test_list is None and not has_parts(found.path, ("test",)):
            options = _drawn_as_before(record, found.path, options)
    drawn = record.validation
    if drawn and drawn.val_share is not None and not has_validation(found):
        options = _completed(options, {"val_share": drawn.val_share, "split_seed": drawn.val_seed})
        if found.kind == IMAGES and (options.val_share, options.seed) == (drawn.val_share, drawn.val_seed):
            options = replace(options, val_list=drawn.val_list)
    return data, options


def _drawn_as_before(record: DatasetRecord, folder: Path, options: FolderOptions) -> FolderOptions:
    """Return the options that give a record's test images, or for other images draw them alike."""
    named = all((folder / name).is_file() for name in record.test_list)  # In another folder there are no such files.
    if record.split_off is None:
        drawn = options.test_share is not None or options.split_seed is not None
        return replace(options, test_list=record.test_list) if record.test_list and named and not drawn else options
    options = _completed(options, asdict(record.split_off))
    if not named or options.split_off() != record.split_off:
        return options
    return replace(options, test_list=record.test_list or None, keep_together=False)  # What stays together is known.


def _completed(options: FolderOptions, recorded: dict[str, Any]) -> FolderOptions:
    """Return the options with what is recorded for those that are not set."""
    return replace(options, **{name: value for name, value in recorded.items() if getattr(options, name) is None})


def recorded_model(record: DatasetRecord, class_names: tuple[str, ...]) -> ModelImages | None:
    """Return how a record's folder of images was read, for its classes; None if the pixels came as an array."""
    if record.fitted is None:
        return None
    height, width, channels = record.fitted.shape
    return ModelImages((height, width, channels), record.fitted.fit, record.fitted.background, class_names)


def recorded_training(record: DatasetRecord, class_names: tuple[str, ...]) -> Split:
    """Load the training images of a record, which may have changed since; none that Keras would download.

    Raises:
        ConfigError: If they are not here.
        ArtifactError: If they can't be loaded.
    """
    if record.source == KERAS:
        raise ConfigError(f"{record.name} is not looked up: name its images")
    return load_train(*recorded_source(record), recorded_model(record, class_names))


def require_recorded(record: DatasetRecord, test: Split, options: FolderOptions = NO_OPTIONS) -> None:
    """Check that these, which were loaded with `options`, are the test images that a manifest records.

    Raises:
        ConfigError: If they are other images.
    """
    if test.sha256 == record.test_sha256:
        return
    if other := next((name for name in ("test_list", "test_share", "split_seed") if getattr(options, name) is not None), None):
        raise ConfigError(
            f"{field(other)} gives other test images than the model's own ({record.name}): omit it, or have evaluate judge "
            f"them, with {field('data')}={record.source}"
        )
    where = _where(test)
    if where and str(where.resolve()) == record.source:
        raise ConfigError(
            f"{where} has changed since the model was made, so these are not the model's test images: restore it, or name a "
            f"copy of what it was with {field('data')}"
        )
    found = f"{where}: " if where else ""
    raise ConfigError(
        f"{found}these are not the model's test images ({record.name}, {record.source}): name them with {field('data')}"
    )


def _where(split: Split) -> Path | None:
    """Return the folder or file of a split's images; None if they are in memory."""
    if isinstance(split, Subset):
        return _where(split.split)
    return split.folder if isinstance(split, FileSplit) else split.path if isinstance(split, RowSplit) else None


def recorded_images(
    record: DatasetRecord,
    data: str | Path | None,
    class_names: tuple[str, ...],
    options: FolderOptions = NO_OPTIONS,
) -> Split:
    """Load the test images of a record, from `data` or the recorded place, and check that they are the same.

    The class names of the record's manifest or result number the classes of a folder of images.

    Raises:
        ConfigError: If they are other images.
        ArtifactError: If they can't be loaded.
    """
    test = load_test(*recorded_source(record, data, options), recorded_model(record, class_names))
    require_recorded(record, test, options)
    return test


def images_at_hand(
    record: DatasetRecord,
    data: str | Path | None,
    class_names: tuple[str, ...],
    on_text: Callable[[str], None],
    options: FolderOptions = NO_OPTIONS,
) -> Split | None:
    """Return the test images of a record; if they can't be loaded, say so and return None. Arguments: `recorded_images`."""
    try:
        return recorded_images(record, data, class_names, options)
    except EdgeCnnError as error:
        if data:
            raise
        on_text(f"flipped images are listed by number only: {error}")
        return None

"""Classify image files or test images.

Of a folder with a folder for each class it also prints the accuracy and the confusions. A picture that can't be read is
named on standard error, the others are answered, and the exit code is 4. It also warns there of each picture whose light
and dark may have been swapped.

Example: edgecnn predict artifacts/mnist/int8.tflite --index 47 --save answer.png
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edgecnn.commands.shared import (
    DEFAULT_FOLDER,
    AnyTarget,
    Data,
    Images,
    Signature,
    StatedInterface,
    Threads,
    Trust,
    found_usage,
)
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.formats import format_of
from edgecnn.edge.manifest import MANIFEST_NAME, Side
from edgecnn.edge.option import Option, checked, png
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, columns, emit, print_columns, say, write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgecnn.edge.inference.pictures import Picture
    from edgecnn.edge.inference.predictions import Predicted


_SURE: dict[bool | None, tuple[str, ...]] = {None: (), True: ("accepted",), False: ("not sure",)}


@checked
def predict(  # Longer than 50 lines: its arguments and their docs.
    target: AnyTarget,
    pictures: Annotated[
        "Picture | NDArray[Any] | Sequence[Picture | NDArray[Any]]",
        Option(
            "PNG or JPEG files, folders of them, or - for standard input.",
            metavar="IMAGE",
            argument=True,
            kind=Path,
            repeat=True,
        ),
    ] = (),
    *,
    indices: Annotated[Sequence[int], Option("Number of a test image, from 0.", name="--index")] = (),
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    signature: Signature = None,
    threads: Threads = 1,
    background: Annotated[
        Side | None,
        Option(
            "Background of the pictures, for models of digits: dark or light.", metavar="dark|light", default="from the border"
        ),
    ] = None,
    top: Annotated[int, Option("Number of classes shown for each image.", low=1)] = 5,
    keep_pixels: bool = True,
    progress: Progress = SILENT,
) -> "Predicted":
    """Classify pictures of any size, or test images by their number; `Classifier.load` is for an application.

    Args:
        pictures: One or several paths of PNG or JPEG files or of folders with them, files opened in binary mode, PIL images, or
            uint8 arrays (height, width, 1 or 3), colours as RGB.
        keep_pixels: Whether to keep each image as the model got it, for the text and `save`; thousands of photos take memory.

    Returns:
        The label and the probabilities, 0 to 1, of each image, and whether it is `accepted` by the file's threshold, if it has
        one; test images come first. Pictures that can't be read are in `unread`.

    Raises:
        ArtifactError: If the model's file is missing or damaged, no picture can be read, or the runtime refuses the model.
        ConfigError: If there is nothing to predict, an index is out of range, or the model's preprocessing is unknown.
        MissingDependency: If the runtime, or Pillow for pictures, is not installed.
    """
    named = _each(pictures)
    nothing = not len(named) and not len(indices)
    if (nothing or not Path(str(target)).is_dir()) and _looks_like_pictures(target):
        example = DEFAULT_FOLDER / "int8.tflite" if DEFAULT_FOLDER.exists() else "MODEL.tflite"
        missing = "" if Path(str(target)).exists() else "does not exist and "
        raise ConfigError(
            f"{target} {missing}is no model: name one before the pictures, as in edgecnn predict {example} {target}"
        )
    if nothing:
        raise ConfigError(f"nothing to predict: name image files, or test images with {field('indices')}=47")
    from edgecnn.edge.inference.predictions import chosen_pictures, chosen_test_images, perhaps_learnt, predict_images
    from edgecnn.edge.inference.usage import Usage, reservations
    from edgecnn.edge.model_folder import opened

    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        model = models.model()
        name = models.shown(model.path.name)
        progress.say(f"{name}: loading")
        if model.manifest is None and interface is None:
            usage = found_usage(usage, [model], progress)
        classifier = usage.classifier(model)
        rule = classifier.preprocessing
        if background and rule.background == "any" and rule.fit != "digit":
            raise ConfigError(f"{name} takes pictures as they are, light or dark: omit {field('background')}")
        chosen = []
        if len(indices):
            chosen = chosen_test_images(usage.test_images(models, name, classifier), indices, classifier)
    every = chain(chosen, chosen_pictures(named, classifier, background))
    found = predict_images(Path(name), classifier, every, keep_pixels)
    accuracy = found.accuracy and replace(found.accuracy, doubt=perhaps_learnt(classifier.manifest, named))
    return replace(found, accuracy=accuracy, notes=reservations(classifier), top=top)


def _each(pictures: Any) -> "Sequence[Picture | NDArray[Any]]":
    """Return each of the pictures in an array or another sequence, or the one that is no sequence of them."""
    is_one = isinstance(pictures, str) or not hasattr(pictures, "__len__") or getattr(pictures, "ndim", 1) in (2, 3)
    return [pictures] if is_one else [*pictures]


def _looks_like_pictures(target: object) -> bool:
    """Return whether what was named as the model is a picture, or a folder that may have some but has no manifest."""
    if not isinstance(target, (str, Path)) or format_of(Path(target)):
        return False
    if Path(target).is_dir():
        return not Path(target, MANIFEST_NAME).exists()
    from edgecnn.edge.data.image_folder import SUFFIXES

    return Path(target).suffix.lower() in SUFFIXES


def command(
    call: Call,
    *,
    quiet: Annotated[
        bool,
        Option(
            "One line for each image: path, label and probability, separated by tabs; with a threshold also whether it is "
            "accepted or not sure.",
            short="-q",
        ),
    ] = False,
    save: Annotated[
        Path | None, Option("File to draw the images with their labels into.", metavar="PNG", parse=png, writes=True)
    ] = None,
    json: Json = None,
) -> None:
    """Print the answers, warn of each that is doubtful, and fail at the end if a picture has none."""
    pictures = [sys.stdin.buffer if str(path) == "-" else path for path in call.arguments().get("pictures", ())]
    result = call(quiet=quiet, pictures=pictures, keep_pixels=save is not None or not quiet)
    for picture in result.unread:
        say(f"skipped: {picture.problem}")
    for item in result.images:
        if item.doubt:
            say(f"warning: {item.doubt}")
    if save:
        result.save(save)
        say(f"wrote {save}")
    as_json = json is not None and str(json) == "-"
    if quiet and not as_json:
        print_columns(
            (row["image"], row["predicted"], f"{row['probability']:.4f}", *_SURE[row["accepted"]]) for row in result.rows()
        )
        if json:
            write_text(json, result.to_json())
    else:
        emit(result, json)
    if quiet and result.accuracy:
        from edgecnn.edge.show.predictions import accuracy_text

        say(accuracy_text(result.accuracy, columns(sys.stderr)))
    for note in result.notes if quiet or as_json else ():
        say(note)
    if result.unread:
        every = len(result.unread) + len(result.images)
        raise ArtifactError(f"no answer for {len(result.unread):,} of {every:,} images: replace or remove them")

"""Find the layers of a quantized file that lose most.

It is compared with its float32 file on the same images.

Example: edgecnn diagnose artifacts/mnist/int8.tflite --save layers.png
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import Data, Images, StatedInterface
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.formats import FORMATS, format_of, is_exported
from edgecnn.edge.option import Option, checked, png
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.convert.diagnose import Diagnosis
    from edgecnn.edge.inference.usage import Target


@checked
def diagnose(  # Longer than 50 lines: its arguments and their docs.
    file: Annotated[
        "Target",
        Option("A .tflite or .onnx file, or a file in a bundle: mnist.zip/int8.tflite.", argument=True, kind=Path),
    ],
    float_file: Annotated[
        str | Path | None,
        Option("Its float32 file.", name="--float", default="float32 in the same folder"),
    ] = None,
    *,
    count: Annotated[int, Option("Number of test images to run, spread evenly.", low=1)] = 100,
    save: Annotated[str | Path | None, Option("Also draw the layers.", metavar="PNG", parse=png, writes=True)] = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    progress: Progress = SILENT,
) -> "Diagnosis":
    """Compare a quantized file with its float32 file, layer by layer, on the same images.

    Returns:
        The layers that are integers in the quantized file; the one that loses most of the signal comes first.

    Raises:
        ArtifactError: If a file is missing or damaged, a runtime refuses it, or the two are different networks.
        ConfigError: If they are not a quantized file and a float file of one format, or the images don't fit.
        MissingDependency: If the runtime, or matplotlib to draw, is not installed.
    """
    import numpy as np

    from edgecnn.convert.diagnose import diagnose as diagnose_files
    from edgecnn.convert.show import save_diagnosis
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_file import read_model
    from edgecnn.edge.model_folder import opened
    from edgecnn.edge.sandbox.unverified import SECONDS, run_in_child, was_made

    usage = Usage(data, images, interface)
    with opened(file) as models:
        quantized = models.model()
        beside = Path(float_file) if float_file else models.named.parent / f"float32{quantized.path.suffix}"
        if not is_exported(quantized.format) or format_of(beside) != quantized.format:
            raise ConfigError(
                f"{models.named} and {beside} are not two exported files of one format: name a quantized one and its float32"
            )
        if FORMATS[quantized.format].pair is None:
            others = " or ".join(f"a {row.suffix} file" for row in FORMATS.values() if row.pair)
            raise ConfigError(f"{models.named}: the layers of .{quantized.format} files can't be compared: name {others}")
        if not float_file and not (models.folder / beside.name).exists():
            raise ArtifactError(f"{beside} does not exist: name the file's float32 with {field('float_file')}")
        float32 = read_model(beside) if float_file else read_model(models.folder / beside.name, quantized.manifest)
        classifier = usage.classifier(float32)
        test = usage.test_images(models, str(beside), classifier, progress)
        # Spread over all: a folder's images come class by class.
        chosen = np.linspace(0, len(test.labels) - 1, min(count, len(test.labels))).astype(np.int64)
        inputs = classifier.inputs(test.images(chosen))
    progress.say("comparing, layer by layer")
    title = f"{models.named} compared with {beside.name}"
    compare_layers = partial(diagnose_files, float32.data, quantized.data, quantized.format, inputs)
    if was_made(quantized.data) and was_made(float32.data):
        found = compare_layers()
    else:
        size, seconds = len(quantized.data) + len(float32.data), SECONDS * (1 + len(inputs))
        found = run_in_child(compare_layers, title, size, seconds)
    if save:
        save_diagnosis(Path(save), found, title)
        progress.say(f"wrote {save}")
    trained = bool(quantized.artifact and quantized.artifact.qat and quantized.artifact.qat.taken)
    return replace(found, trained=trained, quantized=str(models.named), float32=beside.name)

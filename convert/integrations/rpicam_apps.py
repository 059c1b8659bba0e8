"""What `object_classify_tf` of rpicam-apps takes: a .tflite file for camera images, and the settings that name it.

The stage passes the middle 224 x 224 pixels of the camera's low-resolution stream, RGB, as bytes; and it reads each output
byte as 255ths of a probability. So the network gets a front of three operators at most: one scales, one averages, and
one turns colours into the model's channels and numbers.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.calibration import draw_calibration
from edgecnn.convert.export.config import ExportJob
from edgecnn.convert.export.converters import of_batches
from edgecnn.convert.export.keep_accuracy import check_parity
from edgecnn.convert.export.program_files import describe, described, program_file
from edgecnn.convert.export.thresholds import Outputs, threshold_of
from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite
from edgecnn.edge.data.splits import Split, chunks
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.export_records import Parity, ProgramFile
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import LABELS_NAME, REFERENCE_NAME, Manifest, Preprocessing
from edgecnn.edge.model.interface import SCHEMES
from edgecnn.edge.model.layout import image_layout
from edgecnn.edge.model.preprocess import Floats, Images, to_probabilities
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.text import counted

NAME = "rpicam-apps"
SIDE = 224
# ITU-R 601: as Pillow turns colours into grey, and so edgecnn.
_GREY = (0.299, 0.587, 0.114)
_RESULTS = 3
_HIGH, _LOW = 0.3, 0.1
_STEP_BYTES = 256  # An output byte is so many parts of a probability, and 255ths to the stage.
_PRECISION = "int8"


def write(folder: Path, manifest: Manifest, job: ExportJob) -> list[ProgramFile]:
    """Write `rpicam-apps.tflite` and `rpicam-apps.json`. See `edgecnn.convert.integrations`."""
    require_fit(manifest, job)
    data = _quantized(job, manifest)
    model = opener_for("tflite").open_model(data, 1)
    require_taken(model, len(manifest.class_names))
    name = f"{NAME}{FORMATS['tflite'].suffix}"
    probabilities, labels = _probabilities(model, job.dataset.test), job.dataset.test.labels
    parity = check_parity(name, _PRECISION, probabilities, np.load(folder / REFERENCE_NAME))
    said = describe(manifest, job.config, probabilities, labels)
    said = replace(said, preprocessing=SCHEMES["raw"], output="probabilities")
    (folder / name).write_bytes(described(data, "tflite", said))
    settings = folder / f"{NAME}.json"
    threshold = _threshold(name, model, job)
    text = json.dumps(post_processing(name, len(manifest.class_names), threshold), indent=2)
    settings.write_text(f"{text}\n", encoding="utf-8")
    for line in remarks(name, manifest, parity):
        job.on_step(line)
    source = manifest.source().sha256
    of_model = replace(program_file(folder / name, source, NAME, parity), threshold=threshold)
    return [of_model, program_file(settings, source, NAME)]


def _threshold(name: str, model: LoadedModel, job: ExportJob) -> Threshold | None:
    """Return the threshold of what the stage reads, in its 255ths, if the job asks for one."""
    if job.acceptance is None or job.validation is None or job.dataset.val is None:
        return None
    job.on_step(f"{name}: {counted(job.validation[0].labels, 'validation image')}")

    def run(split: Split) -> Outputs:
        return Outputs(_probabilities(model, split) * np.float32(_STEP_BYTES / 255), None)

    # The stage compares probabilities only, so that strangers choose no score.
    return threshold_of(name, run, replace(job.acceptance, named=0), job.validation, job.dataset.val.sha256)


def post_processing(model: str, classes: int, threshold: Threshold | None = None) -> dict[str, Any]:
    """Return the settings that rpicam-apps reads for a .tflite file. Paths are relative to where the program is started.

    With a threshold, classes below it are never shown, and one class alone is, as the others are no answer.
    """
    high, low = (threshold.least, threshold.least) if threshold else (_HIGH, _LOW)
    return {
        NAME: {"lores": {"width": SIDE, "height": SIDE, "format": "yuv420"}},
        "object_classify_tf": {
            "number_of_results": 1 if threshold else min(_RESULTS, classes),
            "number_of_threads": 1,
            "refresh_rate": 5,
            "threshold_high": high,
            "threshold_low": low,
            "model_file": model,
            "labels_file": LABELS_NAME,
            "display_labels": 1,
            "verbose": 0,
        },
        "annotate_cv": {"text": "", "fg": 255, "bg": 0, "scale": 1.0, "thickness": 2, "alpha": 0.3},
    }


def remarks(name: str, manifest: Manifest, parity: Parity) -> list[str]:
    """Return what to know about the file, a sentence or two each."""
    images = counted(parity.images, "test image")
    found = [f"{name}: the same class as Keras for {parity.same_class:,} of {images}, scaled to {SIDE} x {SIDE}"]
    if manifest.preprocessing.fit == "digit":
        found.append(
            f"{name}: rpicam-apps neither centres a digit nor inverts it, as edgecnn does: show it a light digit on a dark "
            "ground that fills 20/28 of the height"
        )
    short = [label for label in manifest.class_names if {":", ","} & set(label)]
    if short:
        found.append(f"{name}: rpicam-apps shows a name such as {short[0]} only between its colon and its comma")
    return found


def require_taken(model: LoadedModel, classes: int) -> None:
    """Raise ConversionError unless the stage takes a model as we mean it: bytes are pixels, and output bytes are 255ths."""
    entry, output = model.input_spec, model.output_spec
    if (entry.shape, entry.dtype) != ((1, SIDE, SIDE, 3), "uint8") or not entry.quantization:
        raise ConversionError(f"{NAME}: the input is {entry.dtype} {entry.shape}, not uint8 (1, {SIDE}, {SIDE}, 3)")
    if abs(entry.quantization.scales[0] - 1) > 1e-6 or entry.quantization.zero_points != (0,):
        raise ConversionError(f"{NAME}: the input is scaled by {entry.quantization.scales[0]}, not 1")
    if (output.shape, output.dtype) != ((1, classes), "uint8") or not output.quantization:
        raise ConversionError(f"{NAME}: the output is {output.dtype} {output.shape}, not uint8 (1, {classes})")
    if not 1 / 257 < output.quantization.scales[0] < 1 / 254 or output.quantization.zero_points != (0,):
        raise ConversionError(f"{NAME}: the output is scaled by {output.quantization.scales[0]:.4g}, not by 1/256 from 0")


def scaled(images: Images) -> Images:
    """Return images (n, h, w, c) as the stage would pass them, (n, 224, 224, 3): each pixel becomes a rectangle."""
    rows, columns = (np.arange(SIDE) * size // SIDE for size in images.shape[1:3])
    found: Images = np.ascontiguousarray(np.broadcast_to(images[:, rows][:, :, columns], (len(images), SIDE, SIDE, 3)))
    return found


def colour_weights(preprocessing: Preprocessing, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the kernel (1, 1, 3, channels) and bias (channels,) that turn an RGB pixel into the model's numbers."""
    order = np.eye(3)[:, ::-1] if preprocessing.channel_order == "bgr" else np.eye(3)
    mixed = np.array(_GREY)[:, np.newaxis] if channels == 1 else order
    mean, std = (np.broadcast_to(np.array(values), (channels,)) for values in (preprocessing.mean, preprocessing.std))
    kernel = mixed * preprocessing.scale / std
    return kernel[np.newaxis, np.newaxis].astype(np.float32), (-mean / std).astype(np.float32)


def with_front(job: ExportJob, manifest: Manifest) -> Any:
    """Return the Keras model with a front that takes pixels 0 to 255, float32 (1, 224, 224, 3), and gives probabilities."""
    keras = load_keras()
    model, item, _ = of_batches(job.runtime)
    layout = image_layout(job.runtime.input_spec, str(job.source.path))
    height, width, channels = layout.shape
    # Without names of their own, layers get numbers that count up in a process, and each export other bytes.
    # A resize reads four pixels for each of its own: what is scaled down by more is averaged after it.
    rows, columns = max(1, SIDE // height), max(1, SIDE // width)
    image = found = keras.Input((SIDE, SIDE, 3), batch_size=1, name="image")
    if (rows * height, columns * width) != (SIDE, SIDE):
        found = keras.layers.Resizing(rows * height, columns * width, interpolation="bilinear", name="resize")(found)
    if (rows, columns) != (1, 1):
        found = keras.layers.AveragePooling2D((rows, columns), name="average")(found)
    colours = keras.layers.Conv2D(channels, 1, name="colours")
    found = colours(found)
    colours.set_weights(list(colour_weights(manifest.preprocessing, channels)))
    if layout.item != layout.shape:
        found = keras.ops.transpose(found, (0, 3, 1, 2)) if channels > 1 else found
        found = keras.ops.reshape(found, (1, *item))
    found = model(found)
    found = keras.layers.Softmax(name="softmax")(found) if manifest.output == "logits" else found
    return keras.Model(image, found, name="camera")


def require_fit(manifest: Manifest, job: ExportJob) -> None:
    """Raise ConversionError unless the model has an output for each class, and takes float32."""
    spec, classes = job.runtime.output_spec, len(manifest.class_names)
    if spec.shape[-1] != classes:
        raise ConversionError(
            f"{field('targets')}={NAME}: the model has {counted(spec.shape[-1] or 1, 'output')} for {classes} classes, and "
            "rpicam-apps needs one for each: end the model in Dense(2) and softmax, or omit it"
        )
    if job.runtime.input_spec.dtype != "float32":
        raise ConversionError(
            f"{field('targets')}={NAME} takes a model with float32 inputs, not {job.runtime.input_spec.dtype}: move the cast "
            "out of the model, or omit it"
        )


def _quantized(job: ExportJob, manifest: Manifest) -> bytes:
    """Return the model with its front, int8 inside and uint8 at the ends."""
    float32 = to_tflite(with_front(job, manifest), "float32", (SIDE, SIDE, 3), "float32")
    entry = opener_for("tflite").open_model(float32, 1).input_spec.name
    pixels: Floats = scaled(draw_calibration(job.dataset).images).astype(np.float32)
    ranges = {**calibrate_tflite(float32, pixels), entry: (0.0, 255.0)}
    return quantize_tflite(float32, _PRECISION, ranges, io="uint8")


def _probabilities(model: LoadedModel, test: Split) -> Floats:
    """Return the model's probabilities on the test images (n, classes)."""
    raw = [model.run(image[np.newaxis]) for images in chunks(test) for image in scaled(images)]
    return to_probabilities(np.concatenate(raw), model.output_spec)

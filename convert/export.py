"""model.keras -> exported files beside it, each compared with Keras before it is called exported."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from convert.calibrate import choose_calibration
from convert.dataset import Dataset, require_recorded
from convert.keras_runtime import OPENER, load_from_bytes
from convert.parity import check_parity
from convert.to_onnx import ONNX_PRECISIONS, oldest_onnx_runtime, quantize_onnx, to_onnx
from convert.to_tflite import TFLITE_PRECISIONS, oldest_tflite_runtime, to_tflite
from convert.versions import versions
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.files import make_folder, sha256, write_bytes
from edge.manifest import PRECISIONS, Artifact, Manifest, Reference, TensorSpec
from edge.model_file import ModelFile, read_model
from edge.preprocess import Floats, to_input
from edge.runtimes import opener_for

REFERENCE_NAME = "reference.npy"
_PRECISIONS = {"tflite": TFLITE_PRECISIONS, "onnx": ONNX_PRECISIONS}


@dataclass(frozen=True)
class ExportConfig:
    """Which files to write. float32 is always among them: it shows that the conversion itself is right.

    Attributes:
        formats: Of `tflite` and `onnx`.
        precisions: Each must be one that every chosen format has.

    Raises:
        ConfigError: If a format or precision is unknown, or a format does not have a precision.
    """

    formats: tuple[str, ...] = ("tflite", "onnx")
    precisions: tuple[str, ...] = ("float32", "int8")

    def __post_init__(self) -> None:
        for model_format in self.formats:
            if model_format not in _PRECISIONS:
                raise ConfigError(f"--format {model_format} is unknown: use {' or '.join(_PRECISIONS)}")
            for precision in self.precisions:
                if precision not in PRECISIONS:
                    raise ConfigError(f"--quantize {precision} is unknown: use {', '.join(PRECISIONS)}")
                if precision not in _PRECISIONS[model_format]:
                    has = ", ".join(_PRECISIONS[model_format])
                    others = [name for name in self.formats if precision in _PRECISIONS[name]]
                    fix = f"use --format {others[0]} alone" if others else "choose another"
                    raise ConfigError(f"{model_format} has no {precision} (it has {has}): {fix}")

    def files(self) -> list[tuple[str, str]]:
        """Return the (format, precision) pairs to write, float32 of each format first."""
        wanted = [precision for precision in PRECISIONS if precision in ("float32", *self.precisions)]
        return [(model_format, precision) for model_format in self.formats for precision in wanted]


def export(
    model_path: Path,
    dataset: Dataset,
    config: ExportConfig,
    on_step: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write the exported files, `reference.npy` and `manifest.json` beside the Keras model.

    A file appears under its name only after its runtime has loaded its bytes and their outputs on the whole test set
    have been compared with Keras's.

    Args:
        model_path: A .keras file that a manifest lists.
        dataset: The images that it was trained and measured on.
        config: Which files.
        on_step: Gets a line before each step.

    Returns:
        The new manifest; entries of earlier exports that are not written again stay in it.

    Raises:
        ArtifactError: If the model is missing, damaged, or has no manifest.
        ConfigError: If the folder can't be written or the dataset is not the model's.
        ConversionError: If a converter fails or a float file differs from Keras.
        MissingDependency: If a package of the train extra is missing.
    """
    source = read_model(model_path)
    if source.format != "keras":
        raise ConfigError(f"{model_path} is already exported: name a .keras file")
    if source.manifest is None or source.artifact is None:
        raise ArtifactError(
            f"{model_path} has {source.unverified}, so how it takes pixels is unknown: name what edgecnn train wrote"
        )
    require_recorded(source.manifest.dataset, dataset.test)
    if dataset.train.sha256 != source.manifest.dataset.train_sha256:
        raise ConfigError(f"{dataset.source} has not the training images of {model_path}: name theirs with --data")
    folder = model_path.parent
    make_folder(folder)

    export_versions = versions("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim", "onnxruntime", "ai-edge-litert", "numpy")
    on_step(f"Keras on {len(dataset.test.labels):,} test images")
    keras = Classifier(source, OPENER.open_file(source, 1))
    reference = keras.probabilities(dataset.test.images)
    images, calibration = choose_calibration(dataset)
    inputs = to_input(images, keras.table)

    manifest = source.manifest
    model = load_from_bytes(source.data)
    float32_onnx = b""
    used_calibration = False
    files: list[tuple[str, bytes]] = []
    for model_format, precision in config.files():
        name = f"{precision}.{model_format}"
        on_step(f"{name}: convert, load, compare with Keras")
        if model_format == "tflite":
            data = to_tflite(model, precision, inputs)
            oldest = oldest_tflite_runtime(data, precision)
        else:
            data = quantize_onnx(float32_onnx, inputs) if precision == "int8" else to_onnx(model)
            float32_onnx = float32_onnx or data
            oldest = oldest_onnx_runtime(data)
        used_calibration |= precision in ("int8", "int16x8")
        # What the manifest says of the model holds for every file made from it.
        candidate = ModelFile(folder / name, model_format, data, source.manifest, None, None)
        runtime = opener_for(model_format).open_file(candidate, 1)
        probabilities = Classifier(candidate, runtime).probabilities(dataset.test.images)
        parity = check_parity(name, precision, probabilities, reference)
        files.append((name, data))
        specs: tuple[TensorSpec, TensorSpec] = (runtime.input_spec, runtime.output_spec)
        artifact = Artifact(
            model_format, precision, name, len(data), sha256(data), source.artifact.sha256, *specs, oldest, parity
        )
        manifest = manifest.with_artifacts(artifact)

    # Only now, when every file is right: a failed export leaves the earlier one whole.
    for name, data in files:
        write_bytes(folder / name, data)
    provenance = replace(
        manifest.provenance,
        exported=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        export_versions=export_versions,
        calibration=calibration if used_calibration else manifest.provenance.calibration,
    )
    manifest = replace(manifest, provenance=provenance, reference=_write_reference(folder, reference, source, dataset))
    manifest.save(folder)
    return manifest


def _write_reference(folder: Path, probabilities: Floats, source: ModelFile, dataset: Dataset) -> Reference:
    buffer = io.BytesIO()
    np.save(buffer, probabilities, allow_pickle=False)
    data = buffer.getvalue()
    write_bytes(folder / REFERENCE_NAME, data)
    return Reference(REFERENCE_NAME, sha256(data), sha256(source.data), dataset.test.sha256)

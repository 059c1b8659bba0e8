"""model.keras -> exported files beside it, each compared with Keras before it is called exported."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np

from convert.calibrate import calibration_methods
from convert.candidates import Candidates, Judge
from convert.dataset import Dataset, require_recorded
from convert.keras_runtime import KerasRuntime, keras_opener
from convert.own_model import needed_modules
from convert.targets import Target, parse_targets
from convert.to_onnx import ONNX_PRECISIONS
from convert.to_tflite import TFLITE_PRECISIONS
from convert.versions import versions
from edge.classifier import Classifier
from edge.errors import ArtifactError, ConfigError
from edge.files import make_folder, sha256, write_bytes
from edge.interface import Interface
from edge.manifest import MANIFEST_NAME, PRECISIONS, SCHEMA, Artifact, Manifest, Provenance, Reference, is_foreign
from edge.metrics import correct
from edge.model_file import ModelFile, read_model
from edge.preprocess import Floats

MODEL_NAME = "model.keras"
REFERENCE_NAME = "reference.npy"
BATCHES = ("1", "dynamic")
_CONVERTERS = ("tf2onnx", "onnx", "onnxslim", "onnxruntime", "ai-edge-litert", "litert-quantizer")
_PRECISIONS = {"tflite": TFLITE_PRECISIONS, "onnx": ONNX_PRECISIONS}


@dataclass(frozen=True)
class ExportConfig:
    """Which files to write. float32 is always among them: it shows that the conversion itself is right.

    Attributes:
        formats: Of `tflite` and `onnx`.
        precisions: Each must be one that every chosen format has.
        calibration: How ranges are taken from activations; None is minmax.
        runtimes: What the files are for, as `tflite-runtime==2.14` or `onnxruntime`, at most one for each format.
        batch: Images that one call of a file takes: `1`, or `dynamic` for any number.

    Raises:
        ConfigError: If a format, precision, runtime or batch is unknown, or a format does not have a precision.
    """

    formats: tuple[str, ...] = ("tflite", "onnx")
    precisions: tuple[str, ...] = ("float32", "int8")
    calibration: str | None = None
    runtimes: tuple[str, ...] = ()
    batch: str = "1"

    def __post_init__(self) -> None:
        if self.batch not in BATCHES:
            raise ConfigError(f"--batch {self.batch} is unknown: use {' or '.join(BATCHES)}")
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
        self.methods()
        self.targets()

    def files(self) -> list[tuple[str, str]]:
        """Return the (format, precision) pairs to write, float32 of each format first."""
        wanted = [precision for precision in PRECISIONS if precision in ("float32", *self.precisions)]
        return [(model_format, precision) for model_format in self.formats for precision in wanted]

    @property
    def any_batch(self) -> bool:
        """Whether the files take any number of images at a time."""
        return self.batch == "dynamic"

    def methods(self) -> dict[str, str]:
        """Return how each format's ranges are taken from activations."""
        return calibration_methods(self.calibration, self.formats)

    def targets(self) -> dict[str, Target]:
        """Return the runtime that a format's files are for, where one was named."""
        return parse_targets(self.runtimes, self.formats)


def export(
    model_path: Path,
    dataset: Dataset,
    config: ExportConfig,
    interface: Interface | None = None,
    out: Path | None = None,
    trust: tuple[str, ...] = (),
    judge: Judge | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write the exported files, `reference.npy` and `manifest.json` beside the Keras model.

    A file appears under its name only after its runtime has loaded its bytes and their outputs on the whole test set
    have been compared with Keras's. A model without a manifest was trained elsewhere: it is copied into a folder of its
    own, as `model.keras`, and gets a manifest there.

    Args:
        model_path: A .keras file.
        dataset: Its data: test images to compare on, training images to calibrate with. Read a few images at a time.
        config: What to write.
        interface: How the model takes pixels and what it gives, if it has no manifest.
        out: Where to, if it has no manifest. Default: artifacts/ and the file's name.
        trust: Names of modules whose code the model needs.
        judge: Layers of a quantised file that it does not pass go back to float until it does. None to take them as they come.
        on_step: Gets a line for each step.

    Returns:
        The new manifest.

    Raises:
        ArtifactError: If the model is missing, damaged or no image classifier, or does not give what it should.
        ConfigError: If a folder can't be written, the dataset is not the model's, or the interface is missing or not needed.
        ConversionError: If a converter fails, a float file differs from Keras, or a file asks for more than its target has.
        GateFailed: If a quantised file can't be made accurate enough; nothing is written then.
        MissingDependency: If a package of the train extra is missing.
    """
    source = read_model(model_path)
    if source.format != "keras":
        raise ConfigError(f"{model_path} is already exported: name a .keras file")
    runtime = cast(KerasRuntime, keras_opener(trust).open_file(source, 1))
    if interface and not interface.class_names:
        interface = replace(interface, class_names=dataset.class_names)
    keras = Classifier(source, runtime, interface)
    if source.manifest:
        if out:
            raise ConfigError(f"{model_path} has a manifest, and its exports go beside it: leave --out away")
        folder, manifest = model_path.parent, source.manifest
    else:
        folder = out or Path("artifacts") / model_path.stem
        manifest = _first_manifest(source, keras, dataset, trust, folder)
    _require_fit(keras, dataset, manifest, model_path)
    if config.any_batch and keras.batch is not None:
        raise ConfigError(f"{model_path} takes one image at a time: build it with a free batch, or leave --batch dynamic away")
    make_folder(folder)

    export_versions = versions("tensorflow", "keras", *_CONVERTERS, "numpy")
    on_step(f"Keras on {len(dataset.test.labels):,} test images")
    reference = keras.split_probabilities(dataset.test)
    if judge and not judge.passes(reference, reference, dataset.test.labels):
        raise ConfigError(
            f"{len(reference):,} test images can't show a loss of at most {judge.max_drop_points:g} points, even of a file "
            "that loses nothing: give more images, or allow more with --keep-accuracy"
        )
    terms = config.methods(), config.targets(), config.any_batch
    candidates = Candidates(manifest, folder, dataset, keras, runtime, reference, *terms, judge, on_step)
    made = [candidates.make(model_format, precision) for model_format, precision in config.files()]

    # Only now, when every file is right: a failed export leaves the earlier one whole.
    if not source.manifest:
        write_bytes(folder / MODEL_NAME, source.data)
    for artifact, data in made:
        write_bytes(folder / artifact.path, data)
    provenance = replace(
        manifest.provenance,
        exported=_now(),
        export_versions=export_versions,
        calibration=candidates.calibrator.record(manifest.provenance.calibration),
    )
    written = _write_reference(folder, reference, source, dataset)
    manifest = replace(manifest, provenance=provenance, reference=written).with_artifacts(*(artifact for artifact, _ in made))
    manifest.save(folder)
    return manifest


def _require_fit(keras: Classifier, dataset: Dataset, manifest: Manifest, model_path: Path) -> None:
    if keras.batch and keras.batch > 1:
        raise ArtifactError(
            f"{model_path} takes {keras.batch} images at a time, no more and no less: build it without batch_size"
        )
    if keras.shape != dataset.train.shape:
        raise ConfigError(
            f"{model_path} takes images of {keras.shape}, {dataset.name} has {dataset.train.shape}: name others with --data"
        )
    if dataset.fit not in (None, keras.preprocessing.fit):
        raise ConfigError(
            f"{dataset.name} was fitted by {dataset.fit}, and {model_path} is said to take {keras.preprocessing.fit}: "
            "say the same --fit of both"
        )
    classes = len(dataset.class_names)
    if len(keras.class_names) != classes:
        raise ConfigError(
            f"{model_path} has {len(keras.class_names)} classes, {dataset.name} {classes}: name its data with --data, "
            "or all its classes with --labels"
        )
    require_recorded(manifest.dataset, dataset.test)
    if dataset.train.sha256 != manifest.dataset.train_sha256:
        raise ConfigError(f"{dataset.source} has not the training images of {model_path}: name theirs with --data")


def _first_manifest(source: ModelFile, keras: Classifier, dataset: Dataset, trust: tuple[str, ...], folder: Path) -> Manifest:
    """Return the manifest of a model that was trained elsewhere: that of an earlier export of it, as long as it holds."""
    digest, runtime = sha256(source.data), keras.runtime
    specs = (runtime.input_spec, runtime.output_spec)
    provenance = Provenance(
        created=_now(),
        exported=None,
        seed=0,
        train_config={},
        versions=_saved_with(source.data),
        export_versions={},
        calibration=None,
    )
    manifest = Manifest(
        schema=SCHEMA,
        class_names=keras.class_names,
        preprocessing=keras.preprocessing,
        output=keras.interface.output,
        trusted=needed_modules(source.data, trust),
        dataset=dataset.record(),
        provenance=provenance,
        reference=None,
        artifacts=(Artifact("keras", "float32", MODEL_NAME, len(source.data), digest, None, *specs, None, None),),
    )
    if is_foreign(folder):
        raise ConfigError(f"{folder / MANIFEST_NAME} is not edgecnn's: name another folder with --out")
    if (folder / MANIFEST_NAME).exists():
        earlier = Manifest.load(folder)
        if earlier.provenance.train_config:
            raise ConfigError(f"{folder} has a model that edgecnn trained: name another folder with --out")
        same = replace(earlier, provenance=provenance, reference=None, artifacts=manifest.artifacts) == manifest
        if earlier.keras_model().sha256 == digest:
            # On other terms, what was exported on the former ones is vouched for no more.
            return earlier if same else manifest
        # Files that were exported from another model stay, and loading one says that it is stale.
        return manifest.with_artifacts(*(artifact for artifact in earlier.artifacts if artifact.format != "keras"))
    return manifest


def _saved_with(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {"keras": str(json.loads(archive.read("metadata.json"))["keras_version"])}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _write_reference(folder: Path, probabilities: Floats, source: ModelFile, dataset: Dataset) -> Reference:
    buffer = io.BytesIO()
    np.save(buffer, probabilities, allow_pickle=False)
    data = buffer.getvalue()
    write_bytes(folder / REFERENCE_NAME, data)
    right = int(correct(probabilities, dataset.test.labels).sum())
    return Reference(REFERENCE_NAME, sha256(data), sha256(source.data), dataset.test.sha256, len(probabilities), right)

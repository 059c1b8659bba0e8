"""Writes a folder's int8 TFLite file as C++ sources for tflite-micro, after comparing the two runtimes on every test image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import ExportJob
from edgecnn.convert.export.program_files import program_file
from edgecnn.convert.integrations import PROGRAMS
from edgecnn.convert.integrations.micro_interpreter import micro_version, run_micro, smallest_arena
from edgecnn.convert.integrations.micro_records import MicroAgreement, MicroRecord, registrations, require_aligned
from edgecnn.convert.integrations.micro_sources import MicroModel, readme, sources
from edgecnn.edge.data.splits import Labels, Split, chunks
from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest, TensorSpec
from edgecnn.edge.model.preprocess import input_table
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.records import to_json
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.text import counted

_GOLDEN_IMAGES, _GOLDEN_BYTES = 8, 2**16
# Reference kernels take milliseconds an image, a thousand times as many for a large one, and a child process gets 120 s.
_CHUNK = 500


@dataclass(frozen=True, eq=False)
class _Measured:
    """Outputs int8 or uint8 (n, classes) of each runtime, and the arena in bytes."""

    arena_bytes: int
    micro: NDArray[Any]
    reference: NDArray[Any]
    litert: NDArray[Any]


def write(folder: Path, manifest: Manifest, job: ExportJob) -> Sequence[ProgramFile]:
    """See `edgecnn.convert.integrations`."""
    program = PROGRAMS["tflite-micro"]
    model = read_model(folder / FORMATS[program.format].file_name(program.precision), manifest)
    texts, record = micro_files(model, job.dataset.test, job.folder.resolve().name, job.on_step)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    job.on_step(
        f"{record.file} in tflite-micro: {record.correct:,} of {counted(record.images, manifest.dataset.kind)} right, "
        f"LiteRT's class for {record.compared[0].same_class:,}, arena {record.arena_bytes:,} bytes: micro_README.md"
    )
    return [program_file(folder / name, record.sha256, program.name) for name in texts]


def micro_files(
    model: ModelFile, test: Split, name: str, on_progress: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, str], MicroRecord]:
    """Return the text of each file for a .tflite file that a manifest lists, and what was measured on its test images.

    The name is that of the namespace.

    Raises:
        ConversionError: If tflite-micro lacks an operator or can't run the file, its numbers are not aligned, or its input or
            output is not of 8 bits.
        ArtifactError: If the file crashes the process that runs it.
        MissingDependency: If LiteRT is not installed.
    """
    version = micro_version()
    methods = registrations(model.data, str(model.path))
    require_aligned(model.data, str(model.path))
    classifier = Classifier(model, opener_for("litert").open_file(model, 1))
    specs = classifier.runtime.input_spec, classifier.runtime.output_spec
    step, zero_point = _require_bytes(model, classifier, specs)
    measured = _measure(model, classifier, test, on_progress)
    indices, inputs = _golden(classifier, test)
    record = _record(model, version, methods, step, measured, test.labels, classifier.runtime_text, len(indices))
    micro = MicroModel(
        name=name,
        record=record,
        data=model.data,
        shape=classifier.shape,
        class_names=classifier.class_names,
        table=input_table(classifier.preprocessing, specs[0]),
        inputs=inputs,
        outputs=measured.micro[indices],
        zero_point=zero_point,
        threshold=classifier.threshold,
        logits=classifier.interface.output == "logits",
    )
    kind = model.manifest.dataset.kind if model.manifest else "image"
    others = {"micro_README.md": readme(record, micro.namespace, kind), "micro_measured.json": to_json(record)}
    return sources(micro) | others, record


def _require_bytes(model: ModelFile, classifier: Classifier, specs: tuple[TensorSpec, TensorSpec]) -> tuple[float, int]:
    """Return scale and zero point of the output, if input and output are 8-bit integers of one image."""
    for spec, what in zip(specs, ("input", "output"), strict=True):
        if spec.dtype not in ("int8", "uint8") or (what == "output" and spec.quantization is None):
            fix = f"export {field('precisions')}=int8 with {field('io')}=int8 or uint8"
            raise ConversionError(f"{model.path}: its {what} is {spec.dtype}, and the sources are for 8 bits: {fix}")
    if (outputs := specs[1].shape[-1]) != len(classifier.class_names):
        many = f"{counted(outputs or 1, 'output')} for {counted(classifier.class_names, 'class')}"
        fix = "end the model in Dense(2) and softmax"
        raise ConversionError(f"{model.path.name} has {many}, and the sources need one for each: {fix}")
    if classifier.batch not in (0, 1):
        raise ConversionError(f"{model.path} does not take one image at a time: export it with {field('batch')}=1")
    quantization = specs[1].quantization
    assert quantization is not None  # noqa: S101  # As checked.
    return quantization.scales[0], quantization.zero_points[0]


def _measure(model: ModelFile, classifier: Classifier, test: Split, on_progress: Callable[[str], None]) -> _Measured:
    """Run every test image with tflite-micro, LiteRT's reference kernels and LiteRT."""
    arena = smallest_arena(model.data, str(model.path), classifier.singles(test.images([0]))[0])
    parts: list[tuple[NDArray[Any], ...]] = []
    for images in chunks(test, _CHUNK, lambda done, of: on_progress(f"tflite-micro on {done:,} of {of:,} test images")):
        calls = classifier.singles(images)
        litert = np.stack([classifier.runtime.run(call) for call in calls])
        parts.append((*run_micro(model.data, str(model.path), calls), litert))
    rows = (np.concatenate([outputs.reshape(len(outputs), -1) for outputs in of_one]) for of_one in zip(*parts, strict=True))
    return _Measured(arena, *rows)


def _golden(classifier: Classifier, test: Split) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the indices of a few test images, spread over the split, and their inputs (n, numbers)."""
    size = int(np.prod(classifier.shape))
    count = min(len(test.labels), max(2, min(_GOLDEN_IMAGES, _GOLDEN_BYTES // size)))
    indices = np.linspace(0, len(test.labels) - 1, count).round().astype(np.int64)
    return indices, np.stack(classifier.singles(test.images(indices))).reshape(count, -1)


def _record(
    model: ModelFile,
    version: str,
    methods: tuple[str, ...],
    step: float,
    measured: _Measured,
    labels: Labels,
    litert: str,
    golden: int,
) -> MicroRecord:
    assert model.artifact is not None  # noqa: S101  # The caller names a file of a manifest.
    kernels = ((litert, measured.litert), (f"{litert}, reference kernels", measured.reference))
    return MicroRecord(
        file=model.path.name,
        sha256=model.artifact.sha256,
        size_bytes=len(model.data),
        runtime=version,
        arena_bytes=measured.arena_bytes,
        operators=methods,
        step=step,
        images=len(labels),
        correct=_correct(measured.micro, labels),
        compared=tuple(_agreement(name, measured.micro, other, labels) for name, other in kernels),
        golden=golden,
    )


def _agreement(kernels: str, micro: NDArray[Any], other: NDArray[Any], labels: Labels) -> MicroAgreement:
    differences = np.abs(micro.astype(np.int16) - other.astype(np.int16)).max(axis=1)
    return MicroAgreement(
        kernels=kernels,
        equal_rows=int((differences == 0).sum()),
        same_class=int((micro.argmax(axis=1) == other.argmax(axis=1)).sum()),
        largest_steps=int(differences.max()),
        correct=_correct(other, labels),
    )


def _correct(outputs: NDArray[Any], labels: Labels) -> int:
    return int((outputs.argmax(axis=1) == labels).sum())

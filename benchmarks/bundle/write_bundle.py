"""Writes a bundle of a folder's files, with the images and outputs that prove them on another machine."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.bundle.golden import golden_images, raw_outputs
from edgecnn.benchmarks.machine.host import read_machine
from edgecnn.edge.archive import (
    GOLDEN_IMAGES_NAME,
    INDEX_NAME,
    SCHEMA,
    TEST_IMAGES_NAME,
    TEST_LABELS_NAME,
    Index,
    golden_name,
    write_member,
)
from edgecnn.edge.data.splits import Split, Subset, chunks
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.export_records import ProgramFile, Reference
from edgecnn.edge.files import sha256, staged, temporary_folder
from edgecnn.edge.inference.answer_mix import ExpectedAnswers, expected_answers
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import load_reference
from edgecnn.edge.manifest import MANIFEST_NAME, REFERENCE_NAME, Manifest
from edgecnn.edge.model.preprocess import Floats, Images, correct
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import to_json
from edgecnn.edge.result import Result
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.text import counted

_MOST_ANSWERED = 5000
"""Most test images whose answers are counted: a large model takes minutes for more, and smaller differences say little."""


@dataclass(frozen=True, repr=False)
class Bundled(Result):
    """A bundle that was written.

    Attributes:
        path: Path of the bundle.
        size_bytes: Size in bytes.
        sha256: SHA-256 of the file.
        models: Names of the model files in it.
        images: Number of test images.
        golden: Number of golden vectors of each model.
        golden_runtimes: Package and version that computed them, for each model.
        signature: Path of its signature, or None.
    """

    path: str
    size_bytes: int
    sha256: str
    models: tuple[str, ...]
    images: int
    golden: int
    golden_runtimes: dict[str, str]
    signature: str | None = None


def write_bundle(
    path: Path,
    folder: ModelFolder,
    test: Split,
    models: Sequence[str] = (),
    *,
    test_images: int | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Bundled:
    """Write a folder's exported files, its manifest, labels, test images, reference and golden vectors into one file.

    The same input gives the same bytes: members have fixed names, order and times, and the golden outputs are those of
    one thread.

    Args:
        path: The .zip file, written whole or not at all.
        folder: A folder with a manifest.
        test: The manifest's test images, as checked by the caller.
        models: Names of the files to include; an empty list means all exported files.
        test_images: Number of test images to include, spread evenly; None means all.
        on_progress: Called with the next step.

    Raises:
        ConfigError: If a named file does not exist, `test_images` is out of range, or the bundle can't be written.
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        MissingDependency: If a runtime is not installed: golden outputs can't be made without it.
    """
    manifest = _require_folder(folder)
    stored = load_reference(folder.path, manifest, test.labels)
    chosen = _chosen(folder.path, manifest, models)
    kept = _kept(len(test.labels), test_images)
    split, vectors = Subset(test, kept), golden_images(test)
    with temporary_folder() as scratch:
        on_progress(f"packing {counted(kept, 'test image')}")
        _write_images(split, scratch)
        np.save(scratch / REFERENCE_NAME, stored[kept])
        np.save(scratch / GOLDEN_IMAGES_NAME, vectors)
        ran = {}
        for name in chosen:
            on_progress(f"computing the golden outputs of {name}, and its answers")
            ran[name] = _run(folder.model(name), vectors, split, scratch / golden_name(name))
        others = _write_others(folder, manifest, scratch)
        _manifest_of(manifest, chosen, others, split, stored[kept], scratch / REFERENCE_NAME).save(scratch)
        on_progress(f"writing {path}")
        with staged(path) as part:
            _write_archive(part, scratch, folder.path, ran, others)
    data = path.read_bytes()
    runtimes = {name: runtime for name, (runtime, _) in ran.items()}
    return Bundled(str(path), len(data), sha256(data), chosen, len(kept), len(vectors), runtimes)


def _require_folder(folder: ModelFolder) -> Manifest:
    if folder.manifest is None or folder.bundle:
        raise ConfigError(f"{folder.named} is not a folder with a manifest: name one")
    return folder.manifest


def _kept(count: int, wanted: int | None) -> NDArray[np.int64]:
    """Return the indices of the test images that are taken, evenly over all `count` of them."""
    if wanted is not None and not 1 <= wanted <= count:
        raise ConfigError(f"{field('test_images')} must be 1 to {count}, the number of test images, got {wanted}")
    return np.linspace(0, count - 1, wanted or count).round().astype(np.int64)


def _run(model: ModelFile, vectors: Images, split: Split, path: Path) -> tuple[str, ExpectedAnswers]:
    """Write what a file computes of the golden images; return what ran it, and its answers for the test images."""
    classifier = Classifier(model, opener_for(model.format).open_file(model, 1))
    np.save(path, raw_outputs(classifier, vectors))
    answered = Subset(split, _kept(len(split.labels), min(len(split.labels), _MOST_ANSWERED)))
    expected = expected_answers(model.path.name, classifier.split_probabilities(answered))
    return f"{classifier.runtime.name} {classifier.runtime.version}", expected


def _write_others(folder: ModelFolder, manifest: Manifest, scratch: Path) -> tuple[ProgramFile, ...]:
    """Copy the files that any program reads, and return their records."""
    others = tuple(file for file in manifest.for_programs if file.program is None)
    for file in others:
        (scratch / file.path).write_bytes(folder.program_file(file))
    return others


def _manifest_of(
    manifest: Manifest, chosen: Sequence[str], others: tuple[ProgramFile, ...], split: Subset, stored: Floats, file: Path
) -> Manifest:
    """Return the manifest of a bundle: with the chosen models and other files, its images and the reference's outputs.

    `stored` are the outputs for these images, float32 (n, classes), which are in `file`.
    """
    source, images = manifest.source(), manifest.dataset
    learnt = tuple(np.flatnonzero(np.isin(split.indices, images.learnt)).tolist())
    return replace(
        manifest,
        # The pixels are now an array, whatever they were before.
        dataset=replace(images, test_sha256=split.sha256, learnt=learnt, fitted=None, split_off=None, test_list=()),
        reference=Reference(
            path=file.name,
            sha256=sha256(file.read_bytes()),
            source_sha256=source.sha256,
            test_sha256=split.sha256,
            images=len(split.labels),
            correct=int(correct(stored, split.labels).sum()),
            doubtful=manifest.reference.doubtful if manifest.reference else None,
        ),
        artifacts=(source, *(artifact for artifact in manifest.artifacts if artifact.path in chosen)),
        for_programs=others,
    )


def _write_archive(
    path: Path, scratch: Path, folder: Path, ran: dict[str, tuple[str, ExpectedAnswers]], others: Sequence[ProgramFile]
) -> None:
    """Write the members in a fixed order, the index of them last.

    Args:
        path: The bundle.
        scratch: Folder with the files made for it.
        folder: Folder with the models.
        ran: What ran each model, and its answers for the test images.
        others: Records of the files for other programs, among those made for it.
    """
    golden = [golden_name(name) for name in ran]
    made = (MANIFEST_NAME, REFERENCE_NAME, GOLDEN_IMAGES_NAME, *golden, TEST_IMAGES_NAME, TEST_LABELS_NAME)
    with zipfile.ZipFile(path, "w") as archive:
        members = {name: write_member(archive, name, scratch / name) for name in (*made, *(file.path for file in others))}
        members |= {name: write_member(archive, name, folder / name) for name in ran}
        machine, runtimes = read_machine(), {name: runtime for name, (runtime, _) in ran.items()}
        expected = tuple(answers for _, answers in ran.values())
        index = Index(SCHEMA, members, runtimes, f"{machine.cpu}, {machine.machine}", expected)
        (scratch / INDEX_NAME).write_text(to_json(index), encoding="utf-8")
        write_member(archive, INDEX_NAME, scratch / INDEX_NAME)


def _chosen(folder: Path, manifest: Manifest, models: Sequence[str]) -> tuple[str, ...]:
    exported = [artifact.path for artifact in manifest.exported]
    if not exported:
        raise ConfigError(f"{folder} has no exported file: run edgecnn export {folder / manifest.source().path}")
    for name in models:
        if name not in exported:
            raise ConfigError(f"{folder} has no exported file {name}: it has {', '.join(exported)}")
    return tuple(name for name in exported if name in models or not models)


def _write_images(split: Subset, folder: Path) -> None:
    """Write the labels, and the images as numpy.save does, a chunk in memory at a time."""
    np.save(folder / TEST_LABELS_NAME, split.labels.astype("<i8"))
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split.labels), *split.shape)}
    with (folder / TEST_IMAGES_NAME).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for images in chunks(split):
            file.write(images.tobytes())

"""Making a bundle of a folder's files, with the images and outputs that prove them on another machine."""

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.golden import golden_images, raw_outputs
from benchmarks.host import read_machine
from benchmarks.lineup import load_reference
from edge.bundle import (
    GOLDEN_IMAGES_NAME,
    IMAGES_NAME,
    INDEX_NAME,
    LABELS_NAME,
    REFERENCE_NAME,
    SCHEMA,
    Index,
    Member,
    golden_name,
    write_member,
)
from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.files import sha256, staged
from edge.manifest import MANIFEST_NAME, Manifest, Reference
from edge.metrics import correct
from edge.records import to_json
from edge.splits import Split, Subset, chunks


@dataclass(frozen=True)
class Bundled:
    """A bundle that was written.

    Attributes:
        path: The file.
        size_bytes: Its size.
        sha256: Of its bytes.
        models: Names of the model files in it.
        images: How many test images.
        golden: How many golden vectors each model has.
        golden_runtimes: What computed them, for each model.
    """

    path: str
    size_bytes: int
    sha256: str
    models: tuple[str, ...]
    images: int
    golden: int
    golden_runtimes: dict[str, str]


def write_bundle(
    path: Path,
    folder: Path,
    test: Split,
    models: Sequence[str] = (),
    images: int | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Bundled:
    """Write a folder's exported files, its manifest, test images, reference and golden vectors into one file.

    The same input gives the same bytes: members have fixed names, order and times, and the golden outputs are those of
    one thread.

    Args:
        path: The .zip file, written whole or not at all.
        folder: With a manifest.
        test: The manifest's test images; the caller has checked that they are.
        models: Names of the files to take; none are all that were exported.
        images: How many test images to take, evenly over all of them; None is all.
        on_progress: Gets what is done next.

    Raises:
        ConfigError: If a named file is not there, `images` is out of range, or the bundle can't be written.
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        MissingDependency: If a runtime is not installed: golden outputs can't be made without it.
    """
    manifest = Manifest.load(folder)
    stored = load_reference(folder, manifest)
    chosen = _chosen(folder, manifest, models)
    count = len(test.labels)
    if images is not None and not 1 <= images <= count:
        raise ConfigError(f"--images must be 1 to {count}, the number of test images, got {images}")
    kept = np.linspace(0, count - 1, images or count).round().astype(np.int64)
    split, stored = Subset(test, kept), stored[kept]
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as temporary:
        scratch = Path(temporary)
        on_progress(f"packing {len(kept):,} test images")
        _write_images(split, scratch / IMAGES_NAME)
        np.save(scratch / LABELS_NAME, split.labels.astype("<i8"))
        np.save(scratch / REFERENCE_NAME, stored)
        vectors = golden_images(test)
        np.save(scratch / GOLDEN_IMAGES_NAME, vectors)
        runtimes = {}
        for name in chosen:
            on_progress(f"computing the golden outputs of {name}")
            classifier = Classifier.load(folder / name)
            np.save(scratch / golden_name(name), raw_outputs(classifier, vectors))
            runtimes[name] = f"{classifier.runtime.name} {classifier.runtime.version}"
        reference = Reference(
            path=REFERENCE_NAME,
            sha256=sha256((scratch / REFERENCE_NAME).read_bytes()),
            source_sha256=manifest.keras_model().sha256,
            test_sha256=split.sha256,
            images=len(kept),
            correct=int(correct(stored, split.labels).sum()),
        )
        replace(
            manifest,
            # The pixels are an array now, whatever they were.
            dataset=replace(manifest.dataset, test_sha256=split.sha256, shape=None, fit=None, test_share=None, split_seed=None),
            reference=reference,
            artifacts=(manifest.keras_model(), *(artifact for artifact in manifest.artifacts if artifact.path in chosen)),
        ).save(scratch)
        on_progress(f"writing {path}")
        with staged(path) as part, zipfile.ZipFile(part, "w") as archive:
            members: dict[str, Member] = {}
            for name in (
                MANIFEST_NAME,
                REFERENCE_NAME,
                GOLDEN_IMAGES_NAME,
                *map(golden_name, chosen),
                IMAGES_NAME,
                LABELS_NAME,
            ):
                members[name] = write_member(archive, name, scratch / name)
            for name in chosen:
                members[name] = write_member(archive, name, folder / name)
            machine = read_machine()
            index = Index(SCHEMA, members, runtimes, f"{machine.cpu}, {machine.machine}")
            (scratch / INDEX_NAME).write_text(to_json(index), encoding="utf-8")
            write_member(archive, INDEX_NAME, scratch / INDEX_NAME)
    data = path.read_bytes()
    return Bundled(str(path), len(data), sha256(data), chosen, len(kept), len(vectors), runtimes)


def bundled_text(result: Bundled) -> str:
    """Return what was written, in three lines."""
    return (
        f"{result.path}: {', '.join(result.models)}, {result.images:,} test images, {result.golden} golden vectors of each; "
        f"{result.size_bytes / 2**20:.1f} MiB\n"
        f"sha256 {result.sha256}\n"
        f"On the device: edgecnn verify {Path(result.path).name}    Next: edgecnn bench {Path(result.path).name}"
    )


def _chosen(folder: Path, manifest: Manifest, models: Sequence[str]) -> tuple[str, ...]:
    exported = [artifact.path for artifact in manifest.artifacts if artifact.format != "keras"]
    if not exported:
        raise ConfigError(f"{folder} has no exported file: run edgecnn export {folder / manifest.keras_model().path}")
    for name in models:
        if name not in exported:
            raise ConfigError(f"{folder} has no exported file {name}: it has {', '.join(exported)}")
    return tuple(name for name in exported if name in models or not models)


def _write_images(split: Subset, path: Path) -> None:
    """Write the images as numpy.save does, a chunk in memory at a time."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split.labels), *split.shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for images in chunks(split):
            file.write(images.tobytes())

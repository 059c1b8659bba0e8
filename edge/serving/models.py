"""The model files that a server answers with, opened and checked once."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.errors import field as named
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.inference.answer_mix import ExpectedAnswers
from edgecnn.edge.inference.classifier import Classifier, Prediction
from edgecnn.edge.model.interface import formula
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.model_file import ModelFile, bundle_of
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.decoder import Rule
from edgecnn.edge.serving.logs import log

MOST_BYTES = 2**25
"""Largest body of a request in bytes: a few photos of 50 megapixels as JPEG."""
MOST_PICTURES = 16
"""Most pictures in one request."""
LIMITS = {"body_bytes": MOST_BYTES, "pictures": MOST_PICTURES}
"""What the page must know of them."""
Check = Callable[[Path, Classifier], object]
"""Sees an opened file, by its path and as a classifier; raises ArtifactError if it is not to answer."""


@dataclass(frozen=True)
class LastVerdict:
    """What the last benchmark of a folder said.

    Attributes:
        status: PASS, FAIL, UNDECIDED or INVALID.
        text: The recommendation, in a sentence.
        measured: When it was measured, as ISO 8601 in UTC.
        machine: CPU and board that measured.
        current: Whether the files are still those that were measured.
        files: Status of each measured file.
    """

    status: str
    text: str
    measured: str
    machine: str
    current: bool
    files: dict[str, str]


@dataclass(frozen=True)
class FileDescription:
    """What a client sees of a model file.

    Attributes:
        name: Name of the file, without its folder.
        format: A name in `edgecnn.edge.formats.FORMATS`.
        precision: Precision by its manifest; None for a file without one.
        size_bytes: Size of the file in bytes.
        sha256: Its hash, as hexadecimal digits.
        runtime: Package and version that runs it.
        unverified: Why it is unverified; None if a manifest lists it.
    """

    name: str
    format: str
    precision: str | None
    size_bytes: int
    sha256: str
    runtime: str
    unverified: str | None


@dataclass(frozen=True)
class LoadedFile:
    """A model file that answers.

    Attributes:
        about: What a client sees of it.
        classifier: The opened file.
        expected: What it answered for the test images; None if no bundle says it.
    """

    about: FileDescription
    classifier: Classifier
    expected: ExpectedAnswers | None = None
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self.about.name

    @property
    def rule(self) -> Rule:
        """How pictures are fitted to it."""
        return Rule(self.classifier.shape, self.classifier.preprocessing)

    def timed(self, image: Images) -> tuple[Prediction, int]:
        """Return the answer to a uint8 image (h, w, c), and the nanoseconds that it took.

        One image is computed at a time; waiting for another one's turn is not part of the time.

        Raises:
            ArtifactError: If the runtime fails, or the output is no probabilities.
        """
        with self._lock:
            start_ns = time.perf_counter_ns()
            answer = self.classifier.predict(image)
            return answer, time.perf_counter_ns() - start_ns


@dataclass(frozen=True)
class Models:
    """All that one server answers with.

    Attributes:
        name: Name of the folder, bundle or file, without its path.
        files: The files, of which all have the same classes.
        skipped: Reason for each file that can't run here.
        verdict: LastVerdict of the last benchmark; None if there was none.
        path: Path of the first folder, bundle or file.
        bundle_sha256: SHA-256 of the bundle, if it is one; else None.
        picture: A picture in the format PPM or PGM that is an image of the first file: a bundle's first golden image, or black.
    """

    name: str
    files: tuple[LoadedFile, ...]
    skipped: dict[str, str]
    verdict: LastVerdict | None
    path: str
    bundle_sha256: str | None
    picture: bytes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.files[0].classifier.class_names

    @property
    def reference(self) -> str | None:
        """Name of the float file that the others are compared with; None without one."""
        return next((file.name for file in self.files if file.about.precision == "float32"), None)

    def describe(self) -> dict[str, Any]:
        """Return what the page and clients need to know, for JSON. It has no path of this machine."""
        first = self.files[0].classifier
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "shape": list(first.shape),
            "draws": first.preprocessing.fit == "digit",
            "preprocessing": "; ".join(dict.fromkeys(formula(file.classifier.preprocessing) for file in self.files)),
            # Doubts may come with a picture.
            "files": [{**vars(file.about), "doubts": file.classifier.doubts} for file in self.files],
            "skipped": self.skipped,
            "reference": self.reference,
        }


@dataclass(frozen=True)
class ModelSource:
    """Where the files come from and how they are opened.

    Attributes:
        targets: Folders, bundles or files, at least one.
        open_file: Opens a file.
        verdict_of: Returns the verdict of a folder's last benchmark.
        trust_unverified: Whether files are served that no manifest lists.
    """

    targets: tuple[str | Path, ...]
    open_file: Callable[[ModelFile], Classifier]
    verdict_of: Callable[[ModelFolder], LastVerdict | None]
    trust_unverified: bool = False

    def load(self, check: Check | None = None) -> Models:
        """Open all files, and have `check` see each of them, if there is one.

        Raises:
            ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
            ConfigError: If a file is unverified, two have the same name or other classes, or settings don't fit.
            MissingDependency: If nothing can run here.
        """
        with ExitStack() as stack:
            targets = [_resolved(Path(target)) for target in self.targets]
            bundle = bundle_of(targets[0])
            identity = bundle and _identity(bundle)
            folders = [stack.enter_context(ModelFolder(target)) for target in targets]
            skipped: dict[str, str] = {}
            files = []
            for folder in folders:
                expected = _expected(folder)
                for model in _models(folder, skipped):
                    files.append(self._open(model, expected))
                    if check:
                        check(folder.folder / model.path.name, files[-1].classifier)
            _require_alike(files)
            digest = _sha256_of(bundle) if bundle else None
            if bundle and _identity(bundle) != identity:
                raise ArtifactError(f"{bundle} changed while it was opened: try again")
            # A path such as `.` has no name of its own.
            name, verdict = folders[0].named.resolve().name, self.verdict_of(folders[0])
            picture = _picture(folders[0], files[0].classifier.shape)
            return Models(name, tuple(files), skipped, verdict, str(targets[0]), digest, picture)

    def _open(self, model: ModelFile, expected: Sequence[ExpectedAnswers]) -> LoadedFile:
        if model.unverified is not None and not self.trust_unverified:
            raise ConfigError(
                f"{model.path} is unverified ({model.unverified}): serve an exported folder, or add {named('trust_unverified')}"
            )
        log(f"{model.path.name}: loading")
        classifier = self.open_file(model)
        # A first inference takes longer than others, and shows what can't answer before anybody asks.
        classifier.predict(np.zeros(classifier.shape, np.uint8))
        about = FileDescription(
            name=model.path.name,
            format=model.format,
            precision=model.artifact.precision if model.artifact else None,
            size_bytes=len(model.data),
            sha256=sha256(model.data),
            runtime=classifier.runtime_text,
            unverified=classifier.unverified,
        )
        return LoadedFile(about, classifier, next((item for item in expected if item.file == about.name), None))


def _models(folder: ModelFolder, skipped: dict[str, str]) -> Iterator[ModelFile]:
    """Yield the files of a folder that run here, without its Keras model; add the reason for each other one."""
    if not folder.is_folder:
        yield folder.model()
        return
    here, missing = folder.runnable()
    skipped.update(missing)
    exported = {artifact.path for artifact in folder.manifest.exported} if folder.manifest else set()
    names = [name for name in here if name in exported]
    if not names:
        raise ConfigError(f"{folder.named} has no exported file that runs here: run edgecnn export")
    for name in names:
        yield folder.model(name)


def _expected(folder: ModelFolder) -> tuple[ExpectedAnswers, ...]:
    """Return what the files of a bundle answered where it was made."""
    if folder.bundle is None:
        return ()
    from edgecnn.edge.archive import read_index  # noqa: PLC0415 - Only a bundle needs it, and zipfile.

    return read_index(folder.folder).expected


def _resolved(target: Path) -> Path:
    """Return a bundle's real path: a link to it may lead elsewhere in the next moment."""
    return target.resolve() if bundle_of(target) else target


def _identity(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _picture(folder: ModelFolder, shape: tuple[int, int, int]) -> bytes:
    """Return `Models.picture`. Pillow reads its format, and it is written without Pillow."""
    image = np.zeros(shape, np.uint8)
    if folder.bundle:
        from edgecnn.edge.archive import GOLDEN_IMAGES_NAME  # noqa: PLC0415 - Only a bundle needs it.
        from edgecnn.edge.data.npz import read_npy  # noqa: PLC0415 - As above.

        path = folder.folder / GOLDEN_IMAGES_NAME
        golden = read_npy(read_bytes(path), f"{path} is not an array", "make the bundle again")
        image = golden[0] if golden.shape[1:] == shape and len(golden) and golden.dtype == np.uint8 else image
    height, width, channels = shape
    return f"P{5 if channels == 1 else 6} {width} {height} 255\n".encode() + image.tobytes()


def _require_alike(files: Sequence[LoadedFile]) -> None:
    first, seen = files[0], set[str]()
    for file in files:
        if file.name in seen:
            raise ConfigError(f"two files are called {file.name}: serve one folder at a time, or rename one")
        seen.add(file.name)
        if file.classifier.class_names != first.classifier.class_names:
            raise ConfigError(f"{file.name} has other classes than {first.name}: serve them apart")

"""A model file, read once and checked against its manifest; the names of files in a model's folder."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.edge.errors import ArtifactError, field, parsing
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.formats import FORMATS, format_of, is_marked, suffixes
from edgecnn.edge.manifest import (
    BUNDLE_SUFFIX,
    HOW_TO_MAKE,
    LABELS_NAME,
    MANIFEST_NAME,
    Artifact,
    Manifest,
    is_foreign,
)
from edgecnn.edge.model.other_tools import fix_for, require_file
from edgecnn.edge.transaction import finish

# What Teachable Machine puts into a .zip file (of TensorFlow Lite: float, or quantized), and the most that is read of each.
_IN_ZIP, _MOST_IN_ZIP = ("keras_model.h5", "model_unquant.tflite", "model.tflite"), 2**28
_MOST_LABELS = 2**20


def bundle_of(path: Path) -> Path | None:
    """Return the bundle that a path is or points into (`mnist.zip/int8.tflite`); None if there is no bundle."""
    zips = (part for part in (path, path.parent) if part.suffix.lower() == BUNDLE_SUFFIX and part.is_file())
    return next((part for part in zips if _held_model(part) is None), None)


def _held_model(path: Path) -> str | None:
    """Return the name of the model in a .zip file of Teachable Machine; None for any other path."""
    if path.suffix.lower() != BUNDLE_SUFFIX or not path.is_file():
        return None
    import zipfile  # noqa: PLC0415 - Only such a path needs it.

    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            return None if MANIFEST_NAME in held else next((name for name in _IN_ZIP if name in held), None)
    except Exception:  # A damaged archive raises anything; whoever reads it as a bundle says so.
        return None


@dataclass(frozen=True)
class ModelFile:
    """The bytes of a model file, and the manifest that lists it.

    Attributes:
        path: Path from which it was read.
        format: A name in `edgecnn.edge.formats.FORMATS`, from the suffix and checked against the content.
        data: The bytes that were hashed; a runtime loads the same ones.
        manifest: Manifest that lists this file, or None.
        artifact: Its entry there, or None.
        unverified: Why the file is unverified; None if its hash was checked.
        class_names: Class names that are in the same .zip file.
    """

    path: Path
    format: str
    data: bytes
    manifest: Manifest | None
    artifact: Artifact | None
    unverified: str | None
    class_names: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes; that of a listed file was computed when it was read."""
        return self.artifact.sha256 if self.artifact else sha256(self.data)

    @property
    def fix(self) -> str:
        """What to do about a file that its runtime can't run: only a file that edgecnn exported can be exported again."""
        return "export it again" if self.artifact else "convert it again for this runtime, or name another file"


def read_model(path: Path, manifest: Manifest | None = None) -> ModelFile:
    """Read a .keras, .h5, .tflite or .onnx file and check it against the manifest in its folder.

    A file that no manifest lists is returned too, with the reason in `unverified`, which must be shown with every number.
    `manifest` is the folder's, if it was already read.

    Raises:
        ArtifactError: If the file is missing, empty, not in its suffix's format, not the one its manifest lists, or was
            exported from another model than the manifest's present one.
    """
    if held := _held_model(path):
        return _from_zip(path, held)
    model_format = format_of(path)
    if path.is_dir() or model_format is None:
        raise ArtifactError(f"{path} is not a {suffixes()} file: {fix_for(path, 'name one')}")
    finish(path.parent)
    data = read_bytes(path, fix=HOW_TO_MAKE)
    reason = f"not listed in the {MANIFEST_NAME} beside it"
    if manifest is None:
        manifest, reason = _beside(path.parent, reason)
    artifact = manifest.artifact(path.name) if manifest else None
    if manifest is None or artifact is None:
        _check_content(path, model_format, data)
        return ModelFile(path, model_format, data, None, None, reason)
    digest = sha256(data)
    if digest != artifact.sha256:  # An export may have finished since.
        data = read_bytes(path)
        digest = sha256(data)
    if digest != artifact.sha256:
        mend = f"export {path.parent / manifest.source().path}" if artifact.exported else "train"
        raise ArtifactError(
            f"{path} is not the file that {MANIFEST_NAME} lists ({len(data)} bytes with sha256 {digest[:12]}, "
            f"expected {artifact.size_bytes} with {artifact.sha256[:12]}): copy it again or run edgecnn {mend}"
        )
    _check_fresh(path, manifest, artifact)
    return ModelFile(path, model_format, data, manifest, artifact, None)


def _from_zip(path: Path, held: str) -> ModelFile:
    """Return the model of this name in a .zip file of Teachable Machine, with its class names."""
    import zipfile  # noqa: PLC0415 - As above.

    from edgecnn.edge.data.folder_options import class_names_in, lines_of  # noqa: PLC0415 - As above.

    def member(name: str, most: int) -> bytes:
        if archive.getinfo(name).file_size > most:
            raise ValueError(f"{name} has more than {most:,} bytes")
        return archive.read(name)

    with parsing(f"{path} can't be read", "download it again"), zipfile.ZipFile(path) as archive:
        data = member(held, _MOST_IN_ZIP)
        lines = member(LABELS_NAME, _MOST_LABELS).decode("utf-8-sig") if LABELS_NAME in archive.namelist() else ""
    model_format = format_of(Path(held)) or ""
    _check_content(path / held, model_format, data)
    return ModelFile(
        path, model_format, data, None, None, f"no {MANIFEST_NAME} in it", class_names_in(lines_of(lines), str(path))
    )


def _beside(folder: Path, unlisted: str) -> tuple[Manifest | None, str]:
    """Return the manifest of a folder, and why a file that it does not list is unverified."""
    if not (folder / MANIFEST_NAME).exists():
        return None, f"no {MANIFEST_NAME} beside it"
    try:
        return Manifest.load(folder), unlisted
    except ArtifactError:
        if not is_foreign(folder):
            raise
        return None, f"a {MANIFEST_NAME} beside it that is not edgecnn's"


def _check_fresh(path: Path, manifest: Manifest, artifact: Artifact) -> None:
    if artifact.source_sha256 not in (None, manifest.source().sha256):
        model = path.parent / manifest.source().path
        command = (
            f"edgecnn export {model} with {field('formats')}={artifact.format} and {field('precisions')}={artifact.precision}"
        )
        raise ArtifactError(f"{path} is stale: it was exported from an earlier model. Run {command}")


def _check_content(path: Path, model_format: str, data: bytes) -> None:
    require_file(path, data)
    row = FORMATS[model_format]
    mark = row.other_mark if path.suffix.lower() in row.other_suffixes else row.mark
    if mark and not is_marked(data, model_format):
        raise ArtifactError(f"{path} is not a {row.title} file ({mark.absent}): {mark.fix}")

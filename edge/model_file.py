"""A model file, read once and checked against its manifest."""

from dataclasses import dataclass
from pathlib import Path

from edge.errors import ArtifactError
from edge.files import read_bytes, sha256
from edge.manifest import FORMATS, MANIFEST_NAME, Artifact, Manifest, is_foreign


@dataclass(frozen=True)
class ModelFile:
    """The bytes of a model and what vouches for them.

    Attributes:
        path: Where it was read.
        format: One of `FORMATS`, from the suffix and checked against the content.
        data: The bytes that were hashed, and that a runtime loads.
        manifest: The manifest that lists this very file, or None.
        artifact: Its entry there, or None.
        unverified: Why nothing vouches for the file; None if its hash was checked.
    """

    path: Path
    format: str
    data: bytes
    manifest: Manifest | None
    artifact: Artifact | None
    unverified: str | None


def read_model(path: Path) -> ModelFile:
    """Read a .keras, .tflite or .onnx file and check it against the manifest beside it.

    A file that no manifest lists is returned too, with the reason in `unverified`; whoever shows a number must show it.

    Raises:
        ArtifactError: If the file is missing, empty, not of its suffix's format, not the one that its manifest lists,
            or exported from another model than the manifest's present one.
    """
    model_format = path.suffix.lstrip(".").lower()
    if path.is_dir() or model_format not in FORMATS:
        raise ArtifactError(f"{path} is not a .keras, .tflite or .onnx file: name one")
    data = read_bytes(path)
    foreign = is_foreign(path.parent)
    if foreign or not (path.parent / MANIFEST_NAME).exists():
        _check_content(path, model_format, data)
        reason = f"a {MANIFEST_NAME} beside it that is not edgecnn's" if foreign else f"no {MANIFEST_NAME} beside it"
        return ModelFile(path, model_format, data, None, None, reason)
    manifest = Manifest.load(path.parent)
    artifact = manifest.artifact(path.name)
    if artifact is None:
        _check_content(path, model_format, data)
        return ModelFile(path, model_format, data, None, None, f"not listed in the {MANIFEST_NAME} beside it")
    if sha256(data) != artifact.sha256:
        mend = "train" if model_format == "keras" else f"export {path.parent / manifest.keras_model().path}"
        raise ArtifactError(
            f"{path} is not the file that {MANIFEST_NAME} lists ({len(data)} bytes with sha256 {sha256(data)[:12]}, "
            f"expected {artifact.size_bytes} with {artifact.sha256[:12]}): copy it again or run edgecnn {mend}"
        )
    _check_fresh(path, manifest, artifact)
    return ModelFile(path, model_format, data, manifest, artifact, None)


def _check_fresh(path: Path, manifest: Manifest, artifact: Artifact) -> None:
    if artifact.source_sha256 not in (None, manifest.keras_model().sha256):
        model = path.parent / manifest.keras_model().path
        command = f"edgecnn export {model} --format {artifact.format} --quantize {artifact.precision}"
        raise ArtifactError(f"{path} is stale, it was exported from an earlier model: run {command}")


def _check_content(path: Path, model_format: str, data: bytes) -> None:
    # ONNX has no magic number; its runtime's own error is the check.
    if model_format == "tflite" and data[4:8] != b"TFL3":
        raise ArtifactError(f"{path} is not a TFLite file (no TFL3 mark): export or copy it again")
    if model_format == "keras" and data[:4] != b"PK\x03\x04":
        raise ArtifactError(f"{path} is not a Keras 3 file (not a zip archive): save it with model.save('name.keras')")

"""What was exported, from what, with which hash: the types and the file `manifest.json`."""

from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import ArtifactError
from edge.files import read_bytes, sha256, write_bytes
from edge.records import from_json, to_json

SCHEMA = 1
MANIFEST_NAME = "manifest.json"
FORMATS = ("keras", "tflite", "onnx")
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
FITS = ("digit", "letterbox")


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point), per tensor (`axis` is None) or per index of `axis`."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: The name inside the file.
        shape: Sizes; None where the size is free (the batch).
        dtype: The numpy name: float32, int8, ...
        quantization: For integer tensors that stand for real numbers.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model input.

    Attributes:
        scale: The float input is pixel * scale, as in a Keras Rescaling layer; pixels are 0 to 255.
        fit: How an image file of any size becomes one of the model's: `digit` as MNIST was made (the ink scaled
            into 20/28 of the side and moved to its centre of mass), `letterbox` (the whole picture, padded to the shape).
        background: `dark` or `light` as the training images' borders are, so that an image file with the other is
            inverted; `any` where the training images have no one background.
    """

    scale: float
    fit: str
    background: str


@dataclass(frozen=True)
class DatasetRecord:
    """Which images: enough to load them again and to see that they are the same ones.

    Attributes:
        name: `mnist`, or the folder's name.
        source: `shipped`, or the absolute path of a folder.
        train_sha256: Of the training pixels and labels.
        test_sha256: Of the test pixels and labels.
    """

    name: str
    source: str
    train_sha256: str
    test_sha256: str


@dataclass(frozen=True)
class Parity:
    """An exported file against its Keras model on the same images.

    Attributes:
        images: How many test images were compared.
        same_class: On how many of them the predicted class is the same.
        max_difference: Largest absolute difference of any probability.
    """

    images: int
    same_class: int
    max_difference: float


@dataclass(frozen=True)
class Artifact:
    """One model file.

    Attributes:
        format: One of `FORMATS`.
        precision: One of `PRECISIONS`.
        path: The file's name in the manifest's folder.
        size_bytes: Its size.
        sha256: Of its bytes.
        source_sha256: Of the .keras file that it was exported from; None for that file itself.
        input: The image input.
        output: The class probabilities.
        oldest_runtime: The oldest release that loads it, as `package>=version`, where known.
        parity: Measured before the file was called exported; None for the Keras model.
    """

    format: str
    precision: str
    path: str
    size_bytes: int
    sha256: str
    source_sha256: str | None
    input: TensorSpec
    output: TensorSpec
    oldest_runtime: str | None
    parity: Parity | None


@dataclass(frozen=True)
class Calibration:
    """The training images that set the activation ranges of the quantised files.

    Attributes:
        method: How ranges are taken from activations, for each format.
        indices: Positions in the training split.
        images_sha256: Of the pixels, in that order.
        seed: Of the draw.
    """

    method: dict[str, str]
    indices: tuple[int, ...]
    images_sha256: str
    seed: int


@dataclass(frozen=True)
class Reference:
    """The float Keras model's probabilities on the test images, so that a machine without TensorFlow can judge.

    Attributes:
        path: A .npy file of float32 (n, classes) in the manifest's folder.
        sha256: Of its bytes.
        source_sha256: Of the .keras file.
        test_sha256: Of the test split.
    """

    path: str
    sha256: str
    source_sha256: str
    test_sha256: str


@dataclass(frozen=True)
class Provenance:
    """How the artifacts came to be.

    Attributes:
        created: UTC time of the training, ISO 8601.
        exported: UTC time of the last export, or None.
        seed: Of the training.
        train_config: Every setting of the training run, as text.
        versions: Package -> version at training.
        export_versions: Package -> version at the last export.
        calibration: None until something is quantised with it.
    """

    created: str
    exported: str | None
    seed: int
    train_config: dict[str, str]
    versions: dict[str, str]
    export_versions: dict[str, str]
    calibration: Calibration | None


@dataclass(frozen=True)
class Manifest:
    """The folder's contents. See the module's types.

    `sha256` is of the manifest itself, and in the file only: an altered class name or scale must not pass.
    """

    schema: int
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    dataset: DatasetRecord
    provenance: Provenance
    reference: Reference | None
    artifacts: tuple[Artifact, ...]
    sha256: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read `folder/manifest.json`.

        Raises:
            ArtifactError: If it is missing, damaged or of another schema, or names files outside its folder.
        """
        path = folder / MANIFEST_NAME
        if folder.is_file():
            raise ArtifactError(f"{folder} is a file: name its folder")
        manifest = from_json(cls, read_bytes(path), str(path), SCHEMA)
        if manifest.sha256 != manifest._digest():
            raise ArtifactError(f"{path} was altered (its SHA-256 does not fit): copy it again, or train and export again")
        for artifact in manifest.artifacts:
            if artifact.format not in FORMATS or artifact.precision not in PRECISIONS:
                raise ArtifactError(f"{path}: {artifact.path} is {artifact.format} {artifact.precision}, unknown: export again")
        if manifest.preprocessing.fit not in FITS:
            raise ArtifactError(f"{path}: preprocessing.fit is {manifest.preprocessing.fit!r}, unknown: export again")
        names = [artifact.path for artifact in manifest.artifacts]
        names += [manifest.reference.path] if manifest.reference else []
        for name in names:
            if name != Path(name).name or name in ("", ".", ".."):
                raise ArtifactError(f"{path} names {name!r}, which is not a file of its folder: export again")
        return replace(manifest, sha256="")

    def save(self, folder: Path) -> None:
        """Write `folder/manifest.json`, whole or not at all."""
        write_bytes(folder / MANIFEST_NAME, to_json(replace(self, sha256=self._digest())).encode())

    def _digest(self) -> str:
        return sha256(to_json(replace(self, sha256="")).encode())

    def artifact(self, name: str) -> Artifact | None:
        """Return the artifact with this file name."""
        return next((artifact for artifact in self.artifacts if artifact.path == name), None)

    def keras_model(self) -> Artifact:
        """Return the reference model's entry.

        Raises:
            ArtifactError: If there is none.
        """
        for artifact in self.artifacts:
            if artifact.format == "keras":
                return artifact
        raise ArtifactError(f"{MANIFEST_NAME} lists no Keras model: train and export again")

    def with_artifacts(self, *new: Artifact) -> "Manifest":
        """Return a copy in which `new` replaces the entries of the same file names, in a fixed order."""
        kept = [old for old in self.artifacts if old.path not in {artifact.path for artifact in new}]
        order = sorted(
            [*kept, *new], key=lambda item: (FORMATS.index(item.format), PRECISIONS.index(item.precision), item.path)
        )
        return replace(self, artifacts=tuple(order))

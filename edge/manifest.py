"""What was exported, from what, with which hash: the types and the file `manifest.json`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import ArtifactError
from edge.files import read_bytes, sha256, write_bytes
from edge.records import from_json, to_json

SCHEMA = 2
MANIFEST_NAME = "manifest.json"
FORMATS = ("keras", "tflite", "onnx")
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
FITS = ("digit", "letterbox", "crop", "stretch")
CHANNEL_ORDERS = ("rgb", "bgr")
OUTPUTS = ("probabilities", "logits")


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
    """How an image becomes a model input: (pixel * scale - mean) / std, pixels being 0 to 255.

    Attributes:
        scale: As in a Keras Rescaling layer.
        fit: How an image file of any size becomes one of the model's: `digit` as MNIST was made (the ink scaled
            into 20/28 of the side and moved to its centre of mass), `letterbox` (the whole picture, padded to the shape),
            `crop` (the middle, cut to the shape's proportions), `stretch` (the whole picture, its proportions lost).
        background: `dark` or `light` as the training images' borders are, so that an image file with the other is
            inverted; `any` where the training images have no one background.
        mean: One, or one for each channel in the model's order; subtracted after scaling, as in torchvision's Normalize.
        std: Likewise; divided by.
        channel_order: `rgb` or `bgr`, in which the model takes colours.
    """

    scale: float
    fit: str
    background: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"


@dataclass(frozen=True)
class DatasetRecord:
    """Which images: enough to load them again and to see that they are the same ones.

    Attributes:
        name: `mnist`, another registered name, or the name of a folder or file.
        source: `shipped`, `keras` (one of its loaders), or the absolute path of a folder or .npz file.
        train_sha256: Of the training pixels and labels; of image files, of their bytes and the rule that reads them.
        test_sha256: Of the test images, likewise.
        shape: (h, w, c) that image files were made into; None where the pixels came as an array.
        fit: By which of `FITS`; None likewise.
        background: For a border of which brightness, as in `Preprocessing`.
        test_share: Share of each class that was split off as test images; None where the source has a test part.
        split_seed: Of that split; None likewise.
    """

    name: str
    source: str
    train_sha256: str
    test_sha256: str
    shape: tuple[int, ...] | None = None
    fit: str | None = None
    test_share: float | None = None
    split_seed: int | None = None
    background: str = "any"


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
class Mended:
    """What it took to keep a quantised file within its allowed loss of accuracy.

    Attributes:
        layers: The operators that compute in `precision`, in the order in which they were taken back.
        precision: `float32`, or `int16` (16-bit activations).
        max_drop_points: Percentage points that were allowed.
        tries: How many files were judged on the test images, the plain one included.
        plain_size_bytes: Size of the plainly quantised file.
        slowdown: Median time of one inference over the plain file's, measured in turns.
    """

    layers: tuple[str, ...]
    precision: str
    max_drop_points: float
    tries: int
    plain_size_bytes: int
    slowdown: float


@dataclass(frozen=True)
class ScaleChange:
    """An activation's quantisation scale, calibrated on one half of the images and on the other.

    Attributes:
        tensor: Its name in the file.
        ratio: The larger scale over the smaller.
    """

    tensor: str
    ratio: float


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
        mended: What was left unquantised to keep the accuracy; None for a file that is quantised as it comes.
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
    mended: Mended | None = None


@dataclass(frozen=True)
class Calibration:
    """The training images that set the activation ranges of the quantised files, and what was checked of them.

    Attributes:
        method: How ranges are taken from activations, for each format.
        indices: Positions in the training split.
        images_sha256: Of the pixels, in that order.
        seed: Of the draw.
        class_counts: How many of them each class has.
        passed_over: Training images that were not to be drawn, having the very pixels of a test image.
        input_range: Smallest and largest model input among them.
        train_range: Smallest and largest model input of the training images that were looked at.
        halves: For each quantised file, the activation whose scale differs most between disjoint halves of the images.
        warnings: What a reader should know, a sentence each.
    """

    method: dict[str, str]
    indices: tuple[int, ...]
    images_sha256: str
    seed: int
    class_counts: tuple[int, ...]
    passed_over: int
    input_range: tuple[float, ...]
    train_range: tuple[float, ...]
    halves: dict[str, ScaleChange]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """The float Keras model's probabilities on the test images, so that a machine without TensorFlow can judge.

    Attributes:
        path: A .npy file of float32 (n, classes) in the manifest's folder.
        sha256: Of its bytes.
        source_sha256: Of the .keras file.
        test_sha256: Of the test split.
        images: How many test images there are.
        correct: How many of them it classifies right.
    """

    path: str
    sha256: str
    source_sha256: str
    test_sha256: str
    images: int
    correct: int


@dataclass(frozen=True)
class Provenance:
    """How the artifacts came to be.

    Attributes:
        created: UTC time of the training, or of the first export of a model that was trained elsewhere, ISO 8601.
        exported: UTC time of the last export, or None.
        seed: Of the training.
        train_config: Every setting of the training run, as text; empty for a model that was trained elsewhere.
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

    `output` is one of `OUTPUTS`: what the models give for each class. `trusted` names the Python modules whose code the
    Keras model needs. `sha256` is of the manifest itself, and in the file only: an altered class name or scale must not pass.
    """

    schema: int
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    output: str
    trusted: tuple[str, ...]
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
        text = read_bytes(path).decode(errors="replace")
        manifest = from_json(cls, text, str(path), SCHEMA)
        if not manifest.sha256 or manifest.sha256 != _digest(text.replace(manifest.sha256, "")):
            raise ArtifactError(f"{path} was altered (its SHA-256 does not fit): copy it again, or train and export again")
        for artifact in manifest.artifacts:
            if artifact.format not in FORMATS or artifact.precision not in PRECISIONS:
                raise ArtifactError(f"{path}: {artifact.path} is {artifact.format} {artifact.precision}, unknown: export again")
        words = (
            ("preprocessing.fit", manifest.preprocessing.fit, FITS),
            ("preprocessing.channel_order", manifest.preprocessing.channel_order, CHANNEL_ORDERS),
            ("output", manifest.output, OUTPUTS),
        )
        for field, word, known in words:
            if word not in known:
                raise ArtifactError(f"{path}: {field} is {word!r}, unknown: export again")
        names = [artifact.path for artifact in manifest.artifacts]
        names += [manifest.reference.path] if manifest.reference else []
        for name in names:
            if name != Path(name).name or name in ("", ".", ".."):
                raise ArtifactError(f"{path} names {name!r}, which is not a file of its folder: export again")
        return replace(manifest, sha256="")

    def save(self, folder: Path) -> None:
        """Write `folder/manifest.json`, whole or not at all."""
        digest = _digest(to_json(replace(self, sha256="")))
        write_bytes(folder / MANIFEST_NAME, to_json(replace(self, sha256=digest)).encode())

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


def _digest(text: str) -> str:
    """Return the SHA-256 of a manifest's text in which its own is empty: of the text, so that a later release reads it too."""
    return sha256(text.encode())


def is_foreign(folder: Path) -> bool:
    """Tell whether the folder has a `manifest.json` of something else, as a web application has one; no damaged one of ours."""
    path = folder / MANIFEST_NAME
    if not path.exists():
        return False
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not {"schema", "artifacts"} & set(value)
